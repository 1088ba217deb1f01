//! `apogee topic`: list, describe and delete topics. Creation and change are in
//! [`crate::topic_change`].

use client::{Client, TopicDescription};
use env::Env;
use serde_json::json;

use crate::Common;
use crate::confirm::Confirm;
use crate::output::{Format, Output};
use crate::time;
use crate::topic_change::{self, CreateArgs, UpdateArgs};

/// Arguments of `apogee topic`.
#[derive(Debug, clap::Args)]
pub struct TopicArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: TopicCommand,
}

/// An operation on topics.
#[derive(Debug, clap::Subcommand)]
enum TopicCommand {
    /// List the topics of the cluster
    List {
        /// Show system, retry and dead-letter topics too
        #[arg(long)]
        all: bool,
    },
    /// Create a topic
    Create(CreateArgs),
    /// Change what is given of a topic, and nothing else
    Update(UpdateArgs),
    /// Show where a topic lives and what its queues hold
    Describe {
        /// Name of the topic
        topic: String,
    },
    /// Show what every queue of a topic holds, since when, and how fast it grows
    Stats {
        /// Name of the topic
        topic: String,
    },
    /// Delete a topic with its messages
    Delete {
        /// Name of the topic
        topic: String,
        /// Only in this cluster
        #[arg(long, short)]
        cluster: Option<String>,
        #[command(flatten)]
        confirm: Confirm,
    },
}

pub(crate) async fn run(env: &Env, args: TopicArgs, output: &mut Output) -> anyhow::Result<()> {
    let format = args.common.output;
    let client = args.common.connect(env)?;
    let result = match &args.command {
        TopicCommand::List { all } => list(&client, format, *all, output).await,
        TopicCommand::Create(args) => topic_change::create(&client, format, args, output).await,
        TopicCommand::Update(args) => topic_change::update(&client, format, args, output).await,
        TopicCommand::Describe { topic } => describe(&client, format, topic, output).await,
        TopicCommand::Stats { topic } => stats(&client, format, topic, output).await,
        TopicCommand::Delete { topic, cluster, confirm } => {
            delete(&client, format, (topic, cluster.as_deref(), *confirm), output).await
        }
    };
    client.close().await;
    result
}

async fn list(
    client: &Client,
    format: Format,
    all: bool,
    output: &mut Output,
) -> anyhow::Result<()> {
    let clusters = client.admin().cluster().await?;
    let own =
        |topic: &str| clusters.clusters.contains_key(topic) || clusters.brokers.contains_key(topic);
    for topic in client.admin().topics().await? {
        // Brokers register a topic of their own name, and one of their cluster's.
        if !all && (is_internal(&topic) || own(&topic)) {
            continue;
        }
        match format {
            Format::Text => output.line(topic)?,
            Format::Json => output.json(&json!({ "topic": topic }))?,
        }
    }
    Ok(())
}

/// Whether the system made the topic for itself (`TopicValidator`).
fn is_internal(topic: &str) -> bool {
    const PREFIXES: [&str; 5] = ["%RETRY%", "%DLQ%", "rmq_sys_", "RMQ_SYS_", "CID_RMQ_SYS_"];
    const NAMES: [&str; 6] = [
        "TBW102",
        "SELF_TEST_TOPIC",
        "OFFSET_MOVED_EVENT",
        "SCHEDULE_TOPIC_XXXX",
        "BenchmarkTest",
        "TRANS_CHECK_MAX_TIME_TOPIC",
    ];
    NAMES.contains(&topic)
        || topic.ends_with("_REPLY_TOPIC")
        || PREFIXES.iter().any(|prefix| topic.starts_with(prefix))
}

async fn describe(
    client: &Client,
    format: Format,
    topic: &str,
    output: &mut Output,
) -> anyhow::Result<()> {
    let described = client.admin().describe_topic(topic).await?;
    if format == Format::Json {
        for range in described.queues {
            output.json(&json!({
                "topic": topic, "broker": &*range.queue.broker, "queue": range.queue.id,
                "minOffset": range.min, "maxOffset": range.max,
            }))?;
        }
        return Ok(());
    }
    output.table(&["BROKER", "READ", "WRITE", "PERM", "ADDRESSES"], &shares(&described))?;
    output.line("")?;
    let queues = described.queues.iter().map(|range| {
        vec![
            range.queue.broker.to_string(),
            range.queue.id.to_string(),
            range.min.to_string(),
            range.max.to_string(),
            range.max.saturating_sub(range.min).to_string(),
        ]
    });
    let queues: Vec<Vec<String>> = queues.collect();
    Ok(output.table(&["BROKER", "QUEUE", "MIN", "MAX", "MESSAGES"], &queues)?)
}

fn shares(described: &TopicDescription) -> Vec<Vec<String>> {
    let shares = described.route.shares.iter().map(|(broker, share)| {
        let members = described.route.brokers.get(broker);
        let addresses = members.into_iter().flatten().map(|(id, a)| format!("{id}={a}"));
        vec![
            broker.to_string(),
            share.read_queues.to_string(),
            share.write_queues.to_string(),
            topic_change::show_permission(share.permission),
            addresses.collect::<Vec<_>>().join(" "),
        ]
    });
    shares.collect()
}

async fn stats(
    client: &Client,
    format: Format,
    topic: &str,
    output: &mut Output,
) -> anyhow::Result<()> {
    let (queues, rate) = client.admin().topic_stats(topic).await?;
    let last = |ms: Option<i64>| ms.map(time::format);
    if format == Format::Json {
        for one in queues {
            let range = one.range;
            output.json(&json!({
                "topic": topic, "broker": &*range.queue.broker, "queue": range.queue.id,
                "minOffset": range.min, "maxOffset": range.max, "lastStoreTime": last(one.last_ms),
            }))?;
        }
        return Ok(());
    }
    let rows = queues.iter().map(|one| {
        let range = &one.range;
        vec![
            range.queue.broker.to_string(),
            range.queue.id.to_string(),
            range.min.to_string(),
            range.max.to_string(),
            range.max.saturating_sub(range.min).to_string(),
            last(one.last_ms).unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let header = ["BROKER", "QUEUE", "MIN", "MAX", "MESSAGES", "LAST MESSAGE"];
    output.table(&header, &rows.collect::<Vec<_>>())?;
    output.flush()?;
    output.note(format_args!("{rate:.1} messages/s came in over the last minute"));
    Ok(())
}

async fn delete(
    client: &Client,
    format: Format,
    (topic, cluster, confirm): (&str, Option<&str>, Confirm),
    output: &mut Output,
) -> anyhow::Result<()> {
    let scope = cluster.map_or_else(|| "all clusters".to_owned(), |name| format!("cluster {name}"));
    let what = format_args!("deletes topic {topic} with its messages and offsets in {scope}");
    confirm.loss(output, what).await?;
    for broker in client.admin().delete_topic(topic, cluster).await? {
        match format {
            Format::Text => output.line(format_args!("deleted {topic} at {broker}"))?,
            Format::Json => output.json(&json!({ "topic": topic, "broker": &*broker }))?,
        }
    }
    Ok(())
}
