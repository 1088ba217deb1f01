//! Consumer side: concurrent, ordered and pulled consumption, filters, retries, rebalance.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use apogee_e2e::client::{Library, finish};
use apogee_e2e::frame::Connection;
use apogee_e2e::process::Process;
use serde_json::{Value, json};

use crate::Context;
use crate::rebalancing::REBALANCE;
use crate::results::{all_got, all_sent, dense, list, number, offsets_by_queue, same_places, text};

const QUERY_CONSUMER_OFFSET: i64 = 14;
const LIMIT: Duration = Duration::from_secs(30);

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
    // Node's client sends none, so the broker has given it one.
    let given = context.library == Library::Node && properties["UNIQ_KEY"].is_string();
    ensure!(given || properties["UNIQ_KEY"] == sent["id"], "{dead:#}\n{sent:#}");
    Ok(())
}

/// Shows that a consumer without a group's balancing reads a whole topic by assignment and seek, and
/// that what it commits is what the broker then tells of its group.
pub(crate) fn lite_pull(context: &Context) -> Result<()> {
    let results = context.run("Roundtrip", &[("send", "ordered"), ("count", "100")])?;
    let sent = all_sent(&results, 100)?;
    let stop = context.shared.case_dir(&context.topic())?.join("stop");
    let stop_argument = stop.display().to_string();
    let args = [("expect", "100"), ("stop", &*stop_argument)];
    let mut reader = context.start("reader", "LitePull", &[], &args)?;
    let (mut connection, group) = (Connection::open(context.broker()?, LIMIT)?, context.group());
    reader.wait_until(LIMIT, "25 committed in each queue", |_| {
        ["0", "1", "2", "3"].iter().all(|queue| {
            let topic = context.topic();
            let place = [("consumerGroup", &*group), ("topic", &*topic), ("queueId", queue)];
            let answer = connection.call(QUERY_CONSUMER_OFFSET, &place, &[]);
            answer.and_then(|answer| answer.number("offset")).is_ok_and(|offset| offset == 25)
        })
    })?;
    fs::write(&stop, [])?;
    same_places(&sent, &all_got(&finish(reader)?, 100)?)?;
    let args = [("expect", "40"), ("seek", "15"), ("stop", &*stop_argument)];
    let results = context.run("LitePull", &args)?;
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
        let group = &*format!("{}-{group}", context.group());
        let args = [("group", group), ("expect", "20"), ("from", from)];
        same_places(&sent, &all_got(&context.run("Roundtrip", &args)?, 20)?)?;
    }
    Ok(())
}

/// Shows that every member of a broadcasting group gets every message once, the old ones and those
/// that come while it runs.
pub(crate) fn broadcast_reaches_everyone(context: &Context) -> Result<()> {
    let old = [("send", "ordered"), ("count", "20"), ("prefix", "old")];
    all_sent(&context.run("Roundtrip", &old)?, 20)?;
    let args = [("model", "broadcasting")];
    let mut members = ["one", "two"]
        .iter()
        .map(|name| context.start(name, "Member", &[REBALANCE], &args))
        .collect::<Result<Vec<_>>>()?;
    for member in &mut members {
        member.wait_until(LIMIT, "old messages", |member| got_keys(member).len() >= 20)?;
    }
    let new = [("send", "ordered"), ("count", "20"), ("prefix", "new")];
    all_sent(&context.run("Roundtrip", &new)?, 20)?;
    let of = |prefix: &str| (0..20).map(|n| format!("{prefix}-{n}")).collect::<Vec<_>>();
    let mut expected = [of("old"), of("new")].concat();
    expected.sort_unstable();
    for member in &mut members {
        member.wait_until(LIMIT, "new messages", |member| got_keys(member).len() >= 40)?;
        let mut keys = got_keys(member);
        keys.sort_unstable();
        ensure!(keys == expected, "{keys:?}");
    }
    Ok(())
}

/// Shows that a delayed message comes to its own topic, whole, and not before the time of its level: 1 s
/// for the first, 3 s for the last. What counts is when it was stored there: a consumer that starts late
/// would see an early one old enough.
pub(crate) fn delay_levels(context: &Context) -> Result<()> {
    for (level, least_ms) in [("1", 1000), ("18", 3000)] {
        let (topic, group) = (context.topic() + level, context.group() + level);
        let args = [("topic", &*topic), ("group", &*group), ("delay", level)];
        let args = [&args[..], &[("count", "8"), ("expect", "8")]].concat();
        let results = context.run("Roundtrip", &args)?;
        all_sent(&results, 8)?;
        dense(&all_got(&results, 8)?)?;
        for one in list(&results, "got") {
            ensure!(text(one, "topic")? == topic, "{one}");
            ensure!(number(one, "held")? >= least_ms, "level {level} came early: {one}");
        }
    }
    Ok(())
}

/// Keys of the messages that a member said it got.
pub(crate) fn got_keys(member: &Process) -> Vec<String> {
    let output = member.output();
    output.lines().filter_map(|line| line.strip_prefix("GOT ")).map(str::to_owned).collect()
}
