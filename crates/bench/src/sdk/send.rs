//! `bench send --client sdk`.

use client::{Client, Message, Producer, ProducerSettings, SendError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::pace::Pace;
use super::{TICK, close, code_of, connect, failed, on_this_thread};
use crate::args::SendArgs;
use crate::drive::{Drive, Measured};
use crate::error::BenchError;
use crate::measure::{Meter, Tally};
use crate::send::DRAIN;

/// Runs `bench send` through the SDK.
pub(crate) fn run(args: &SendArgs) -> Result<Measured, BenchError> {
    let load = &args.load;
    let length = args.messages.is_none().then_some(load.seconds);
    Drive::of(load, load.warmup, length).run(|thread, meter| {
        on_this_thread(async {
            let connections = (thread..load.connections).step_by(load.threads).count();
            let clients = connect(&load.target, connections)?;
            let tally = send(args, &clients, meter).await;
            close(&clients).await;
            tally
        })
    })
}

/// A producer that tries once and does not compress: a failure is to be seen, and bodies of equal
/// bytes would all but vanish.
pub(super) fn producer(client: &Client) -> Result<Producer, BenchError> {
    let settings =
        ProducerSettings { retries: 0, compress_from: usize::MAX, ..ProducerSettings::default() };
    client.producer_with("bench_producer", settings).map_err(failed("start a producer"))
}

async fn send(
    args: &SendArgs,
    clients: &[Client],
    mut meter: Meter<'_>,
) -> Result<Tally, BenchError> {
    let load = &args.load;
    let producers = clients.iter().map(producer).collect::<Result<Vec<_>, _>>()?;
    let mut producers = producers.iter().cycle();
    let share = |total: f64| total / args.batch as f64 / load.threads as f64;
    let mut remaining = args.messages.map_or(u64::MAX, |n| share(n as f64).ceil() as u64);
    let mut pace = Pace::new(args.rate.map(share), meter.clock())?;
    let at_most = clients.len() * load.in_flight;
    let body = vec![b'x'; load.size];
    let (messages, bytes) = (args.batch as u64, (args.batch * load.size) as u64);
    let mut sending = FuturesUnordered::new();
    let mut tick = tokio::time::interval(TICK);
    let (mut over, mut end_ns) = (meter.tick(meter.now_ns()), u64::MAX);
    while !over && remaining > 0 || !sending.is_empty() && meter.now_ns() < end_ns {
        tokio::select! {
            Some((started_ns, sent)) = sending.next() => match sent {
                Ok(()) => {
                    let latency_ns = meter.now_ns().saturating_sub(started_ns);
                    meter.answered(latency_ns, messages, bytes);
                }
                Err(error) => meter.failed(code_of(&error), || error.to_string()),
            },
            due_ns = pace.next(), if !over && remaining > 0 && sending.len() < at_most => {
                let due_ns = due_ns?;
                if args.rate.is_some() {
                    meter.late(meter.now_ns().saturating_sub(due_ns));
                }
                remaining -= 1;
                let producer = producers.next().expect("there is a connection at least");
                let request = request(producer, &load.target.topic, &body, args.batch);
                sending.push(async move { (due_ns, request.await) });
            }
            _ = tick.tick() => {}
        }
        let now_ns = meter.now_ns();
        if meter.tick(now_ns) && !over {
            (over, end_ns) = (true, now_ns + DRAIN.as_nanos() as u64);
        }
    }
    meter.close(meter.now_ns());
    Ok(meter.finish(sending.len()))
}

async fn request(
    producer: &Producer,
    topic: &str,
    body: &[u8],
    batch: usize,
) -> Result<(), SendError> {
    let message = || Message::new(topic, body.to_vec());
    if batch == 1 {
        return producer.send(message()).await.map(drop);
    }
    let messages = std::iter::repeat_with(message).take(batch).collect();
    producer.send_batch(messages).await.map(drop)
}
