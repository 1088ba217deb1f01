//! `apogee message`: finds single messages.

use client::{Client, MessageQueue, Received};
use env::Env;

use crate::Common;
use crate::failure::Failure;
use crate::output::{Format, Output};
use crate::printed::Printed;
use crate::start::{Start, parse_start};
use crate::time;

/// Arguments of `apogee message`.
#[derive(Debug, clap::Args)]
pub struct MessageArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: MessageCommand,
}

/// A way to find messages.
#[derive(Debug, clap::Subcommand)]
#[allow(clippy::enum_variant_names, reason = "the variants are the commands' names")]
enum MessageCommand {
    /// The message with an id: the offset message id, or with --topic also the one that its
    /// producer gave
    ById {
        /// The id
        id: String,
        /// Topic of the message
        #[arg(long, short)]
        topic: Option<String>,
    },
    /// The messages that carry a business key, oldest first
    ByKey {
        /// Topic of the messages
        topic: String,
        /// The key
        key: String,
        /// Stored at or after: a UTC time (2024-05-01T12:00:00), or an age (15m)
        #[arg(long, default_value = "first", value_parser = parse_start)]
        from: Start,
        /// At most so many of each broker
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
        max: u32,
    },
    /// The messages with the id that their producer gave: several if it was sent again
    ByUniqueKey {
        /// Topic of the messages
        topic: String,
        /// The id
        id: String,
    },
    /// The message at an offset of a queue, as `apogee send` prints them
    ByOffset {
        /// The queue
        #[arg(value_name = "TOPIC@BROKER#QUEUE", value_parser = parse_queue)]
        queue: MessageQueue,
        /// The offset
        offset: u64,
    },
}

pub(crate) async fn run(env: &Env, args: MessageArgs, output: &mut Output) -> anyhow::Result<()> {
    let client = args.common.connect(env)?;
    let found = find(&client, env.clock.wall_ms(), &args.command).await;
    client.close().await;
    let (messages, what) = found?;
    if messages.is_empty() {
        return Err(Failure::NotFound(what).into());
    }
    for (index, message) in messages.iter().enumerate() {
        match args.common.output {
            Format::Json => output.json(&Printed::new(message))?,
            Format::Text => {
                if index > 0 {
                    output.line("")?;
                }
                print(message, output)?;
            }
        }
    }
    Ok(())
}

/// What was found, and what to say when that is nothing.
async fn find(
    client: &Client,
    now_ms: i64,
    command: &MessageCommand,
) -> anyhow::Result<(Vec<Received>, String)> {
    let admin = client.admin();
    Ok(match command {
        MessageCommand::ById { id, topic } => {
            let mut found: Vec<Received> = admin.message_by_id(id).await?.into_iter().collect();
            match topic {
                Some(topic) if found.is_empty() => {
                    found = admin.messages_by_unique_key(topic, id).await?;
                }
                Some(topic) => found.retain(|message| message.topic() == topic),
                None => {}
            }
            let hint =
                if topic.is_none() { "; an id that a producer gave needs --topic" } else { "" };
            (found, format!("no message with id {id}{hint}"))
        }
        MessageCommand::ByKey { topic, key, from, max } => {
            let begin = match from.position(now_ms) {
                client::Position::TimeMs(time) => time,
                client::Position::First => 0,
                _ => {
                    let text = "--from: expected first, a time or an age".to_owned();
                    return Err(Failure::Usage(text).into());
                }
            };
            let times = (begin, i64::MAX);
            let found = admin.messages_by_key(topic, key, times, *max).await?;
            (found, format!("no message of topic {topic} has the key {key}"))
        }
        MessageCommand::ByUniqueKey { topic, id } => {
            let found = admin.messages_by_unique_key(topic, id).await?;
            (found, format!("no message of topic {topic} has the id {id}"))
        }
        MessageCommand::ByOffset { queue, offset } => {
            let found = admin.message_at(queue, *offset).await?.into_iter().collect();
            (found, format!("no message at offset {offset} of {queue}"))
        }
    })
}

fn print(message: &Received, output: &mut Output) -> std::io::Result<()> {
    let properties = message.properties().map(|(name, value)| format!("{name}={value}"));
    let rows = [
        ("message id", message.message_id()),
        ("offset message id", message.offset_message_id()),
        ("topic", message.topic().to_owned()),
        ("queue", format!("{} {}", message.queue(), message.offset())),
        ("tag", message.tag().unwrap_or("-").to_owned()),
        ("keys", message.keys().unwrap_or("-").to_owned()),
        ("born", format!("{} at {}", time::format(message.born_ms()), message.born_host())),
        ("stored", format!("{} at {}", time::format(message.store_ms()), message.store_host())),
        ("deliveries before", message.reconsume_times().to_string()),
        ("properties", properties.collect::<Vec<_>>().join(" ")),
        ("body", String::from_utf8_lossy(message.body()).into_owned()),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    output.rows(&rows)
}

fn parse_queue(text: &str) -> Result<MessageQueue, String> {
    let parse = || {
        let (rest, id) = text.rsplit_once('#')?;
        let (topic, broker) = rest.split_once('@')?;
        let valid = !topic.is_empty() && !broker.is_empty();
        valid.then_some(MessageQueue::new(topic, broker, id.parse().ok()?))
    };
    parse().ok_or_else(|| "expected TOPIC@BROKER#QUEUE".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // A queue is read as it is printed.
    #[test]
    fn queues() {
        let queue = MessageQueue::new("T", "broker-a", 3);
        assert_eq!(parse_queue(&queue.to_string()), Ok(queue));
        for text in ["T@b", "T#1", "@b#1", "T@#1", "T@b#x", "T@b#-1"] {
            assert!(parse_queue(text).is_err(), "{text}");
        }
    }
}
