//! `bench pull`: reads a backlog as fast as it is served.

use crate::admin::{Admin, Endpoint};
use crate::args::PullArgs;
use crate::drive::{Drive, Measured};
use crate::error::BenchError;
use crate::measure::{Meter, Tally};
use crate::puller::{AtEnd, Lane, PullShape, Puller};
use crate::scan::Scanner;
use crate::send::{new_poll, wait};

/// Bounds of every queue of `topic`, each lane at its first message.
pub(crate) fn lanes(admin: &mut Admin, topic: &str, queues: u32) -> Result<Vec<Lane>, BenchError> {
    let lane = |queue| {
        let (min, max) = admin.offsets(topic, queue)?;
        Ok(Lane { queue, min, max, offset: min })
    };
    (0..queues).map(lane).collect()
}

/// Runs `bench pull`.
pub(crate) fn run(args: &PullArgs, endpoint: &Endpoint) -> Result<Measured, BenchError> {
    let load = &args.load;
    let mut lanes = lanes(&mut Admin::connect(endpoint.addr)?, &load.target.topic, load.queues)?;
    lanes.retain(|lane| lane.min < lane.max);
    if lanes.is_empty() {
        let (name, value) = ("--topic", load.target.topic.clone());
        return Err(BenchError::Argument { name, value, allowed: "a topic with messages".into() });
    }
    let shape = PullShape {
        group: "bench_consumer".into(),
        topic: load.target.topic.clone(),
        max_messages: args.max_messages,
        suspend_ms: 0,
        at_end: if args.once { AtEnd::Stop } else { AtEnd::Again },
    };
    let (warmup, length) = args.window();
    Drive::of(load, warmup, length).run(|thread, meter| {
        let mine = (thread..load.connections).step_by(load.threads);
        let connect = |connection: usize| {
            let share = lanes.iter().skip(connection).step_by(load.connections);
            Puller::connect(endpoint, &shape, share.copied().collect(), load.in_flight)
        };
        let pullers = mine.map(connect).collect::<Result<_, _>>()?;
        Worker { pullers, scanner: Scanner::new(), meter }.run()
    })
}

struct Worker<'a> {
    pullers: Vec<Puller>,
    scanner: Scanner,
    meter: Meter<'a>,
}

impl Worker<'_> {
    fn run(mut self) -> Result<Tally, BenchError> {
        let mut poll = new_poll(self.pullers.iter().map(|puller| &puller.socket))?;
        for puller in &mut self.pullers {
            puller.ask(self.meter.now_ns())?;
        }
        let mut ready = Vec::new();
        loop {
            let now_ns = self.meter.now_ns();
            if self.meter.tick(now_ns) {
                break;
            }
            if self.pullers.iter().all(|p| p.in_flight() == 0 && !p.has_idle()) {
                self.meter.close(now_ns);
                break;
            }
            ready.clear();
            ready.extend(wait(&mut poll, self.meter.timeout(now_ns, u64::MAX))?);
            for &i in &ready {
                self.serve(i)?;
            }
        }
        Ok(self.meter.finish(0))
    }

    fn serve(&mut self, i: usize) -> Result<(), BenchError> {
        self.pullers[i].read(&self.scanner, &mut self.meter, |meter, pulled| {
            let latency_ns = pulled.now_ns.saturating_sub(pulled.started_ns);
            meter.answered(latency_ns, pulled.messages, pulled.body.len() as u64);
        })?;
        self.pullers[i].ask(self.meter.now_ns())
    }
}
