//! `apogee topic`: list, create, describe and delete topics.

use client::{Client, TopicSpec};
use env::Env;
use serde_json::json;

use crate::Common;
use crate::output::{Format, Output};

/// An operation on topics.
#[derive(Debug, clap::Subcommand)]
pub enum TopicCommand {
    /// List the topics of the cluster
    List {
        #[command(flatten)]
        common: Common,
        /// Show system, retry and dead-letter topics too
        #[arg(long)]
        all: bool,
    },
    /// Create a topic, or change an existing one to what is given
    Create(CreateArgs),
    /// Show where a topic lives and what its queues hold
    Describe {
        #[command(flatten)]
        common: Common,
        /// Name of the topic
        topic: String,
    },
    /// Delete a topic with its messages
    Delete {
        #[command(flatten)]
        common: Common,
        /// Name of the topic
        topic: String,
        /// Only in this cluster
        #[arg(long, short)]
        cluster: Option<String>,
    },
}

/// Arguments of `apogee topic create`.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    #[command(flatten)]
    common: Common,
    /// Name of the topic
    topic: String,
    /// Queues per broker
    #[arg(long, short, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65536))]
    queues: u32,
    /// Permission: rw, r or w
    #[arg(long, default_value = "rw", value_parser = parse_permission)]
    perm: i32,
    /// Keep a global order of messages
    #[arg(long)]
    order: bool,
    /// Only in this cluster
    #[arg(long, short)]
    cluster: Option<String>,
    /// Attribute to set (+message.type=FIFO) or remove (-message.type); may be repeated
    #[arg(long, value_name = "CHANGE", allow_hyphen_values = true)]
    attribute: Vec<String>,
}

pub(crate) async fn run(
    env: &Env,
    command: TopicCommand,
    output: &mut Output,
) -> anyhow::Result<()> {
    let common = match &command {
        TopicCommand::List { common, .. }
        | TopicCommand::Describe { common, .. }
        | TopicCommand::Delete { common, .. } => common,
        TopicCommand::Create(args) => &args.common,
    };
    let format = common.output;
    let client = common.connect(env)?;
    let result = match &command {
        TopicCommand::List { all, .. } => list(&client, format, *all, output).await,
        TopicCommand::Create(args) => create(&client, args, output).await,
        TopicCommand::Describe { topic, .. } => describe(&client, format, topic, output).await,
        TopicCommand::Delete { topic, cluster, .. } => {
            delete(&client, format, (topic, cluster.as_deref()), output).await
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

async fn create(client: &Client, args: &CreateArgs, output: &mut Output) -> anyhow::Result<()> {
    let topic = TopicSpec {
        read_queues: args.queues,
        write_queues: args.queues,
        permission: args.perm,
        order: args.order,
        attributes: args.attribute.join(","),
        ..TopicSpec::new(&args.topic)
    };
    let brokers = client.admin().create_topic(&topic, args.cluster.as_deref()).await?;
    for broker in brokers {
        match args.common.output {
            Format::Text => output.line(format_args!(
                "created {} with {} queues at {broker}",
                topic.name, args.queues
            ))?,
            Format::Json => output.json(&json!({
                "topic": topic.name, "queues": args.queues, "broker": &*broker,
            }))?,
        }
    }
    Ok(())
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
    let shares = described.route.shares.iter().map(|(broker, share)| {
        let members = described.route.brokers.get(broker);
        let addresses = members.into_iter().flatten().map(|(id, a)| format!("{id}={a}"));
        vec![
            broker.to_string(),
            share.read_queues.to_string(),
            share.write_queues.to_string(),
            show_permission(share.permission),
            addresses.collect::<Vec<_>>().join(" "),
        ]
    });
    let shares: Vec<Vec<String>> = shares.collect();
    output.table(&["BROKER", "READ", "WRITE", "PERM", "ADDRESSES"], &shares)?;
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

async fn delete(
    client: &Client,
    format: Format,
    (topic, cluster): (&str, Option<&str>),
    output: &mut Output,
) -> anyhow::Result<()> {
    for broker in client.admin().delete_topic(topic, cluster).await? {
        match format {
            Format::Text => output.line(format_args!("deleted {topic} at {broker}"))?,
            Format::Json => output.json(&json!({ "topic": topic, "broker": &*broker }))?,
        }
    }
    Ok(())
}

fn parse_permission(text: &str) -> Result<i32, String> {
    match text {
        "rw" => Ok(6),
        "r" => Ok(4),
        "w" => Ok(2),
        _ => Err("expected rw, r or w".to_owned()),
    }
}

fn show_permission(permission: i32) -> String {
    let read = if permission & 4 != 0 { "r" } else { "-" };
    let write = if permission & 2 != 0 { "w" } else { "-" };
    format!("{read}{write}")
}
