//! `apogee consume`: prints the messages of a topic.
//!
//! Without `--group` every queue is read by this process alone, and nothing is committed: the same
//! command shows the same messages again. With `--group` it is a member of that group like any
//! application, shares the queues with the other members, and commits what it printed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use client::{Client, ConsumeFrom, Consumed, MessageQueue, Position, PushConsumer, Received};
use env::Env;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::Common;
use crate::failure::Failure;
use crate::output::{Format, Output};
use crate::printed::Printed;
use crate::start::{Start, parse_start};

/// The group of readers that commit nothing; every broker knows it (`MixAll.TOOLS_CONSUMER_GROUP`).
const TOOLS_GROUP: &str = "TOOLS_CONSUMER";
/// How long one wait for messages lasts.
const WAIT: Duration = Duration::from_millis(200);
/// How long a member with `--no-follow` waits until it reads all queues of its share.
const ASSIGN: Duration = Duration::from_secs(10);
/// Messages that wait to be printed.
const TO_PRINT: usize = 256;

/// Arguments of `apogee consume`.
#[derive(Debug, clap::Args)]
pub struct ConsumeArgs {
    #[command(flatten)]
    common: Common,
    /// Topic to read
    topic: String,
    /// Consume as a member of this group, and commit
    #[arg(long, short)]
    group: Option<String>,
    /// Where to start: first, last, an offset, a UTC time (2024-05-01T12:00:00), or an age (15m)
    #[arg(long, default_value = "first", value_parser = parse_start)]
    from: Start,
    /// Print only messages with these tags: a || b
    #[arg(long, value_name = "TAGS", default_value = "*")]
    filter: String,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Wait for new messages until Ctrl-C (the default)
    #[arg(long, overrides_with = "no_follow")]
    follow: bool,
    /// End after the messages that are there now
    #[arg(long)]
    no_follow: bool,
}

pub(crate) async fn run(env: &Env, args: ConsumeArgs, output: &mut Output) -> anyhow::Result<()> {
    let position = args.from.position(env.clock.wall_ms());
    if args.group.is_some() && matches!(position, Position::Offset(_)) {
        let useless = "--from OFFSET names a place in a queue; it needs no --group";
        return Err(Failure::Usage(useless.to_owned()).into());
    }
    let mut stop = Interrupt::new()?;
    let client = args.common.connect(env)?;
    let mut printer = Printer { output, format: args.common.output, left: args.count, printed: 0 };
    let result = if printer.left == Some(0) {
        Ok(())
    } else {
        match &args.group {
            None => read(&client, &args, position, (&mut printer, &mut stop)).await,
            Some(group) => {
                join(env, &client, (&args, group, position), (&mut printer, &mut stop)).await
            }
        }
    };
    let printed = printer.printed;
    output.note(format_args!("{printed} messages"));
    client.close().await;
    result
}

/// Reads every queue alone.
async fn read(
    client: &Client,
    args: &ConsumeArgs,
    position: Position,
    (printer, stop): (&mut Printer<'_>, &mut Interrupt),
) -> anyhow::Result<()> {
    let mut consumer = client.pull_consumer(TOOLS_GROUP)?;
    consumer.filter(&args.filter);
    let mut ends = BTreeMap::new();
    for queue in consumer.queues(&args.topic).await? {
        if args.no_follow {
            ends.insert(queue.clone(), consumer.resolve(&queue, Position::Last).await?);
        }
        consumer.assign(queue, position).await?;
    }
    if consumer.positions().is_empty() {
        bail!("topic {} has no queue that can be read", args.topic);
    }
    loop {
        if args.no_follow && is_past(&consumer.positions(), &ends) {
            return Ok(());
        }
        let polled = tokio::select! {
            () = stop.wait() => return Ok(()),
            polled = consumer.poll(WAIT) => polled?,
        };
        for message in polled.into_iter().flatten() {
            // A message that came after the start is not one of those that are there now.
            let end = ends.get(message.queue()).copied().unwrap_or(u64::MAX);
            if message.offset() < end && printer.print(&message)? {
                return Ok(());
            }
        }
        printer.output.flush()?;
    }
}

/// Consumes as a member of a group.
async fn join(
    env: &Env,
    client: &Client,
    (args, group, position): (&ConsumeArgs, &str, Position),
    (printer, stop): (&mut Printer<'_>, &mut Interrupt),
) -> anyhow::Result<()> {
    let from = match position {
        Position::Last => ConsumeFrom::Last,
        Position::TimeMs(time) => ConsumeFrom::TimeMs(time),
        // `run` has refused offsets.
        Position::First | Position::Committed | Position::Offset(_) => ConsumeFrom::First,
    };
    let (to_print, mut arrived) = mpsc::channel::<(Received, oneshot::Sender<()>)>(TO_PRINT);
    let consumer = client
        .push_consumer(group)
        .subscribe(&args.topic, &args.filter)
        .from(from)
        .concurrently(move |messages| {
            let to_print = to_print.clone();
            async move {
                for message in messages {
                    let (done, printed) = oneshot::channel();
                    if to_print.send((message, done)).await.is_err() || printed.await.is_err() {
                        // Not printed: it must not be committed.
                        return std::future::pending().await;
                    }
                }
                Consumed::Success
            }
        })
        .await?;
    let ends = if args.no_follow { ends(client, &args.topic).await? } else { BTreeMap::new() };
    let started = env.clock.mono();
    let result = loop {
        let next = tokio::select! {
            () = stop.wait() => break Ok(()),
            next = env.clock.timeout(WAIT, arrived.recv()) => next,
        };
        let Ok(Some((message, done))) = next else {
            printer.output.flush()?;
            if !args.no_follow {
                continue;
            }
            if has_read(&consumer, &ends) {
                break Ok(());
            }
            if !consumer.is_settled() && env.clock.mono() - started > ASSIGN {
                let (topic, wait) = (&args.topic, ASSIGN.as_secs());
                break Err(anyhow!("not every queue of {topic} could be started within {wait} s"));
            }
            continue;
        };
        match printer.print(&message) {
            Ok(enough) => {
                // The listener waits for it unless the consumer is closed.
                let _ = done.send(());
                if enough {
                    break Ok(());
                }
            }
            Err(error) => break Err(error.into()),
        }
    };
    drop(arrived);
    consumer.close().await;
    result
}

async fn ends(client: &Client, topic: &str) -> anyhow::Result<BTreeMap<MessageQueue, u64>> {
    let described = client.admin().describe_topic(topic).await?;
    Ok(described.queues.into_iter().map(|range| (range.queue, range.max)).collect())
}

/// Whether a member has consumed what was there at the start, of the queues that are its share.
fn has_read(consumer: &PushConsumer, ends: &BTreeMap<MessageQueue, u64>) -> bool {
    // In this order: the share is complete before it is looked at.
    consumer.is_settled() && is_past(&consumer.assigned(), ends)
}

fn is_past(positions: &[(MessageQueue, u64)], ends: &BTreeMap<MessageQueue, u64>) -> bool {
    positions.iter().all(|(queue, next)| ends.get(queue).is_none_or(|end| next >= end))
}

/// Prints messages until there are enough.
struct Printer<'a> {
    output: &'a mut Output,
    format: Format,
    left: Option<u64>,
    printed: u64,
}

impl Printer<'_> {
    /// Returns whether this was the last one.
    fn print(&mut self, message: &Received) -> std::io::Result<bool> {
        match self.format {
            Format::Json => self.output.json(&Printed::new(message))?,
            Format::Text => self.output.line(format_args!(
                "{} {} {}{}",
                message.queue(),
                message.offset(),
                message.tag().map_or_else(String::new, |tag| format!("[{tag}] ")),
                String::from_utf8_lossy(message.body()),
            ))?,
        }
        self.printed += 1;
        self.left = self.left.map(|left| left - 1);
        let enough = self.left == Some(0);
        if enough {
            self.output.flush()?;
        }
        Ok(enough)
    }
}

/// Ctrl-C, or a request to terminate.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn new() -> anyhow::Result<Interrupt> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Interrupt {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
