//! Producer side: every way to send, sizes, compression, topics, queries.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use apogee_e2e::frame::Connection;
use serde_json::json;

use crate::Context;
use crate::results::{all_got, all_sent, dense, list, number, same_places, text};

const LIMIT: Duration = Duration::from_secs(5);
const GET_ROUTE: i64 = 105;

/// Shows that each acknowledged message arrives once, whole, at the acknowledged queue offset,
/// and that a new topic's offsets start at 0 without a gap.
pub(crate) fn sync_send(context: &Context) -> Result<()> {
    let results = context.run("Roundtrip", &[("count", "50"), ("expect", "50")])?;
    let sent = all_sent(&results, 50)?;
    dense(&sent)?;
    same_places(&sent, &all_got(&results, 50)?)
}

/// Shows the same for many sends in flight on one connection.
pub(crate) fn async_send(context: &Context) -> Result<()> {
    let args = [("send", "async"), ("count", "2000"), ("expect", "2000"), ("queues", "8")];
    let results = context.run("Roundtrip", &args)?;
    let sent = all_sent(&results, 2000)?;
    dense(&sent)?;
    same_places(&sent, &all_got(&results, 2000)?)
}

/// Shows that sends without an answer are stored, by consuming them.
pub(crate) fn oneway_send(context: &Context) -> Result<()> {
    let args = [("send", "oneway"), ("count", "50"), ("expect", "50")];
    dense(&all_got(&context.run("Roundtrip", &args)?, 50)?)
}

/// Shows that a client which is told to use the VIP channel sends to the port two below, and that
/// its messages arrive as all others do.
pub(crate) fn vip_channel(context: &Context) -> Result<()> {
    let properties = ["com.rocketmq.sendMessageWithVIPChannel=true"];
    let args = [("count", "20"), ("expect", "20")];
    let results = context.run_with("Roundtrip", &properties, &args)?;
    same_places(&all_sent(&results, 20)?, &all_got(&results, 20)?)
}

/// Shows that a batch is acknowledged as one send and lies back to back in one queue.
pub(crate) fn batch_send(context: &Context) -> Result<()> {
    let args = [("send", "batch"), ("count", "20"), ("expect", "20")];
    let results = context.run("Roundtrip", &args)?;
    let sent = all_sent(&results, 1)?;
    let ids = text(&list(&results, "sent")[0], "offsetId")?.split(',').count();
    ensure!(ids == 20, "{ids} offset ids for a batch of 20");
    let got = all_got(&results, 20)?;
    dense(&got)?;
    let queues: BTreeSet<i64> = got.iter().map(|place| place.1).collect();
    ensure!(queues == BTreeSet::from([sent[0].1]), "a batch over queues {queues:?}");
    Ok(())
}

/// Shows that a body of exactly the limit of 4 MiB is stored and delivered, and that one of a byte
/// more is refused with MESSAGE_ILLEGAL (13).
pub(crate) fn largest_messages(context: &Context) -> Result<()> {
    let args = [("fill", "random"), ("sizes", "4194000,4194304,4194305,5000000")];
    let results = context.run("Sizes", &args)?;
    let sent: Result<Vec<&str>> =
        list(&results, "sent").iter().map(|one| text(one, "key")).collect();
    let failed: Result<Vec<(&str, i64)>> = list(&results, "failed")
        .iter()
        .map(|one| Ok((text(one, "key")?, number(one, "code")?)))
        .collect();
    ensure!(sent? == ["size-4194000", "size-4194304"], "{results:#}");
    let refused = [("size-4194305", 13), ("size-5000000", 13)];
    ensure!(failed? == refused, "{results:#}");
    all_got(&context.run("Roundtrip", &[("expect", "2")])?, 2)?;
    Ok(())
}

/// Shows that bodies compressed by the client in each of its ways are stored compressed and come
/// back whole.
pub(crate) fn compression(context: &Context) -> Result<()> {
    for (kind, flags) in [("LZ4", 0x100), ("ZSTD", 0x200), ("ZLIB", 0x300)] {
        let (topic, group) = (context.topic() + kind, format!("group-{kind}"));
        let args = [
            ("topic", &*topic),
            ("group", &*group),
            ("count", "5"),
            ("expect", "5"),
            ("size", "20000"),
            ("compressOver", "1000"),
        ];
        let property = format!("rocketmq.message.compressType={kind}");
        let results = context.run_with("Roundtrip", &[&property], &args)?;
        same_places(&all_sent(&results, 5)?, &all_got(&results, 5)?)?;
        for one in list(&results, "got") {
            ensure!(number(one, "stored")? < 2000, "{kind} stored uncompressed: {one}");
            // The client clears the bit "compressed" (1) when it has decompressed.
            ensure!(number(one, "sysFlag")? & 0x700 == flags, "{kind}: {one}");
        }
    }
    Ok(())
}

/// Shows that the template topic has a route, that a first send creates the topic with as many
/// queues as the producer asked for, and that its route then names this broker.
pub(crate) fn created_topic_and_template_route(context: &Context) -> Result<()> {
    let (namesrv, broker) = {
        let cluster = context.shared.cluster()?;
        (cluster.namesrv(), cluster.broker())
    };
    let mut connection = Connection::open(namesrv, LIMIT)?;
    let template = connection.call(GET_ROUTE, &[("topic", "TBW102")], &[])?;
    ensure!(template.code == 0, "{template:?}");
    let topic = context.topic();
    let before = connection.call(GET_ROUTE, &[("topic", &topic)], &[])?;
    ensure!(before.code == 17, "a topic nobody created: {before:?}");

    all_sent(&context.run("Roundtrip", &[("count", "1"), ("queues", "3")])?, 1)?;
    let asked = [("topic", &*topic), ("acceptStandardJsonOnly", "true")];
    let after = connection.call(GET_ROUTE, &asked, &[])?;
    ensure!(after.code == 0, "{after:?}");
    let route: serde_json::Value = serde_json::from_slice(&after.body)?;
    let queues = &route["queueDatas"][0];
    ensure!(queues["brokerName"] == json!("broker-a"), "{route:#}");
    ensure!(queues["readQueueNums"] == json!(3), "{route:#}");
    ensure!(queues["writeQueueNums"] == json!(3), "{route:#}");
    ensure!(queues["perm"] == json!(6), "{route:#}");
    let address = &route["brokerDatas"][0]["brokerAddrs"]["0"];
    ensure!(*address == json!(broker.to_string()), "{route:#}");
    Ok(())
}

/// Shows that the client itself refuses names that break the rules or are the broker's own, so
/// that no such request is seen from it (what the broker answers to one is in `raw_frames`).
pub(crate) fn refused_topic_names(context: &Context) -> Result<()> {
    let results = context.run("Names", &[("names", "SCHEDULE_TOPIC_XXXX,bad topic")])?;
    ensure!(list(&results, "sent").is_empty(), "{results:#}");
    let [reserved, illegal] = list(&results, "failed") else { bail!("{results:#}") };
    ensure!(text(reserved, "error")?.contains("is forbidden"), "{results:#}");
    ensure!(text(illegal, "error")?.contains("illegal characters"), "{results:#}");
    Ok(())
}

/// Shows that messages are found by a shared key, by a key of their own, by unique key and by
/// offset id, and that an unknown key finds nothing.
pub(crate) fn query_by_key_and_id(context: &Context) -> Result<()> {
    let results = context.run("Query", &[])?;
    all_sent(&results, 2)?;
    let places: Result<Vec<String>> = list(&results, "sent")
        .iter()
        .map(|one| Ok(format!("{}:{}", number(one, "queue")?, number(one, "offset")?)))
        .collect();
    let places = json!(places?);
    ensure!(results["byShared"] == json!(2), "{results:#}");
    ensure!(results["byOwn"] == json!(1), "{results:#}");
    ensure!(results["byUnknown"] == json!(0), "{results:#}");
    ensure!(results["byUniqueKey"] == places, "{results:#}");
    ensure!(results["byOffsetId"] == places, "{results:#}");
    Ok(())
}

/// Shows that smallest and largest offset and the offset of a time are what was stored.
pub(crate) fn offsets_of_a_queue(context: &Context) -> Result<()> {
    let results = context.run("Offsets", &[])?;
    dense(&all_sent(&results, 20)?)?;
    ensure!(results["min"] == json!(0), "{results:#}");
    ensure!(results["max"] == json!(20), "{results:#}");
    ensure!(results["found"] == json!([0, 10, 20]), "{results:#}");
    ensure!((0..60_000).contains(&number(&results, "earliestAge")?), "{results:#}");
    Ok(())
}
