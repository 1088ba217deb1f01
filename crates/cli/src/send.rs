//! `apogee send`: sends messages given as arguments, read from standard input, or made up.

use std::time::Duration;

use anyhow::Context;
use client::{Message, Producer, Receipt};
use env::Env;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::Common;
use crate::failure::Failure;
use crate::output::{Format, Output};

/// Sends that wait for an answer at the same time.
const IN_FLIGHT: usize = 64;
/// Longest line that is read from standard input: the largest message a broker takes.
const LINE_BYTES: u64 = 4 << 20;

/// Arguments of `apogee send`.
#[derive(Debug, clap::Args)]
pub struct SendArgs {
    #[command(flatten)]
    common: Common,
    /// Topic to send to; the broker creates it when it may
    topic: String,
    /// Bodies, one message each; `-` reads one message per line from standard input
    #[arg(value_name = "BODY", conflicts_with = "size")]
    bodies: Vec<String>,
    /// Business key; may be repeated
    #[arg(long)]
    key: Vec<String>,
    /// Tag, by which consumers can filter
    #[arg(long)]
    tag: Option<String>,
    /// Property of the application; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_property)]
    property: Vec<(String, String)>,
    /// Send every body this many times
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Send a body of this many bytes instead of a text
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=4194304))]
    size: Option<u32>,
    /// Order key: messages of one key go to one queue, one after the other
    #[arg(long, value_name = "KEY")]
    ordered_by: Option<String>,
    /// Producer group
    #[arg(long, default_value = "apogee-cli")]
    group: String,
}

/// A receipt as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    topic: &'a str,
    broker: &'a str,
    queue: u32,
    offset: u64,
    message_id: &'a str,
    offset_message_id: &'a str,
    status: String,
}

pub(crate) async fn run(env: &Env, args: SendArgs, output: &mut Output) -> anyhow::Result<()> {
    let bodies = match (args.size, args.bodies.as_slice()) {
        (Some(size), _) => vec!["x".repeat(size as usize)],
        (None, []) => {
            let nothing = "nothing to send: give a BODY, `-`, or --size";
            return Err(Failure::Usage(nothing.to_owned()).into());
        }
        (None, bodies) => bodies.to_vec(),
    };
    let client = args.common.connect(env)?;
    let producer = client.producer(&args.group)?;
    let start = env.clock.mono();
    let mut sent = 0;
    let mut result = Ok(());
    for body in &bodies {
        result = match body.as_str() {
            "-" => send_lines(&producer, &args, output, &mut sent).await,
            body => send_body(&producer, &args, body, (output, &mut sent)).await,
        };
        if result.is_err() {
            break;
        }
    }
    if sent > 1 {
        output.note(format_args!("sent {sent} messages in {}", seconds(env.clock.mono() - start)));
    }
    producer.close().await;
    client.close().await;
    result
}

async fn send_body(
    producer: &Producer,
    args: &SendArgs,
    body: &str,
    (output, sent): (&mut Output, &mut u64),
) -> anyhow::Result<()> {
    // One at a time keeps the order of an order key.
    let in_flight = if args.ordered_by.is_some() { 1 } else { IN_FLIGHT };
    let message = message(args, body);
    let sends = stream::iter(0..args.count).map(|_| producer.send(message.clone()));
    let mut receipts = sends.buffered(in_flight);
    while let Some(receipt) = receipts.try_next().await? {
        *sent += 1;
        print(args.common.output, output, &receipt)?;
    }
    Ok(())
}

async fn send_lines(
    producer: &Producer,
    args: &SendArgs,
    output: &mut Output,
    sent: &mut u64,
) -> anyhow::Result<()> {
    let mut input = BufReader::new(tokio::io::stdin());
    loop {
        let mut line = Vec::new();
        let mut bounded = tokio::io::AsyncReadExt::take(&mut input, LINE_BYTES + 1);
        let len = bounded.read_until(b'\n', &mut line).await.context("reading standard input")?;
        if len == 0 {
            return Ok(());
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        let line = String::from_utf8(line).context("a line of standard input is not UTF-8")?;
        if !line.is_empty() {
            send_body(producer, args, &line, (output, sent)).await?;
            output.flush()?;
        }
    }
}

fn message(args: &SendArgs, body: &str) -> Message {
    let mut message = Message::new(args.topic.as_str(), body.to_owned());
    for key in &args.key {
        message = message.key(key);
    }
    for (name, value) in &args.property {
        message = message.property(name, value);
    }
    if let Some(tag) = &args.tag {
        message = message.tag(tag);
    }
    if let Some(key) = &args.ordered_by {
        message = message.ordered_by(key);
    }
    message
}

fn print(format: Format, output: &mut Output, receipt: &Receipt) -> std::io::Result<()> {
    let Receipt { queue, offset, message_id, .. } = receipt;
    match format {
        Format::Text => output.line(format_args!("{queue} {offset} {message_id}")),
        Format::Json => output.json(&Sent {
            topic: &queue.topic,
            broker: &queue.broker,
            queue: queue.id,
            offset: *offset,
            message_id,
            offset_message_id: &receipt.offset_message_id,
            status: format!("{:?}", receipt.status),
        }),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}
