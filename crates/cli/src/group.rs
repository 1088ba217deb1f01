//! `apogee group`: list and describe consumer groups, and how far they are. Changes are in
//! [`crate::group_change`] and [`crate::reset`].

use std::collections::BTreeMap;

use client::{At, Client, Connection, ConsumerConnection, QueueProgress, SubscriptionGroupConfig};
use env::Env;
use serde_json::{Value, json};

use crate::Common;
use crate::failure::Failure;
use crate::group_change::{self, CreateArgs, DeleteArgs, UpdateArgs};
use crate::output::{Format, Output};
use crate::reset::{self, ResetArgs};
use crate::target::Where;
use crate::time;

/// Arguments of `apogee group`.
#[derive(Debug, clap::Args)]
pub struct GroupArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: GroupCommand,
}

/// An operation on consumer groups.
#[derive(Debug, clap::Subcommand)]
enum GroupCommand {
    /// List the consumer groups, with the number of their members
    List {
        /// Show the system's own groups too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Show a group's settings, members, subscriptions, and its lag in every queue
    Describe {
        /// Name of the group
        group: String,
    },
    /// Show how many messages of each queue a group has not consumed
    Lag {
        /// Name of the group
        group: String,
        /// Only in this topic
        #[arg(long, short)]
        topic: Option<String>,
    },
    /// Create a group
    Create(CreateArgs),
    /// Change what is given of a group, and nothing else
    Update(UpdateArgs),
    /// Delete a group
    Delete(DeleteArgs),
    /// Move a group to another place of a topic
    ResetOffset(ResetArgs),
}

pub(crate) async fn run(env: &Env, args: GroupArgs, output: &mut Output) -> anyhow::Result<()> {
    let format = args.common.output;
    let client = args.common.connect(env)?;
    let result = match &args.command {
        GroupCommand::List { all, place } => list(&client, format, (*all, place), output).await,
        GroupCommand::Describe { group } => describe(&client, format, group, output).await,
        GroupCommand::Lag { group, topic } => {
            lag(&client, format, (group, topic.as_deref()), output).await
        }
        GroupCommand::Create(args) => group_change::create(&client, format, args, output).await,
        GroupCommand::Update(args) => group_change::update(&client, format, args, output).await,
        GroupCommand::Delete(args) => group_change::delete(&client, format, args, output).await,
        GroupCommand::ResetOffset(args) => {
            reset::run(&client, env.clock.wall_ms(), (format, args), output).await
        }
    };
    client.close().await;
    result
}

async fn list(
    client: &Client,
    format: Format,
    (all, place): (bool, &Where),
    output: &mut Output,
) -> anyhow::Result<()> {
    let mut brokers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for At { broker, value: groups, .. } in client.admin().groups(place.target()).await? {
        for group in groups {
            if all || !is_internal(&group.group_name) {
                brokers.entry(group.group_name).or_default().push(broker.to_string());
            }
        }
    }
    let mut rows = Vec::new();
    for (group, brokers) in brokers {
        let members = members(&client.admin().members(&group, place.target()).await?).len();
        if format == Format::Json {
            output.json(&json!({ "group": group, "members": members, "brokers": brokers }))?;
        } else {
            rows.push(vec![group, members.to_string(), brokers.join(" ")]);
        }
    }
    if format == Format::Text {
        output.table(&["GROUP", "MEMBERS", "BROKERS"], &rows)?;
    }
    Ok(())
}

/// Whether the system made the group for itself (`MixAll`).
fn is_internal(group: &str) -> bool {
    const NAMES: [&str; 4] =
        ["TOOLS_CONSUMER", "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP", "__MONITOR_CONSUMER"];
    NAMES.contains(&group)
        || group.starts_with("CID_ONS")
        || group.starts_with("CID_ONSAPI")
        || group.starts_with("CID_RMQ_SYS_")
        || group.starts_with("CID_SYS_RMQ_")
}

/// Members of all brokers, each once.
fn members(found: &[At<ConsumerConnection>]) -> BTreeMap<&str, &Connection> {
    let all = found.iter().flat_map(|one| &one.value.connection_set);
    all.map(|member| (&*member.client_id, member)).collect()
}

async fn describe(
    client: &Client,
    format: Format,
    group: &str,
    output: &mut Output,
) -> anyhow::Result<()> {
    let admin = client.admin();
    let configs = admin.group_configs(group, None).await?;
    let connected = admin.members(group, None).await?;
    let queues = admin.progress(group, None).await?;
    if configs.is_empty() && connected.is_empty() && queues.is_empty() {
        return Err(unknown(group));
    }
    match format {
        Format::Json => describe_json(group, (&configs, &connected, &queues), output),
        Format::Text => describe_text((&configs, &connected, &queues), output),
    }
}

/// What the cluster says of a group: settings, members, progress.
type Described<'a> =
    (&'a [At<SubscriptionGroupConfig>], &'a [At<ConsumerConnection>], &'a [QueueProgress]);

fn describe_json(
    group: &str,
    (configs, connected, queues): Described<'_>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let brokers = configs.iter().map(|one| json!({ "broker": &*one.broker, "config": one.value }));
    let members: Vec<&Connection> = members(connected).into_values().collect();
    let subscriptions = connected.first().map(|one| &one.value.subscription_table);
    Ok(output.json(&json!({
        "group": group,
        "brokers": brokers.collect::<Vec<_>>(),
        "members": members,
        "messageModel": connected.first().map(|one| one.value.message_model),
        "subscriptions": subscriptions.map(|table| table.values().collect::<Vec<_>>()),
        "lag": queues.iter().map(QueueProgress::lag).sum::<u64>(),
        "queues": queues.iter().map(progress_json).collect::<Vec<_>>(),
    }))?)
}

fn describe_text(
    (configs, connected, queues): Described<'_>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let settings = configs.iter().map(|one| {
        let config = &one.value;
        vec![
            one.broker.to_string(),
            config.consume_enable.to_string(),
            config.consume_broadcast_enable.to_string(),
            config.consume_message_orderly.to_string(),
            config.retry_max_times.to_string(),
        ]
    });
    let header = ["BROKER", "CONSUME", "BROADCAST", "ORDERLY", "RETRIES"];
    output.table(&header, &settings.collect::<Vec<_>>())?;
    output.line("")?;
    let rows = members(connected).into_values().map(|member| {
        vec![
            member.client_id.clone(),
            member.client_addr.clone(),
            member.language.clone(),
            member.version.to_string(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        output.line("no members")?;
    } else {
        output.table(&["MEMBER", "ADDRESS", "LANGUAGE", "VERSION"], &rows)?;
    }
    if let Some(one) = connected.first() {
        output.line("")?;
        let rows = one.value.subscription_table.values().map(|subscription| {
            vec![
                subscription.topic.clone(),
                subscription.expression_type.clone(),
                subscription.sub_string.clone(),
            ]
        });
        output.table(&["SUBSCRIPTION", "TYPE", "EXPRESSION"], &rows.collect::<Vec<_>>())?;
    }
    output.line("")?;
    progress_table(queues, output)
}

async fn lag(
    client: &Client,
    format: Format,
    (group, topic): (&str, Option<&str>),
    output: &mut Output,
) -> anyhow::Result<()> {
    let queues = client.admin().progress(group, topic).await?;
    if queues.is_empty() && client.admin().group_configs(group, None).await?.is_empty() {
        return Err(unknown(group));
    }
    match format {
        Format::Json => queues.iter().try_for_each(|one| output.json(&progress_json(one)))?,
        Format::Text => progress_table(&queues, output)?,
    }
    Ok(())
}

fn unknown(group: &str) -> anyhow::Error {
    Failure::NotFound(format!("no broker knows group {group}")).into()
}

fn progress_json(one: &QueueProgress) -> Value {
    json!({
        "topic": &*one.queue.topic, "broker": &*one.queue.broker, "queue": one.queue.id,
        "committedOffset": one.committed, "maxOffset": one.max, "lag": one.lag(),
        "inFlight": one.in_flight(), "lastConsumedStoreTime": one.last_ms.map(time::format),
    })
}

fn progress_table(queues: &[QueueProgress], output: &mut Output) -> anyhow::Result<()> {
    let rows = queues.iter().map(|one| {
        vec![
            one.queue.topic.to_string(),
            one.queue.broker.to_string(),
            one.queue.id.to_string(),
            one.committed.to_string(),
            one.max.to_string(),
            one.lag().to_string(),
            one.in_flight().to_string(),
            one.last_ms.map_or_else(|| "-".to_owned(), time::format),
        ]
    });
    let header =
        ["TOPIC", "BROKER", "QUEUE", "COMMITTED", "MAX", "LAG", "IN FLIGHT", "LAST CONSUMED"];
    output.table(&header, &rows.collect::<Vec<_>>())?;
    output.flush()?;
    let lag: u64 = queues.iter().map(QueueProgress::lag).sum();
    output.note(format_args!("{lag} messages behind"));
    Ok(())
}
