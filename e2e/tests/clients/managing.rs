//! What an administrator does while clients run: requests that change something, seen by the clients.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use apogee_e2e::frame::{Connection, Frame};
use serde_json::json;

use crate::Context;
use crate::consuming::got_keys;
use crate::old_topic::next_second;
use crate::rebalancing::REBALANCE;
use crate::results::{all_got, all_sent, list, same_places, text};

const QUERY_CONSUMER_OFFSET: i64 = 14;
const DELETE_GROUP: i64 = 207;
const RESET_OFFSET: i64 = 222;
/// A query found nothing.
const QUERY_NOT_FOUND: i64 = 22;

const LIMIT: Duration = Duration::from_secs(30);
/// A client hears of a reset when its pull, which waits 20 s for messages, comes back, and goes on 10 s later.
const RESET_LIMIT: Duration = Duration::from_secs(90);

/// Shows that requests are answered, each by its reply, be they synchronous or not; that one without
/// a reply fails in time; and that a reply to a producer that has left is refused.
pub(crate) fn request_reply(context: &Context) -> Result<()> {
    let results = context.run_with("Request", &[REBALANCE], &[("count", "20")])?;
    let replies: Result<BTreeMap<&str, &str>> = list(&results, "replies")
        .iter()
        .map(|reply| Ok((text(reply, "key")?, text(reply, "body")?)))
        .collect();
    let replies = replies?;
    ensure!(replies.len() == 20 && list(&results, "failed").is_empty(), "{results:#}");
    for (key, body) in replies {
        ensure!(body == format!("reply to {key}"), "{key}: {body}");
    }
    ensure!(results["silent"] == json!("timeout"), "{results:#}");
    ensure!(results["late"]["code"] == json!(1), "{results:#}");
    Ok(())
}

/// Shows that a consumer that runs goes on where an administrator sets its group: it gets what came
/// after a time again, and nothing older.
pub(crate) fn reset_offset_while_running(context: &Context) -> Result<()> {
    let old = [("send", "ordered"), ("count", "10"), ("prefix", "old"), ("queues", "2")];
    all_sent(&context.run("Roundtrip", &old)?, 10)?;
    let mut member = context.start("member", "Member", &[REBALANCE], &[("limit", "150")])?;
    member.wait_until(LIMIT, "old messages", |member| got_keys(member).len() == 10)?;
    let time = next_second()?.to_string();
    let new = [("send", "ordered"), ("count", "10"), ("prefix", "new")];
    all_sent(&context.run("Roundtrip", &new)?, 10)?;
    member.wait_until(LIMIT, "new messages", |member| got_keys(member).len() == 20)?;

    let (topic, group) = (context.topic(), context.group());
    let header = [("topic", &*topic), ("group", &*group), ("timestamp", &*time)];
    let header = [&header[..], &[("isForce", "true"), ("queueId", "-1")]].concat();
    let answer = ask(context, RESET_OFFSET, &header)?;
    ensure!(answer.code == 0, "{answer:?}");
    let body = String::from_utf8(answer.body)?;
    // Five old messages in each queue.
    ensure!(body.matches("}:5").count() == 2, "{body}");
    member.wait_until(RESET_LIMIT, "new messages again", |member| got_keys(member).len() >= 30)?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    got_keys(&member).into_iter().for_each(|key| *counts.entry(key).or_default() += 1);
    for (key, count) in counts {
        ensure!(count == if key.starts_with("new") { 2 } else { 1 }, "{key} came {count} times");
    }
    Ok(())
}

/// Shows that a group that is deleted keeps its progress, or loses it where that is asked for, and
/// that it comes back with its next consumer either way.
pub(crate) fn delete_group(context: &Context) -> Result<()> {
    let first = [("send", "ordered"), ("count", "10"), ("queues", "2"), ("expect", "10")];
    let results = context.run("Roundtrip", &first)?;
    let sent = all_sent(&results, 10)?;
    same_places(&sent, &all_got(&results, 10)?)?;
    let group = context.group();
    for (clean, code) in [("false", 0), ("true", QUERY_NOT_FOUND)] {
        let header = [("groupName", &*group), ("cleanOffset", clean)];
        let answer = ask(context, DELETE_GROUP, &header)?;
        ensure!(answer.code == 0, "{answer:?}");
        for queue in ["0", "1"] {
            let topic = context.topic();
            let place = [("consumerGroup", &*group), ("topic", &*topic), ("queueId", queue)];
            let header = [&place[..], &[("setZeroIfNotFound", "false")]].concat();
            let answer = ask(context, QUERY_CONSUMER_OFFSET, &header)?;
            ensure!(answer.code == code, "cleanOffset={clean}: {answer:?}");
            ensure!(code != 0 || answer.number("offset")? == 5, "{answer:?}");
        }
    }
    let again = context.run("Roundtrip", &[("expect", "10")])?;
    same_places(&sent, &all_got(&again, 10)?)
}

fn ask(context: &Context, code: i64, header: &[(&str, &str)]) -> Result<Frame> {
    Connection::open(context.broker()?, LIMIT)?.call(code, header, &[])
}
