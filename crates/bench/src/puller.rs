//! One connection that pulls from some queues: at most one request per queue is open at a time, since
//! only its answer tells the next offset; several queues are open side by side.

use std::collections::VecDeque;
use std::io::{self, Write};

use crate::admin::Endpoint;
use crate::error::BenchError;
use crate::frame::Pull;
use crate::measure::Meter;
use crate::records::Records;
use crate::scan::{self, Head, Scanner};
use crate::slots::Slots;
use crate::socket::{Filled, Socket};

/// Response codes of a pull that carry a next offset.
const FOUND: i32 = 0;
const NOT_FOUND: i32 = 19;
const RETRY_IMMEDIATELY: i32 = 20;
const OFFSET_MOVED: i32 = 21;

/// What to do when a queue has no further message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// The queue is done.
    Stop,
    /// Begin again at its first message.
    Again,
    /// Ask again; the broker holds the request until there is one.
    Wait,
}

/// One queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    pub queue: u32,
    pub min: u64,
    pub max: u64,
    pub offset: u64,
}

/// What all pulls of a run share.
#[derive(Debug, Clone)]
pub(crate) struct PullShape {
    pub group: String,
    pub topic: String,
    pub max_messages: u32,
    pub suspend_ms: u32,
    pub at_end: AtEnd,
}

/// One pulling connection.
#[derive(Debug)]
pub(crate) struct Puller {
    pub socket: Socket,
    shape: PullShape,
    broker: String,
    slots: Slots,
    lanes: Vec<Lane>,
    idle: VecDeque<u32>,
    out: Vec<u8>,
    written: usize,
}

/// Records of one good answer.
#[derive(Debug)]
pub(crate) struct Pulled<'a> {
    pub started_ns: u64,
    pub now_ns: u64,
    pub messages: u64,
    pub body: &'a [u8],
}

impl Puller {
    pub(crate) fn connect(
        endpoint: &Endpoint,
        shape: &PullShape,
        lanes: Vec<Lane>,
        in_flight: usize,
    ) -> Result<Puller, BenchError> {
        Ok(Puller {
            socket: Socket::connect(endpoint.addr)?,
            broker: endpoint.name.clone(),
            shape: shape.clone(),
            slots: Slots::new(in_flight.min(lanes.len())),
            idle: (0..lanes.len() as u32).collect(),
            lanes,
            out: Vec::new(),
            written: 0,
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.in_flight()
    }

    /// Whether a queue waits for its turn.
    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Opens as many requests as allowed and writes what the socket takes.
    pub(crate) fn ask(&mut self, now_ns: u64) -> Result<(), BenchError> {
        while self.slots.has_free() {
            let Some(index) = self.idle.pop_front() else { break };
            let Some(opaque) = self.slots.take(now_ns, index) else { break };
            let lane = self.lanes[index as usize];
            let pull = Pull {
                group: &self.shape.group,
                topic: &self.shape.topic,
                broker: &self.broker,
                queue: lane.queue,
                offset: lane.offset,
                max_messages: self.shape.max_messages,
                suspend_ms: self.shape.suspend_ms,
            };
            pull.encode(opaque, &mut self.out);
        }
        self.flush().map_err(|e| self.socket.failed(e))
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match (&self.socket.stream).write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads all answers that have arrived; checks that each queue's offsets are continuous.
    pub(crate) fn read(
        &mut self,
        scanner: &Scanner,
        meter: &mut Meter<'_>,
        mut found: impl FnMut(&mut Meter<'_>, Pulled<'_>),
    ) -> Result<(), BenchError> {
        loop {
            let filled = self.socket.fill().map_err(|e| self.socket.failed(e))?;
            let now_ns = meter.now_ns();
            while let Some(frame) = self.socket.next_frame()? {
                let frame = self.socket.bytes(frame);
                let head = scanner.head(frame).map_err(|what| self.socket.bad(what))?;
                let Some((started_ns, index)) = self.slots.finish(head.opaque) else { continue };
                let lane = &mut self.lanes[index as usize];
                match head.code {
                    FOUND => {
                        let messages = advance(lane, head.body, &self.socket)?;
                        found(meter, Pulled { started_ns, now_ns, messages, body: head.body });
                    }
                    NOT_FOUND | RETRY_IMMEDIATELY | OFFSET_MOVED => moved(lane, &head),
                    _ => meter.refused(&head),
                }
                if lane.offset >= lane.max && self.shape.at_end == AtEnd::Again {
                    lane.offset = lane.min;
                }
                if lane.offset < lane.max || self.shape.at_end == AtEnd::Wait {
                    self.idle.push_back(index);
                }
            }
            if filled == Filled::Drained {
                return Ok(());
            }
        }
    }
}

/// Follows the records of one answer; the number of messages.
fn advance(lane: &mut Lane, body: &[u8], socket: &Socket) -> Result<u64, BenchError> {
    let before = lane.offset;
    for record in Records(body) {
        let found = record.map_err(|what| socket.bad(what))?.queue_offset;
        if found != lane.offset {
            let (queue, expected) = (lane.queue, lane.offset);
            return Err(BenchError::Order { queue, expected, found });
        }
        lane.offset += 1;
    }
    Ok(lane.offset - before)
}

/// Takes the offset that the broker names when it found nothing.
fn moved(lane: &mut Lane, head: &Head<'_>) {
    if let Some(next) = scan::field(head.header, "nextBeginOffset") {
        lane.offset = next;
    }
}
