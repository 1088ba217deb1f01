//! `bench send`: plain or batch sends, as fast as they are answered or at a fixed rate.

use std::time::Duration;

use crate::admin::Endpoint;
use crate::args::SendArgs;
use crate::drive::{Drive, Measured};
use crate::error::BenchError;
use crate::measure::{Meter, Tally};
use crate::poll::Poll;
use crate::ring::{Ring, STAMP_BYTES, Shape, wall_ms};
use crate::scan::Scanner;
use crate::slots::Slots;
use crate::socket::{Filled, Socket};

/// Longest wait for the answers to what was sent before the end.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// One connection that sends.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) socket: Socket,
    ring: Ring,
    slots: Slots,
}

impl Sender {
    pub(crate) fn connect(
        endpoint: &Endpoint,
        shape: &Shape,
        in_flight: usize,
        connection: u32,
    ) -> Result<Sender, BenchError> {
        let socket = Socket::connect(endpoint.addr)?;
        Ok(Sender { socket, ring: Ring::new(shape, connection), slots: Slots::new(in_flight) })
    }

    fn can_push(&self) -> bool {
        self.slots.has_free() && self.ring.has_room()
    }

    /// Queues one request that starts (or was to start) at `started_ns`; false when none may be added.
    pub(crate) fn push(&mut self, started_ns: u64, stamp: Option<[u8; STAMP_BYTES]>) -> bool {
        if !self.can_push() {
            return false;
        }
        let Some(opaque) = self.slots.take(started_ns, 0) else { return false };
        self.ring.push(opaque, stamp);
        true
    }

    pub(crate) fn flush(&mut self) -> Result<(), BenchError> {
        match self.ring.flush(&self.socket.stream) {
            Ok(_) => Ok(()),
            Err(source) => Err(self.socket.failed(source)),
        }
    }

    pub(crate) fn set_born(&mut self, wall_ms: u64) {
        self.ring.set_born(wall_ms);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.in_flight()
    }

    /// Reads all answers that have arrived; calls `answered(started_ns, now_ns, meter)` for good ones.
    pub(crate) fn read(
        &mut self,
        scanner: &Scanner,
        meter: &mut Meter<'_>,
        mut answered: impl FnMut(&mut Meter<'_>, u64, u64),
    ) -> Result<(), BenchError> {
        loop {
            let filled = self.socket.fill().map_err(|e| self.socket.failed(e))?;
            let now_ns = meter.now_ns();
            while let Some(frame) = self.socket.next_frame()? {
                let frame = self.socket.bytes(frame);
                let head = scanner.head(frame).map_err(|what| self.socket.bad(what))?;
                let Some((started_ns, _)) = self.slots.finish(head.opaque) else { continue };
                match head.code {
                    0 => answered(meter, started_ns, now_ns),
                    _ => meter.refused(&head),
                }
            }
            if filled == Filled::Drained {
                return Ok(());
            }
        }
    }
}

/// Times at which an open loop sends: one each `interval_ns`, whatever the server does.
#[derive(Debug)]
pub(crate) struct Schedule {
    interval_ns: f64,
    start_ns: u64,
    issued: u64,
}

impl Schedule {
    /// `rate` requests per second from `start_ns` on.
    pub(crate) fn new(rate: f64, start_ns: u64) -> Schedule {
        Schedule { interval_ns: 1e9 / rate, start_ns, issued: 0 }
    }

    /// When the next request is due.
    pub(crate) fn due_ns(&self) -> u64 {
        self.start_ns + (self.issued as f64 * self.interval_ns) as u64
    }

    pub(crate) fn issued(&mut self) {
        self.issued += 1;
    }
}

/// Lets answers gather while the server has plenty to do, as interrupt coalescing does.
///
/// A server that writes each answer by itself would wake the generator for each one, and the wake-ups
/// would take from it a quarter of a small machine. The pause ends when an eighth of what is in
/// flight should have been answered at the present rate, so it never leaves the server idle, and
/// lengthens no mean latency by more than that eighth.
#[derive(Debug)]
struct Gather {
    target: usize,
    last_ns: u64,
}

impl Gather {
    /// Fewer in flight than this on one thread, and every answer is waited for at once.
    const LEAST_IN_FLIGHT: usize = 64;
    const LONGEST: Duration = Duration::from_millis(1);

    fn new(in_flight: usize) -> Gather {
        let target = if in_flight < Gather::LEAST_IN_FLIGHT { 0 } else { in_flight / 8 };
        Gather { target, last_ns: 0 }
    }

    fn none() -> Gather {
        Gather { target: 0, last_ns: 0 }
    }

    /// How long to let answers gather after a pass that found `answered`.
    fn pause(&mut self, now_ns: u64, answered: usize) -> Option<Duration> {
        let took_ns = now_ns.saturating_sub(std::mem::replace(&mut self.last_ns, now_ns));
        if answered == 0 || answered >= self.target {
            return None;
        }
        let missing = (self.target - answered) as u64;
        Some(Duration::from_nanos(took_ns * missing / answered as u64).min(Gather::LONGEST))
    }
}

/// Runs `bench send`.
pub(crate) fn run(args: &SendArgs, endpoint: &Endpoint) -> Result<Measured, BenchError> {
    let load = &args.load;
    let shape = args.shape(endpoint);
    let length = args.messages.is_none().then_some(load.seconds);
    Drive::of(load, load.warmup, length).run(|thread, meter| {
        let mine = (thread..load.connections).step_by(load.threads);
        let connect = |i| Sender::connect(endpoint, &shape, load.in_flight, i as u32);
        let senders = mine.map(connect).collect::<Result<Vec<_>, _>>()?;
        let share = |total: f64| total / shape.batch as f64 / load.threads as f64;
        let worker = Worker {
            next: 0,
            scanner: Scanner::new(),
            schedule: args.rate.map(|rate| Schedule::new(share(rate), meter.now_ns())),
            remaining: args.messages.map_or(u64::MAX, |total| share(total as f64).ceil() as u64),
            messages: shape.batch as u64,
            bytes: (shape.batch * shape.body_bytes) as u64,
            gather: match args.rate {
                None if !args.eager => Gather::new(senders.len() * load.in_flight),
                _ => Gather::none(),
            },
            senders,
            meter,
        };
        worker.run()
    })
}

struct Worker<'a> {
    senders: Vec<Sender>,
    next: usize,
    scanner: Scanner,
    meter: Meter<'a>,
    schedule: Option<Schedule>,
    gather: Gather,
    /// Requests still to send.
    remaining: u64,
    /// Messages and body bytes of one request.
    messages: u64,
    bytes: u64,
}

impl Worker<'_> {
    fn run(mut self) -> Result<Tally, BenchError> {
        let mut poll = new_poll(self.senders.iter().map(|sender| &sender.socket))?;
        for i in 0..self.senders.len() {
            self.refill(i)?;
        }
        let mut ready = Vec::new();
        loop {
            let now_ns = self.meter.now_ns();
            if self.meter.tick(now_ns) {
                break;
            }
            if self.remaining == 0 && self.in_flight() == 0 {
                self.meter.close(now_ns);
                break;
            }
            self.send_due(now_ns)?;
            let timeout = self.timeout(now_ns);
            ready.clear();
            ready.extend(wait(&mut poll, timeout)?);
            let mut answered = 0;
            for &i in &ready {
                let before = self.senders[i].in_flight();
                self.read(i)?;
                answered += before - self.senders[i].in_flight();
                self.refill(i)?;
            }
            if let Some(pause) = self.gather.pause(self.meter.now_ns(), answered) {
                std::thread::sleep(pause);
            }
        }
        self.drain(&mut poll)?;
        let unanswered = self.in_flight();
        Ok(self.meter.finish(unanswered))
    }

    fn in_flight(&self) -> usize {
        self.senders.iter().map(Sender::in_flight).sum()
    }

    fn read(&mut self, i: usize) -> Result<(), BenchError> {
        let (messages, bytes) = (self.messages, self.bytes);
        self.senders[i].read(&self.scanner, &mut self.meter, |meter, started_ns, now_ns| {
            meter.answered(now_ns.saturating_sub(started_ns), messages, bytes);
        })
    }

    /// Closed loop: as many requests as may be in flight. Open loop: only what could not leave before.
    fn refill(&mut self, i: usize) -> Result<(), BenchError> {
        let sender = &mut self.senders[i];
        if self.schedule.is_none() && self.remaining > 0 {
            sender.set_born(wall_ms());
            let now_ns = self.meter.now_ns();
            while self.remaining > 0 && sender.push(now_ns, None) {
                self.remaining -= 1;
            }
        }
        sender.flush()
    }

    /// Open loop: everything that is due, over the connections in turn. What finds no connection with
    /// room stays due, and its latency keeps counting from its intended time.
    fn send_due(&mut self, now_ns: u64) -> Result<(), BenchError> {
        let Some(schedule) = &mut self.schedule else { return Ok(()) };
        let count = self.senders.len();
        let mut pushed = false;
        let born_ms = wall_ms();
        while self.remaining > 0 && schedule.due_ns() <= now_ns {
            let due_ns = schedule.due_ns();
            let candidates = (0..count).map(|i| (self.next + i) % count);
            let Some(i) = candidates.into_iter().find(|&i| self.senders[i].can_push()) else {
                break;
            };
            self.senders[i].set_born(born_ms);
            self.senders[i].push(due_ns, None);
            self.meter.late(now_ns - due_ns);
            schedule.issued();
            self.remaining -= 1;
            self.next = (i + 1) % count;
            pushed = true;
        }
        if pushed {
            for sender in &mut self.senders {
                sender.flush()?;
            }
        }
        Ok(())
    }

    fn timeout(&self, now_ns: u64) -> Duration {
        let due = match &self.schedule {
            Some(schedule) if self.senders.iter().any(Sender::can_push) => schedule.due_ns(),
            _ => u64::MAX,
        };
        self.meter.timeout(now_ns, due)
    }

    fn drain(&mut self, poll: &mut Poll) -> Result<(), BenchError> {
        let end_ns = self.meter.now_ns() + DRAIN.as_nanos() as u64;
        while self.in_flight() > 0 && self.meter.now_ns() < end_ns {
            let ready: Vec<usize> = wait(poll, Duration::from_millis(100))?.collect();
            for i in ready {
                self.read(i)?;
                self.senders[i].flush()?;
            }
        }
        Ok(())
    }
}

/// A set with `sockets` under their positions.
pub(crate) fn new_poll<'a>(sockets: impl Iterator<Item = &'a Socket>) -> Result<Poll, BenchError> {
    let poll = Poll::new().map_err(|source| BenchError::System { what: "epoll", source })?;
    for (token, socket) in sockets.enumerate() {
        poll.add(&socket.stream, token).map_err(|e| socket.failed(e))?;
    }
    Ok(poll)
}

/// Waits on `poll`.
pub(crate) fn wait(
    poll: &mut Poll,
    timeout: Duration,
) -> Result<crate::poll::Ready<'_>, BenchError> {
    poll.wait(timeout).map_err(|source| BenchError::System { what: "epoll", source })
}
