//! Consumer side: concurrent, ordered and pulled consumption, filters, retries, rebalance.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use apogee_e2e::process::Process;
use serde_json::{Value, json};

use crate::Context;
use crate::results::{all_got, all_sent, list, number, offsets_by_queue, same_places, text};

/// Clients look at their group at least once a second here; by default it is every 20 s.
pub(crate) const REBALANCE: &str = "rocketmq.client.rebalance.waitInterval=1000";
const REBALANCE_LIMIT: Duration = Duration::from_secs(30);

/// Shows that a push consumer gets everything of all queues, each message once.
pub(crate) fn push_concurrently(context: &Context) -> Result<()> {
    let args = [("send", "ordered"), ("count", "400"), ("queues", "8"), ("expect", "400")];
    let results = context.run("Roundtrip", &args)?;
    let sent = all_sent(&results, 400)?;
    ensure!(offsets_by_queue(&sent).len() == 8, "sent to {:?}", offsets_by_queue(&sent));
    same_places(&sent, &all_got(&results, 400)?)
}

/// Shows that an orderly consumer, which needs the broker's queue locks, gets each queue in the
/// order of its offsets and never two messages of a queue at once.
pub(crate) fn push_orderly(context: &Context) -> Result<()> {
    let args = [("send", "ordered"), ("consume", "orderly"), ("count", "400"), ("expect", "400")];
    let results = context.run("Roundtrip", &args)?;
    let got = all_got(&results, 400)?;
    same_places(&all_sent(&results, 400)?, &got)?;
    ensure!(results["overlaps"] == json!(0), "overlaps: {}", results["overlaps"]);
    for (queue, offsets) in offsets_by_queue(&got) {
        ensure!(offsets.is_sorted(), "queue {queue} came in the order {offsets:?}");
    }
    Ok(())
}

/// Shows that a consumer of two of three tags gets exactly their messages.
pub(crate) fn tag_filter(context: &Context) -> Result<()> {
    let args =
        [("count", "60"), ("tags", "TagA,TagB,TagC"), ("filter", "TagA || TagC"), ("expect", "40")];
    let results = context.run("Roundtrip", &args)?;
    all_sent(&results, 60)?;
    all_got(&results, 40)?;
    let tags: Result<BTreeSet<&str>> =
        list(&results, "got").iter().map(|one| text(one, "tag")).collect();
    ensure!(tags? == BTreeSet::from(["TagA", "TagC"]), "{results:#}");
    Ok(())
}

/// Shows that a message that always fails is delivered again with its delay, as often as the
/// consumer allows, then lies in the group's dead letter topic, and that others are not held up.
pub(crate) fn retry_then_dead_letter(context: &Context) -> Result<()> {
    let results = context.run("Retry", &[("retries", "2")])?;
    let sent = &list(&results, "sent")[0];
    let attempts = list(&results, "attempts");
    let counts: Result<Vec<i64>> = attempts.iter().map(|one| number(one, "reconsumed")).collect();
    ensure!(counts? == [0, 1, 2], "{attempts:#?}");
    let times: Result<Vec<i64>> = attempts.iter().map(|one| number(one, "at")).collect();
    let early = times?.windows(2).any(|pair| pair[1] - pair[0] < 1000);
    ensure!(!early, "a retry before its delay of 1 s: {attempts:#?}");
    ensure!(list(&results, "got").len() == 1, "{results:#}");
    let [dead] = list(&results, "dead") else { anyhow::bail!("dead letters: {results:#}") };
    ensure!(number(dead, "reconsumed")? == 3, "{dead:#}");
    ensure!(dead["intact"] == json!(true), "{dead:#}");
    let properties = &dead["properties"];
    ensure!(properties["RETRY_TOPIC"] == json!(context.topic()), "{dead:#}");
    ensure!(properties["ORIGIN_MESSAGE_ID"] == sent["offsetId"], "{dead:#}\n{sent:#}");
    ensure!(properties["UNIQ_KEY"] == sent["id"], "{dead:#}\n{sent:#}");
    Ok(())
}

/// Shows that every queue has one owner after a second consumer joins and after it is killed.
pub(crate) fn rebalance_on_join_and_kill(context: &Context) -> Result<()> {
    all_sent(&context.run("Roundtrip", &[("count", "8"), ("queues", "8")])?, 8)?;
    let all: BTreeSet<i64> = (0..8).collect();
    let mut first = context.start("first", "Member", &[REBALANCE], &[])?;
    first.wait_until(REBALANCE_LIMIT, "ownership of all queues", |member| owned(member) == all)?;
    let mut second = context.start("second", "Member", &[REBALANCE], &[])?;
    first.wait_until(REBALANCE_LIMIT, "an even split", |first| {
        let (first, second) = (owned(first), owned(&second));
        first.len() == 4 && second.len() == 4 && first.union(&second).count() == 8
    })?;
    second.kill()?;
    first.wait_until(REBALANCE_LIMIT, "ownership of all queues", |member| owned(member) == all)
}

/// The queues that a member last said it owns.
pub(crate) fn owned(member: &Process) -> BTreeSet<i64> {
    let output = member.output();
    let last = output.lines().rev().find_map(|line| line.strip_prefix("OWNED "));
    last.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

/// Shows that a consumer without a group's balancing reads a whole topic by assignment and seek.
pub(crate) fn lite_pull(context: &Context) -> Result<()> {
    let results = context.run("Roundtrip", &[("send", "ordered"), ("count", "100")])?;
    let sent = all_sent(&results, 100)?;
    let results = context.run("LitePull", &[("expect", "100")])?;
    same_places(&sent, &all_got(&results, 100)?)?;
    let results = context.run("LitePull", &[("expect", "40"), ("seek", "15")])?;
    let offsets: Result<Vec<i64>> =
        list(&results, "got").iter().map(|one: &Value| number(one, "offset")).collect();
    let least = offsets?.into_iter().min().context("nothing received")?;
    ensure!(least == 15, "sought 15, got {least}");
    Ok(())
}

/// Shows that a new group that starts at the first offset gets what was sent before it existed.
pub(crate) fn consume_from_first(context: &Context) -> Result<()> {
    let sent = all_sent(&context.run("Roundtrip", &[("count", "20")])?, 20)?;
    let results = context.run("Roundtrip", &[("expect", "20"), ("from", "first")])?;
    same_places(&sent, &all_got(&results, 20)?)
}

/// Shows that a new group on a topic whose first message is still in memory starts at 0 even if it
/// asks for the last offset or for a time: the broker answers its offset query with 0, not 22.
pub(crate) fn young_topic_is_read_from_zero(context: &Context) -> Result<()> {
    let sent = all_sent(&context.run("Roundtrip", &[("count", "20")])?, 20)?;
    let soon = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() + 60_000;
    for (group, from) in [("at-last", "last"), ("at-time", &*soon.to_string())] {
        let args = [("group", group), ("expect", "20"), ("from", from)];
        same_places(&sent, &all_got(&context.run("Roundtrip", &args)?, 20)?)?;
    }
    Ok(())
}
