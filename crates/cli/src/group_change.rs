//! `apogee group create`, `update` and `delete`.

use client::{At, Client, SubscriptionGroupConfig, Target};
use serde_json::json;

use crate::change::Change;
use crate::confirm::Confirm;
use crate::failure::{Failure, Tally};
use crate::output::{Format, Output};
use crate::target::Where;

/// What of a group can be set.
#[derive(Debug, clap::Args)]
struct Settings {
    /// Whether the group may consume
    #[arg(long, value_name = "BOOL")]
    consume: Option<bool>,
    /// Whether the group may consume by broadcast
    #[arg(long, value_name = "BOOL")]
    broadcast: Option<bool>,
    /// Whether POP keeps the order of queues
    #[arg(long, value_name = "BOOL")]
    orderly: Option<bool>,
    /// Deliveries after the first before a message becomes a dead letter
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    retries: Option<i32>,
    /// Queues of the retry topic; 0 drops failed messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    retry_queues: Option<i32>,
    /// Attribute to set (+KEY=VALUE) or remove (-KEY); may be repeated
    #[arg(long, value_name = "CHANGE", allow_hyphen_values = true)]
    attribute: Vec<String>,
}

/// Arguments of `apogee group create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Name of the group
    group: String,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    place: Where,
}

/// Arguments of `apogee group update`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArgs {
    /// Name of the group
    group: String,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    place: Where,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: Confirm,
}

/// Arguments of `apogee group delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// Name of the group
    group: String,
    /// Keep the offsets, so that a group of that name goes on where this one was
    #[arg(long)]
    keep_offsets: bool,
    /// Keep the retry topic and the dead letters
    #[arg(long)]
    keep_topics: bool,
    /// Only in this cluster
    #[arg(long, short, value_name = "NAME")]
    cluster: Option<String>,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn create(
    client: &Client,
    format: Format,
    args: &CreateArgs,
    output: &mut Output,
) -> anyhow::Result<()> {
    let admin = client.admin();
    let target = args.place.target();
    if let Some(at) = admin.group_configs(&args.group, target.clone()).await?.first() {
        anyhow::bail!(
            "group {} exists at {} already; `apogee group update` changes it",
            args.group,
            at.broker
        );
    }
    let group = SubscriptionGroupConfig {
        group_name: args.group.clone(),
        ..SubscriptionGroupConfig::default()
    };
    let group = with_attributes(args.settings.apply(&group), &args.settings.attribute)?;
    for broker in admin.create_group(&group, target).await? {
        match format {
            Format::Text => output.line(format_args!("created {} at {broker}", args.group))?,
            Format::Json => output.json(&json!({ "group": args.group, "broker": &*broker }))?,
        }
    }
    Ok(())
}

pub(crate) async fn update(
    client: &Client,
    format: Format,
    args: &UpdateArgs,
    output: &mut Output,
) -> anyhow::Result<()> {
    let admin = client.admin();
    let configs = admin.group_configs(&args.group, args.place.target()).await?;
    if configs.is_empty() {
        let text = format!("group {} is at none of these brokers", args.group);
        return Err(Failure::NotFound(text).into());
    }
    let mut changes = Vec::new();
    let mut changed = Vec::new();
    for At { broker, address, value: old } in &configs {
        let new = args.settings.apply(old);
        let mut shown = new.clone();
        args.settings.change_attributes(&mut shown)?;
        let differences = Change::between(broker, old, &shown)?;
        if !differences.is_empty() {
            // Brokers take changes of attributes, and keep those that are not named.
            changed.push((address, with_attributes(new, &args.settings.attribute)?));
        }
        changes.extend(differences);
    }
    if changes.is_empty() {
        output.note(format_args!("nothing changes: group {} is as asked for", args.group));
        return Ok(());
    }
    Change::print(&changes, format, output)?;
    if !args
        .confirm
        .go_ahead(args.dry_run, output, format_args!("changes group {}", args.group))
        .await?
    {
        return Ok(());
    }
    let mut tally = Tally::default();
    for (address, group) in changed {
        tally.add(address, admin.create_group(&group, Target::Broker(address.to_string())).await);
    }
    tally.finish()
}

pub(crate) async fn delete(
    client: &Client,
    format: Format,
    args: &DeleteArgs,
    output: &mut Output,
) -> anyhow::Result<()> {
    let (group, cluster) = (&args.group, args.cluster.as_deref());
    let scope = cluster.map_or_else(|| "all clusters".to_owned(), |name| format!("cluster {name}"));
    let offsets = if args.keep_offsets { "" } else { " with its offsets" };
    let topics = if args.keep_topics { "" } else { ", its retry topic and its dead letters" };
    let what = format_args!("deletes group {group}{offsets}{topics} in {scope}");
    args.confirm.loss(output, what).await?;
    let admin = client.admin();
    for broker in admin.delete_group(group, !args.keep_offsets, cluster).await? {
        match format {
            Format::Text => output.line(format_args!("deleted {group} at {broker}"))?,
            Format::Json => output.json(&json!({ "group": group, "broker": &*broker }))?,
        }
    }
    if !args.keep_topics {
        for prefix in ["%RETRY%", "%DLQ%"] {
            admin.delete_topic(&format!("{prefix}{group}"), cluster).await?;
        }
    }
    Ok(())
}

impl Settings {
    fn apply(&self, old: &SubscriptionGroupConfig) -> SubscriptionGroupConfig {
        SubscriptionGroupConfig {
            consume_enable: self.consume.unwrap_or(old.consume_enable),
            consume_broadcast_enable: self.broadcast.unwrap_or(old.consume_broadcast_enable),
            consume_message_orderly: self.orderly.unwrap_or(old.consume_message_orderly),
            retry_max_times: self.retries.unwrap_or(old.retry_max_times),
            retry_queue_nums: self.retry_queues.unwrap_or(old.retry_queue_nums),
            ..old.clone()
        }
    }

    /// The attributes as they are after the change.
    fn change_attributes(&self, group: &mut SubscriptionGroupConfig) -> anyhow::Result<()> {
        for change in &self.attribute {
            match parse_attribute(change)? {
                (key, Some(value)) => group.attributes.insert(key.to_owned(), value.to_owned()),
                (key, None) => group.attributes.remove(key),
            };
        }
        Ok(())
    }
}

/// The group as it is sent: its attributes are changes, whose keys begin with `+` or `-`.
fn with_attributes(
    mut group: SubscriptionGroupConfig,
    changes: &[String],
) -> anyhow::Result<SubscriptionGroupConfig> {
    group.attributes.clear();
    for change in changes {
        let (key, value) = match parse_attribute(change)? {
            (key, Some(value)) => (format!("+{key}"), value.to_owned()),
            (key, None) => (format!("-{key}"), String::new()),
        };
        group.attributes.insert(key, value);
    }
    Ok(group)
}

/// Key and new value of a change; none to remove it.
pub(crate) fn parse_attribute(change: &str) -> anyhow::Result<(&str, Option<&str>)> {
    let set = change.strip_prefix('+').and_then(|pair| pair.split_once('='));
    let removed = change.strip_prefix('-').filter(|key| !key.contains('='));
    match (set, removed) {
        (Some((key, value)), _) => Ok((key, Some(value))),
        (None, Some(key)) => Ok((key, None)),
        (None, None) => {
            let text = format!("--attribute {change}: expected +KEY=VALUE or -KEY");
            Err(Failure::Usage(text).into())
        }
    }
}
