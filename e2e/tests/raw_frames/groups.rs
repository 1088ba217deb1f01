//! Members of a group on sockets of their own: locks, notices, parked pulls.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use apogee_e2e::cases::Shared;
use apogee_e2e::frame::{Connection, Frame};
use apogee_e2e::record::Record;
use serde_json::{Value, json};

use crate::{PARKED, broker, call, cpp_send, fetch, parked};

const LOCK: i64 = 41;
const UNLOCK: i64 = 42;
const HEART_BEAT: i64 = 34;
const CONSUMER_LIST: i64 = 38;
const MEMBERS_CHANGED: i64 = 40;

fn lock(connection: &mut Connection, code: i64, client: &str, queues: &[i32]) -> Result<Frame> {
    let set: Vec<Value> = queues
        .iter()
        .map(|queue| json!({ "brokerName": "broker-a", "queueId": queue, "topic": "locks" }))
        .collect();
    let body = json!({ "clientId": client, "consumerGroup": "lockers", "mqSet": set });
    let answer = connection.call(code, &[], body.to_string().as_bytes())?;
    ensure!(answer.code == 0, "{answer:?}");
    Ok(answer)
}

fn locked(answer: &Frame) -> Result<Vec<i64>> {
    let body: Value = serde_json::from_slice(&answer.body)?;
    let set = body["lockOKMQSet"].as_array().map_or(&[][..], Vec::as_slice);
    let mut queues: Vec<i64> = set.iter().filter_map(|queue| queue["queueId"].as_i64()).collect();
    queues.sort_unstable();
    Ok(queues)
}

/// Shows that a locked queue is refused to another member until its owner, and nobody else, gives
/// it up; and that an owner may renew.
pub(crate) fn queue_locks_exclude_each_other(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    ensure!(locked(&lock(&mut connection, LOCK, "first", &[0, 1])?)? == [0, 1]);
    ensure!(locked(&lock(&mut connection, LOCK, "first", &[0, 1])?)? == [0, 1]);
    ensure!(locked(&lock(&mut connection, LOCK, "second", &[0, 1, 2])?)? == [2]);
    lock(&mut connection, UNLOCK, "second", &[0])?;
    ensure!(locked(&lock(&mut connection, LOCK, "second", &[0])?)?.is_empty());
    lock(&mut connection, UNLOCK, "first", &[0])?;
    ensure!(locked(&lock(&mut connection, LOCK, "second", &[0, 1])?)? == [0]);
    Ok(())
}

fn join(connection: &mut Connection, client: &str) -> Result<()> {
    let body = json!({
        "clientID": client, "producerDataSet": [],
        "consumerDataSet": [{
            "groupName": "members", "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
            "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
            "subscriptionDataSet": [{ "topic": "members", "subString": "*", "subVersion": 1 }],
        }],
    });
    let opaque = connection.send(HEART_BEAT, &[], body.to_string().as_bytes())?;
    // A member is told of its own join too, before or after the answer.
    let (mut answered, mut noticed) = (false, false);
    while !(answered && noticed) {
        let frame = connection.read()?;
        match frame.code {
            MEMBERS_CHANGED => noticed = true,
            0 if frame.opaque == opaque => answered = true,
            _ => bail!("{frame:?}"),
        }
    }
    Ok(())
}

fn wait_for_notice(connection: &mut Connection) -> Result<()> {
    let notice = connection.read()?;
    ensure!(notice.code == MEMBERS_CHANGED && notice.flag == 2, "{notice:?}");
    ensure!(notice.fields["consumerGroup"] == "members", "{notice:?}");
    Ok(())
}

/// Shows that members are told at once when one joins and when one's connection breaks, and that
/// the list of members follows.
pub(crate) fn members_learn_of_joins_and_leaves(shared: &Shared) -> Result<()> {
    let mut first = broker(shared)?;
    join(&mut first, "first")?;
    let mut second = broker(shared)?;
    join(&mut second, "second")?;
    wait_for_notice(&mut first)?;
    ensure!(members(&mut first)? == ["first", "second"]);
    drop(second);
    wait_for_notice(&mut first)?;
    ensure!(members(&mut first)? == ["first"]);
    Ok(())
}

fn members(connection: &mut Connection) -> Result<Vec<String>> {
    let answer = connection.call(CONSUMER_LIST, &[("consumerGroup", "members")], &[])?;
    ensure!(answer.code == 0, "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body)?;
    let mut list: Vec<String> = serde_json::from_value(body["consumerIdList"].clone())?;
    list.sort();
    Ok(list)
}

/// Shows that a pull at the end of a queue waits and is answered by the next message.
pub(crate) fn parked_pull_wakes_on_a_message(shared: &Shared) -> Result<()> {
    let mut producer = broker(shared)?;
    ensure!(call(&mut producer, &cpp_send("parked", 0, "", 1), b"first")?.code == 0);
    let mut consumer = broker(shared)?;
    for offset in 1..4 {
        let header = parked("parked", 0, offset, 60_000);
        consumer.send_header(header.to_string().as_bytes(), &[])?;
        let body = format!("message {offset}");
        ensure!(call(&mut producer, &cpp_send("parked", 0, "", 2), body.as_bytes())?.code == 0);
        let answer = consumer.answer_to(PARKED)?;
        ensure!(answer.code == 0 && answer.number("nextBeginOffset")? == offset + 1, "{answer:?}");
        let records = Record::parse_all(&answer.body)?;
        ensure!(records.len() == 1 && records[0].body == body.as_bytes(), "{records:?}");
    }
    Ok(())
}

/// Shows that a parked pull is answered with 19 and its own offset when its time is over; the
/// reference looks only every 5 s.
pub(crate) fn parked_pull_expires(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    ensure!(call(&mut connection, &cpp_send("expiring", 0, "", 1), b"x")?.code == 0);
    fetch(&mut connection, "expiring", 0, 0)?;
    let start = Instant::now();
    let answer = call(&mut connection, &parked("expiring", 0, 1, 300), &[])?;
    ensure!(answer.code == 19 && answer.number("nextBeginOffset")? == 1, "{answer:?}");
    ensure!(start.elapsed() >= Duration::from_millis(300), "answered after {:?}", start.elapsed());
    Ok(())
}
