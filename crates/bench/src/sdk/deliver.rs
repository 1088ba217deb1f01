//! `bench deliver --client sdk`: a producer sends at a fixed rate, push consumers of one group wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Client, ConsumeFrom, Consumed, Message, Producer, PushConsumer, Received};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use super::pace::Pace;
use super::{CONSUMER_GROUP, TICK, close, code_of, connect, failed, runtime, send};
use crate::args::DeliverArgs;
use crate::clock::Clock;
use crate::drive::{Drive, Measured};
use crate::error::BenchError;
use crate::measure::{Meter, Tally};
use crate::ring::STAMP_BYTES;
use crate::send::DRAIN;

/// Longest wait until the consumers have shared the queues out.
const SETTLE: Duration = Duration::from_secs(60);

/// Runs `bench deliver` through the SDK.
pub(crate) fn run(args: &DeliverArgs) -> Result<Measured, BenchError> {
    let load = &args.load;
    let runtime = runtime()?;
    // Before the window's clock starts: a new group takes its time to share queues out.
    let stage = runtime.block_on(Stage::set(args))?;
    let stage = Mutex::new(Some((runtime, stage)));
    let drive = Drive { threads: 1, ..Drive::of(load, load.warmup, Some(load.seconds)) };
    drive.run(|_, meter| {
        let taken = stage.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (runtime, stage) = taken.expect("there is one thread");
        runtime.block_on(stage.run(args, meter))
    })
}

/// Messages that arrived: when each was to be sent, and when it came.
#[derive(Default)]
struct Arrivals {
    times: Mutex<Vec<(u64, u64)>>,
    some: Notify,
}

impl Arrivals {
    fn add(&self, messages: &[Received], run: u64, now_ns: u64) {
        let due = messages.iter().filter_map(|message| sent_at(message.body(), run));
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.extend(due.map(|due_ns| (due_ns, now_ns)));
        self.some.notify_one();
    }

    fn take(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A body that tells the run and the time it was to be sent at.
fn stamped(run: u64, due_ns: u64, bytes: usize) -> Vec<u8> {
    let mut body = [run.to_be_bytes(), due_ns.to_be_bytes()].concat();
    body.resize(bytes.max(2 * STAMP_BYTES), b'x');
    body
}

/// When the body's message was to be sent, if this run sent it.
fn sent_at(body: &[u8], run: u64) -> Option<u64> {
    let (of, rest) = body.split_first_chunk()?;
    let due_ns = rest.first_chunk()?;
    (u64::from_be_bytes(*of) == run).then(|| u64::from_be_bytes(*due_ns))
}

/// Everything that has to be there before the first message is sent.
struct Stage {
    clients: Vec<Client>,
    producer: Producer,
    consumers: Vec<PushConsumer>,
    arrivals: Arc<Arrivals>,
    /// Marks the messages of this run.
    run: u64,
    clock: Clock,
}

impl Stage {
    async fn set(args: &DeliverArgs) -> Result<Stage, BenchError> {
        let topic = &args.load.target.topic;
        let clients = connect(&args.load.target, args.load.connections + 1)?;
        let (clock, arrivals, run) = (Clock::start(), Arc::<Arrivals>::default(), wall_ns());
        // A group of its own: one that was here before would go on where it was.
        let group = format!("{CONSUMER_GROUP}_{run}");
        let mut consumers = Vec::new();
        for client in &clients[1..] {
            let sink = arrivals.clone();
            let builder = client.push_consumer(&group).subscribe(topic, "*");
            let consumer = builder.from(ConsumeFrom::Last).concurrently(move |messages| {
                sink.add(&messages, run, clock.now_ns());
                async { Consumed::Success }
            });
            consumers.push(consumer.await.map_err(failed("start a consumer"))?);
        }
        let route = clients[0].admin().route(topic).await.map_err(failed("find the queues"))?;
        let queues = route.read_queues(&topic.as_str().into()).len();
        let started_ns = clock.now_ns();
        while !shared_out(&consumers, topic, queues) {
            let waited = Duration::from_nanos(clock.now_ns() - started_ns);
            if waited > SETTLE {
                return Err(BenchError::NotShared { queues, seconds: SETTLE.as_secs() });
            }
            tokio::time::sleep(TICK).await;
        }
        let producer = send::producer(&clients[0])?;
        Ok(Stage { clients, producer, consumers, arrivals, run, clock })
    }

    async fn run(self, args: &DeliverArgs, mut meter: Meter<'_>) -> Result<Tally, BenchError> {
        let load = &args.load;
        let mut pace = Pace::new(Some(args.rate), self.clock)?;
        let mut sending = FuturesUnordered::new();
        let mut tick = tokio::time::interval(TICK);
        let (mut sent, mut received) = (0_u64, 0_u64);
        let (mut over, mut end_ns) = (meter.tick(meter.now_ns()), u64::MAX);
        while !over || received < sent && meter.now_ns() < end_ns {
            tokio::select! {
                Some(ended) = sending.next() => if let Err(error) = ended {
                    sent -= 1;
                    meter.failed(code_of(&error), || error.to_string());
                },
                due_ns = pace.next(), if !over && sending.len() < load.in_flight => {
                    let due_ns = due_ns?;
                    meter.late(self.clock.now_ns().saturating_sub(due_ns));
                    let body = stamped(self.run, due_ns, load.size);
                    let message = Message::new(load.target.topic.as_str(), body);
                    let producer = &self.producer;
                    sending.push(async move { producer.send(message).await.map(drop) });
                    sent += 1;
                }
                () = self.arrivals.some.notified() => {}
                _ = tick.tick() => {}
            }
            for (due_ns, came_ns) in self.arrivals.take() {
                meter.answered(came_ns.saturating_sub(due_ns), 1, load.size as u64);
                received += 1;
            }
            let now_ns = meter.now_ns();
            if meter.tick(now_ns) && !over {
                (over, end_ns) = (true, now_ns + DRAIN.as_nanos() as u64);
            }
        }
        drop(sending);
        for consumer in self.consumers {
            consumer.close().await;
        }
        close(&self.clients).await;
        Ok(meter.finish(sent.saturating_sub(received) as usize))
    }
}

/// Whether the consumers have every queue of the topic, each once, and each its share: before they have all heard
/// of each other, one may have them all, and what it gives up is read on only when another has begun.
fn shared_out(consumers: &[PushConsumer], topic: &str, queues: usize) -> bool {
    let of_topic = |consumer: &PushConsumer| {
        consumer.assigned().iter().filter(|(queue, _)| *queue.topic == *topic).count()
    };
    let counts: Vec<usize> = consumers.iter().map(of_topic).collect();
    consumers.iter().all(PushConsumer::is_settled)
        && counts.iter().sum::<usize>() == queues
        && counts.iter().all(|count| *count >= queues / consumers.len())
}

fn wall_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message tells when it was to be sent, and only to the run that sent it; a body that is too
    /// short for that is nobody's.
    #[test]
    fn stamps() {
        assert_eq!(sent_at(&stamped(7, 11, 1024), 7), Some(11));
        assert_eq!(stamped(7, 11, 1024).len(), 1024);
        assert_eq!(sent_at(&stamped(7, 11, 1), 7), Some(11));
        assert_eq!(sent_at(&stamped(7, 11, 1024), 8), None);
        assert_eq!(sent_at(b"short", 7), None);
    }
}
