//! `apogee group reset-offset`: moves a group to another place of a topic.

use client::{Client, MessageQueue, OffsetReset};
use serde_json::json;

use crate::confirm::Confirm;
use crate::failure::Failure;
use crate::output::{Format, Output};
use crate::start::{Start, parse_start};

/// Arguments of `apogee group reset-offset`.
#[derive(Debug, clap::Args)]
pub(crate) struct ResetArgs {
    /// Name of the group
    group: String,
    /// Topic in which the group is moved
    #[arg(long, short)]
    topic: String,
    /// Where to: first, last, an offset, a UTC time (2024-05-01T12:00:00), or an age (15m)
    #[arg(long, value_parser = parse_start)]
    to: Start,
    /// Only in this queue, BROKER#NUMBER; may be repeated
    #[arg(long, value_name = "QUEUE", value_parser = parse_queue)]
    queue: Vec<(String, u32)>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    client: &Client,
    now_ms: i64,
    (format, args): (Format, &ResetArgs),
    output: &mut Output,
) -> anyhow::Result<()> {
    let admin = client.admin();
    let only: Vec<MessageQueue> =
        args.queue.iter().map(|(broker, id)| MessageQueue::new(&args.topic, broker, *id)).collect();
    let chosen = (!only.is_empty()).then_some(&*only);
    let position = args.to.position(now_ms);
    if admin.group_configs(&args.group, None).await?.is_empty() {
        let text = format!("no broker knows group {}", args.group);
        return Err(Failure::NotFound(text).into());
    }
    let plan = admin.plan_reset(&args.group, &args.topic, position, chosen).await?;
    if let Some(queue) = only.iter().find(|queue| !plan.iter().any(|step| step.queue == **queue)) {
        return Err(Failure::NotFound(format!("there is no queue {queue}")).into());
    }
    print(&plan, format, output)?;
    if args.dry_run {
        return Ok(());
    }
    // Queues that are there already too: their members may have gone on without having committed.
    let queues = plan.len();
    let what = format!("moves group {} in {queues} queues of topic {}", args.group, args.topic);
    args.confirm.loss(output, what).await?;
    Ok(admin.apply_reset(&args.group, &plan).await?)
}

fn print(plan: &[OffsetReset], format: Format, output: &mut Output) -> std::io::Result<()> {
    if format == Format::Json {
        return plan.iter().try_for_each(|step| {
            output.json(&json!({
                "topic": &*step.queue.topic, "broker": &*step.queue.broker,
                "queue": step.queue.id, "oldOffset": step.from, "newOffset": step.to,
            }))
        });
    }
    let rows = plan.iter().map(|step| {
        vec![
            step.queue.broker.to_string(),
            step.queue.id.to_string(),
            step.from.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
            step.to.to_string(),
        ]
    });
    output.table(&["BROKER", "QUEUE", "OLD", "NEW"], &rows.collect::<Vec<_>>())
}

fn parse_queue(text: &str) -> Result<(String, u32), String> {
    let parts = text.rsplit_once('#');
    let parsed = parts.and_then(|(broker, id)| Some((broker.to_owned(), id.parse().ok()?)));
    parsed.filter(|(broker, _)| !broker.is_empty()).ok_or("expected BROKER#NUMBER".to_owned())
}
