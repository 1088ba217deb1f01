//! `apogee topic create` and `apogee topic update`.

use client::{AdminError, At, Client, RouteError, Target, TopicConfig, TopicSpec};
use serde_json::json;

use crate::change::Change;
use crate::confirm::Confirm;
use crate::failure::{Failure, Tally};
use crate::group_change::parse_attribute;
use crate::output::{Format, Output};
use crate::target::Where;

/// Arguments of `apogee topic create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
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
    #[command(flatten)]
    place: Where,
    /// Attribute to set (+message.type=FIFO); may be repeated
    #[arg(long, value_name = "CHANGE", allow_hyphen_values = true)]
    attribute: Vec<String>,
}

/// Arguments of `apogee topic update`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArgs {
    /// Name of the topic
    topic: String,
    /// Queues per broker
    #[arg(long, short, value_parser = clap::value_parser!(u32).range(1..=65536))]
    queues: Option<u32>,
    /// Queues per broker that may be read, where they differ: fewer can be written than read while
    /// the others are emptied
    #[arg(long, conflicts_with = "queues", value_parser = clap::value_parser!(u32).range(0..=65536))]
    read_queues: Option<u32>,
    /// Queues per broker that may be written
    #[arg(long, conflicts_with = "queues", value_parser = clap::value_parser!(u32).range(0..=65536))]
    write_queues: Option<u32>,
    /// Permission: rw, r or w
    #[arg(long, value_parser = parse_permission)]
    perm: Option<i32>,
    /// Whether to keep a global order of messages
    #[arg(long, value_name = "BOOL")]
    order: Option<bool>,
    /// Attribute to set (+message.type=FIFO) or remove (-message.type); may be repeated
    #[arg(long, value_name = "CHANGE", allow_hyphen_values = true)]
    attribute: Vec<String>,
    #[command(flatten)]
    place: Where,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn create(
    client: &Client,
    format: Format,
    args: &CreateArgs,
    output: &mut Output,
) -> anyhow::Result<()> {
    let target = args.place.target();
    refuse_existing(client, &args.topic, &target).await?;
    let topic = TopicSpec {
        read_queues: args.queues,
        write_queues: args.queues,
        permission: args.perm,
        order: args.order,
        attributes: args.attribute.join(","),
        ..TopicSpec::new(&args.topic)
    };
    for broker in client.admin().create_topic(&topic, target).await? {
        match format {
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

/// A topic that is there would be set back to defaults.
async fn refuse_existing(client: &Client, topic: &str, target: &Target) -> anyhow::Result<()> {
    let route = match client.admin().route(topic).await {
        Err(AdminError::Route(RouteError::NoTopic { .. })) => return Ok(()),
        other => other?,
    };
    let masters = client.admin().masters(target).await?;
    let Some(at) = masters.iter().find(|one| route.shares.contains_key(&one.broker)) else {
        return Ok(());
    };
    anyhow::bail!("topic {topic} exists at {} already; `apogee topic update` changes it", at.broker)
}

pub(crate) async fn update(
    client: &Client,
    format: Format,
    args: &UpdateArgs,
    output: &mut Output,
) -> anyhow::Result<()> {
    let admin = client.admin();
    let configs = admin.topic_configs(&args.topic, args.place.target()).await?;
    if configs.is_empty() {
        let text = format!("topic {} is at none of these brokers", args.topic);
        return Err(Failure::NotFound(text).into());
    }
    let mut changes = Vec::new();
    let mut changed = Vec::new();
    for At { broker, address, value: old } in &configs {
        let new = args.apply(old)?;
        let differences = Change::between(broker, old, &new)?;
        if !differences.is_empty() {
            changed.push((address, args.spec(&new)));
        }
        changes.extend(differences);
    }
    if changes.is_empty() {
        output.note(format_args!("nothing changes: topic {} is as asked for", args.topic));
        return Ok(());
    }
    Change::print(&changes, format, output)?;
    if !args
        .confirm
        .go_ahead(args.dry_run, output, format_args!("changes topic {}", args.topic))
        .await?
    {
        return Ok(());
    }
    let mut tally = Tally::default();
    for (address, spec) in changed {
        tally.add(address, admin.create_topic(&spec, Target::Broker(address.to_string())).await);
    }
    tally.finish()
}

impl UpdateArgs {
    /// The topic after the change.
    fn apply(&self, old: &TopicConfig) -> anyhow::Result<TopicConfig> {
        let mut new = old.clone();
        let count = |queues: u32| i32::try_from(queues).unwrap_or(i32::MAX);
        if let Some(queues) = self.queues.or(self.read_queues) {
            new.read_queue_nums = count(queues);
        }
        if let Some(queues) = self.queues.or(self.write_queues) {
            new.write_queue_nums = count(queues);
        }
        new.perm = self.perm.unwrap_or(old.perm);
        new.order = self.order.unwrap_or(old.order);
        for change in &self.attribute {
            match parse_attribute(change)? {
                (key, Some(value)) => new.attributes.insert(key.to_owned(), value.to_owned()),
                (key, None) => new.attributes.remove(key),
            };
        }
        Ok(new)
    }

    fn spec(&self, new: &TopicConfig) -> TopicSpec {
        TopicSpec { attributes: self.attribute.join(","), ..TopicSpec::of(new) }
    }
}

fn parse_permission(text: &str) -> Result<i32, String> {
    match text {
        "rw" => Ok(6),
        "r" => Ok(4),
        "w" => Ok(2),
        _ => Err("expected rw, r or w".to_owned()),
    }
}

pub(crate) fn show_permission(permission: i32) -> String {
    let read = if permission & 4 != 0 { "r" } else { "-" };
    let write = if permission & 2 != 0 { "w" } else { "-" };
    format!("{read}{write}")
}
