//! Administration.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use client::{AdminError, Message, RouteError, SendError, TopicSpec};

use parking_lot::Mutex;
use serde_json::Value;

use crate::Context;

/// Shows that a topic that was created is listed and described with what it holds, can be changed,
/// and is gone after its deletion.
pub(crate) async fn topics_are_created_described_deleted(context: &Context) -> Result<()> {
    let client = context.client()?;
    let admin = client.admin();
    let topic = context.topic(&client, 3).await?;
    ensure!(admin.topics().await?.contains(&topic));
    let cluster = admin.cluster().await?;
    ensure!(cluster.brokers.len() == 1 && cluster.clusters.len() == 1, "{cluster:?}");
    let producer = client.producer("senders")?;
    for _ in 0..6 {
        producer.send(Message::new(&topic, "x")).await?;
    }
    let described = admin.describe_topic(&topic).await?;
    ensure!(described.queues.len() == 3, "{described:?}");
    ensure!(described.queues.iter().all(|range| range.min == 0 && range.max == 2), "{described:?}");
    let wider = TopicSpec { read_queues: 5, write_queues: 5, ..TopicSpec::new(&topic) };
    admin.create_topic(&wider, None).await?;
    ensure!(admin.describe_topic(&topic).await?.queues.len() == 5);
    let error = admin.create_topic(&wider, Some("no-such-cluster")).await;
    ensure!(matches!(error, Err(AdminError::NoCluster { .. })), "{error:?}");
    admin.delete_topic(&topic, None).await?;
    let error = admin.describe_topic(&topic).await;
    ensure!(matches!(error, Err(AdminError::Route(RouteError::NoTopic { .. }))), "{error:?}");
    ensure!(!admin.topics().await?.contains(&topic));
    let read_only = TopicSpec { permission: 4, ..TopicSpec::new(context.name("read-only")) };
    admin.create_topic(&read_only, None).await?;
    let error = producer.send(Message::new(&read_only.name, "x")).await;
    ensure!(matches!(error, Err(SendError::NoQueue { .. })), "{error:?}");
    client.close().await;
    Ok(())
}

/// A command line without the binary.
#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: cli::Command,
}

/// A stream that can be read afterwards.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code.
    pub(crate) code: u8,
    /// What it printed.
    pub(crate) lines: Vec<Value>,
    /// What it said besides.
    pub(crate) notes: String,
}

/// Runs a command with JSON lines as its output.
pub(crate) async fn command(context: &Context, words: &[&str]) -> Result<Ended> {
    let namesrv = context.shared.cluster()?.namesrv().to_string();
    let options = ["--namesrv", &namesrv, "--output", "json"];
    let line = Line::try_parse_from(["apogee"].iter().chain(words).chain(&options))?;
    let (data, notes) = (Sink::default(), Sink::default());
    let mut output = cli::Output::new(data.clone(), notes.clone());
    let code = cli::run(&env::Env::real(), line.command, &mut output).await;
    let text = |sink: &Sink| String::from_utf8_lossy(&sink.0.lock()).into_owned();
    // An exit code does not say its number, but equal ones print alike.
    let number = |number: &u8| format!("{:?}", ExitCode::from(*number)) == format!("{code:?}");
    let code = (0..=u8::MAX).find(number).context("an exit code is a number")?;
    let lines: Result<Vec<Value>, _> = text(&data).lines().map(serde_json::from_str).collect();
    Ok(Ended { code, lines: lines.context("every line is JSON")?, notes: text(&notes) })
}

/// Shows that the commands send, print and manage as they say, with one JSON object per line, and
/// fail with a message and a code.
pub(crate) async fn commands_print_json_lines(context: &Context) -> Result<()> {
    let topic = &*context.name("topic");
    let run = async |words: &[&str]| -> Result<Vec<Value>> {
        let ended = command(context, words).await?;
        ensure!(ended.code == 0, "{words:?}: {ended:?}");
        Ok(ended.lines)
    };
    run(&["topic", "create", topic, "--queues", "2"]).await?;
    ensure!(run(&["topic", "list"]).await?.iter().any(|line| line["topic"] == topic));
    let sent = ["send", topic, "hello", "--count", "3", "--key", "k", "--tag", "t"];
    let sent = run(&[&sent[..], &["--property", "a=b"]].concat()).await?;
    ensure!(sent.len() == 3 && sent.iter().all(|line| line["status"] == "Ok"), "{sent:?}");
    run(&["send", topic, "--size", "5000", "--ordered-by", "x"]).await?;
    let got = run(&["consume", topic, "--no-follow", "--filter", "t"]).await?;
    ensure!(got.len() == 3, "sent {sent:?}, got {got:?}");
    let fields = [("body", "hello"), ("key", "k"), ("tag", "t"), ("topic", topic)];
    for line in &got {
        ensure!(fields.iter().all(|(name, value)| line[name] == *value), "{line}");
        ensure!(line["properties"]["a"] == "b", "{line}");
        ensure!(sent.iter().any(|sent| sent["messageId"] == line["messageId"]), "{line}");
    }
    let count = run(&["consume", topic, "--count", "2"]).await?;
    ensure!(count.len() == 2, "{count:?}");
    let group = &*context.name("group");
    for (round, expected) in [(1, 4), (2, 0)] {
        let got = run(&["consume", topic, "--no-follow", "--group", group]).await?;
        ensure!(got.len() == expected, "round {round}: {got:?}");
    }
    let described = run(&["topic", "describe", topic]).await?;
    let held = described.iter().filter_map(|line| line["maxOffset"].as_u64()).sum::<u64>();
    ensure!(described.len() == 2 && held == 4, "{described:?}");
    run(&["topic", "delete", topic, "--yes"]).await?;
    let ended = command(context, &["topic", "describe", topic]).await?;
    ensure!(ended.code == 4, "{ended:?}");
    ensure!(ended.notes.starts_with("error: ") && ended.notes.contains(topic), "{ended:?}");
    Ok(())
}
