//! `bench deliver`: end to end. One thread sends at a fixed rate and holds parked pulls; latency runs
//! from the intended time of the send, carried in the body, to the arrival at the consumer, on one
//! clock.

use crate::admin::{Admin, Endpoint};
use crate::args::DeliverArgs;
use crate::drive::{Drive, Measured};
use crate::error::BenchError;
use crate::measure::{Meter, Tally};
use crate::pull::lanes;
use crate::puller::{AtEnd, Lane, PullShape, Puller};
use crate::records::Records;
use crate::ring::{STAMP_BYTES, Shape, wall_ms};
use crate::scan::Scanner;
use crate::send::{DRAIN, Schedule, Sender, new_poll, wait};

/// What a push consumer asks for.
const SUSPEND_MS: u32 = 15_000;

/// Runs `bench deliver`.
pub(crate) fn run(args: &DeliverArgs, endpoint: &Endpoint) -> Result<Measured, BenchError> {
    let load = &args.load;
    let mut lanes = lanes(&mut Admin::connect(endpoint.addr)?, &load.target.topic, load.queues)?;
    for lane in &mut lanes {
        lane.offset = lane.max;
    }
    let drive = Drive { threads: 1, ..Drive::of(load, load.warmup, Some(load.seconds)) };
    let send_shape = Shape {
        topic: load.target.topic.clone(),
        broker: endpoint.name.clone(),
        queues: load.queues,
        body_bytes: load.size.max(STAMP_BYTES),
        batch: 1,
    };
    let pull_shape = PullShape {
        group: "bench_consumer".into(),
        topic: load.target.topic.clone(),
        max_messages: 32,
        suspend_ms: SUSPEND_MS,
        at_end: AtEnd::Wait,
    };
    drive.run(|_, meter| {
        let sender = Sender::connect(endpoint, &send_shape, load.in_flight, 0)?;
        let connect = |connection: usize| {
            let share = lanes.iter().skip(connection).step_by(load.connections);
            let share: Vec<Lane> = share.copied().collect();
            let count = share.len();
            Puller::connect(endpoint, &pull_shape, share, count)
        };
        Worker {
            schedule: Schedule::new(args.rate, meter.now_ns()),
            sender,
            pullers: (0..load.connections).map(connect).collect::<Result<_, _>>()?,
            scanner: Scanner::new(),
            body_bytes: send_shape.body_bytes as u64,
            sent: 0,
            received: 0,
            meter,
        }
        .run()
    })
}

struct Worker<'a> {
    sender: Sender,
    pullers: Vec<Puller>,
    scanner: Scanner,
    meter: Meter<'a>,
    schedule: Schedule,
    body_bytes: u64,
    sent: u64,
    received: u64,
}

impl Worker<'_> {
    fn run(mut self) -> Result<Tally, BenchError> {
        let sockets = self.pullers.iter().map(|puller| &puller.socket);
        let mut poll = new_poll(sockets.chain([&self.sender.socket]))?;
        for puller in &mut self.pullers {
            puller.ask(self.meter.now_ns())?;
        }
        let mut ready = Vec::new();
        let mut end_ns = None;
        loop {
            let now_ns = self.meter.now_ns();
            let over = self.meter.tick(now_ns);
            if over {
                let end_ns = *end_ns.get_or_insert(now_ns + DRAIN.as_nanos() as u64);
                if self.received >= self.sent || now_ns >= end_ns {
                    break;
                }
            }
            let due_ns = if over { u64::MAX } else { self.send_due(now_ns)? };
            ready.clear();
            ready.extend(wait(&mut poll, self.meter.timeout(now_ns, due_ns))?);
            for &i in &ready {
                self.serve(i)?;
            }
        }
        let lost = self.sent.saturating_sub(self.received);
        Ok(self.meter.finish(lost as usize))
    }

    /// Sends what is due; when to come again (an answer wakes the thread earlier).
    fn send_due(&mut self, now_ns: u64) -> Result<u64, BenchError> {
        self.sender.set_born(wall_ms());
        let mut next_ns = self.schedule.due_ns();
        while next_ns <= now_ns {
            if !self.sender.push(next_ns, Some(next_ns.to_be_bytes())) {
                next_ns = u64::MAX;
                break;
            }
            self.schedule.issued();
            self.meter.late(now_ns - next_ns);
            self.sent += 1;
            next_ns = self.schedule.due_ns();
        }
        self.sender.flush()?;
        Ok(next_ns)
    }

    fn serve(&mut self, i: usize) -> Result<(), BenchError> {
        let Some(puller) = self.pullers.get_mut(i) else {
            self.sender.read(&self.scanner, &mut self.meter, |_, _, _| {})?;
            return self.sender.flush();
        };
        let (body_bytes, received) = (self.body_bytes, &mut self.received);
        puller.read(&self.scanner, &mut self.meter, |meter, pulled| {
            for record in Records(pulled.body).flatten() {
                let stamp = record.body().and_then(|body| body.first_chunk::<STAMP_BYTES>());
                let Some(&stamp) = stamp else { continue };
                let latency_ns = pulled.now_ns.saturating_sub(u64::from_be_bytes(stamp));
                meter.answered(latency_ns, 1, body_bytes);
                *received += 1;
            }
        })?;
        puller.ask(self.meter.now_ns())
    }
}
