//! `bench pull --client sdk`: one pull consumer per connection, each with its share of the queues.

use std::cell::RefCell;
use std::collections::BTreeMap;

use client::{Client, MessageQueue, Position, PullConsumer, Received};
use futures_util::future::try_join_all;

use super::{CONSUMER_GROUP, NO_CODE, TICK, close, connect, failed, on_this_thread};
use crate::args::{LoadArgs, PullArgs};
use crate::drive::{Drive, Measured};
use crate::error::BenchError;
use crate::measure::{Meter, Tally};
use crate::puller::Lane;

/// Runs `bench pull` through the SDK.
pub(crate) fn run(args: &PullArgs) -> Result<Measured, BenchError> {
    let load = &args.load;
    let (warmup, length) = args.window();
    Drive::of(load, warmup, length).run(|thread, mut meter| {
        on_this_thread(async {
            let mine = (thread..load.connections).step_by(load.threads);
            let clients = connect(&load.target, mine.len())?;
            let readers =
                clients.iter().zip(mine).map(|(client, i)| Reader::start(load, client, i));
            let readers = try_join_all(readers).await?;
            meter.tick(meter.now_ns());
            let meter = RefCell::new(meter);
            let pulls = readers.into_iter().map(|reader| reader.read(args.once, &meter));
            try_join_all(pulls).await?;
            close(&clients).await;
            let mut meter = meter.into_inner();
            meter.close(meter.now_ns());
            Ok::<Tally, BenchError>(meter.finish(0))
        })
    })
}

/// One connection's consumer, with the queues that it has not read to their end.
struct Reader {
    consumer: PullConsumer,
    lanes: BTreeMap<MessageQueue, Lane>,
}

impl Reader {
    async fn start(load: &LoadArgs, client: &Client, i: usize) -> Result<Reader, BenchError> {
        let start = client.pull_consumer(CONSUMER_GROUP);
        let mut consumer = start.map_err(failed("start a consumer"))?;
        let queues = consumer.queues(&load.target.topic).await;
        let queues = queues.map_err(failed("find the queues"))?;
        let mut lanes = BTreeMap::new();
        for queue in queues.into_iter().skip(i).step_by(load.connections) {
            let bound = |position| consumer.resolve(&queue, position);
            let min = bound(Position::First).await.map_err(failed("ask for an offset"))?;
            let max = bound(Position::Last).await.map_err(failed("ask for an offset"))?;
            if min < max {
                let assigned = consumer.assign(queue.clone(), Position::Offset(min)).await;
                assigned.map_err(failed("assign a queue"))?;
                lanes.insert(queue.clone(), Lane { queue: queue.id, min, max, offset: min });
            }
        }
        Ok(Reader { consumer, lanes })
    }

    /// Reads each queue once, or again and again until the window is over.
    async fn read(mut self, once: bool, meter: &RefCell<Meter<'_>>) -> Result<(), BenchError> {
        while !self.lanes.is_empty() {
            let started_ns = meter.borrow().now_ns();
            let polled = self.consumer.poll(TICK).await;
            let now_ns = meter.borrow().now_ns();
            match polled {
                Ok(Some(messages)) => {
                    let bytes = messages.iter().map(|one| one.stored_bytes() as u64).sum();
                    let latency_ns = now_ns.saturating_sub(started_ns);
                    meter.borrow_mut().answered(latency_ns, messages.len() as u64, bytes);
                    self.advance(&messages, once).await?;
                }
                Ok(None) => {}
                Err(error) => meter.borrow_mut().failed(NO_CODE, || error.to_string()),
            }
            if meter.borrow_mut().tick(now_ns) {
                break;
            }
        }
        Ok(())
    }

    /// Follows what came of one queue, and goes on at its first message after the last, or ends.
    async fn advance(&mut self, messages: &[Received], once: bool) -> Result<(), BenchError> {
        let Some(queue) = messages.first().map(Received::queue) else { return Ok(()) };
        let Some(lane) = self.lanes.get_mut(queue) else { return Ok(()) };
        for found in messages.iter().map(Received::offset) {
            if found != lane.offset {
                let expected = lane.offset;
                return Err(BenchError::Order { queue: lane.queue, expected, found });
            }
            lane.offset += 1;
        }
        if lane.offset < lane.max {
            return Ok(());
        }
        if once {
            self.consumer.unassign(queue);
            self.lanes.remove(queue);
            return Ok(());
        }
        lane.offset = lane.min;
        let first = Position::Offset(lane.min);
        self.consumer.seek(queue, first).await.map_err(failed("go back to the first message"))
    }
}
