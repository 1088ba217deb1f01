//! What holds of both peers.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use apogee_e2e::scrape::Scrape;

use crate::load::{GROUP, Metered, TOPIC};

/// Labels of every sample.
const COMMON: [&str; 5] = ["cluster", "node_id", "node_type", "otel_scope_name", "zone"];
const STORAGE: &[&str] = &["storage_medium", "storage_type"];
const IN: &[&str] = &["is_system", "message_type", "topic"];
const OUT: &[&str] = &["consumer_group", "is_system", "topic"];
const LAG: &[&str] = &["consumer_group", "is_retry", "is_system", "topic"];
const CREATION: &[f64] = &[10.0, 100.0, 1000.0, 3000.0, 5000.0];

/// A family: name, type, labels of its own, bounds.
type Row = (&'static str, &'static str, &'static [&'static str], &'static [f64]);

/// Every metric of the reference's broker for what both serve.
const CATALOG: &[Row] = &[
    ("rocketmq_processor_watermark", "gauge", &["processor"], &[]),
    ("rocketmq_broker_permission", "gauge", &[], &[]),
    ("rocketmq_topic_number", "gauge", &[], &[]),
    ("rocketmq_consumer_group_number", "gauge", &[], &[]),
    ("rocketmq_messages_in_total", "counter", IN, &[]),
    ("rocketmq_messages_out_total", "counter", OUT, &[]),
    ("rocketmq_throughput_in_total", "counter", IN, &[]),
    ("rocketmq_throughput_out_total", "counter", OUT, &[]),
    (
        "rocketmq_message_size",
        "histogram",
        IN,
        &[1024.0, 4096.0, 524_288.0, 1_048_576.0, 2_097_152.0, 4_194_304.0],
    ),
    (
        "rocketmq_topic_create_execution_time_milliseconds",
        "histogram",
        &["invocation_status", "is_system"],
        CREATION,
    ),
    (
        "rocketmq_consumer_group_create_execution_time_milliseconds",
        "histogram",
        &["invocation_status"],
        CREATION,
    ),
    ("rocketmq_producer_connections", "gauge", &["language", "protocol_type", "version"], &[]),
    (
        "rocketmq_consumer_connections",
        "gauge",
        &["consume_mode", "consumer_group", "is_system", "language", "protocol_type", "version"],
        &[],
    ),
    ("rocketmq_consumer_lag_messages", "gauge", LAG, &[]),
    ("rocketmq_consumer_lag_latency_milliseconds", "gauge", LAG, &[]),
    ("rocketmq_consumer_inflight_messages", "gauge", LAG, &[]),
    ("rocketmq_consumer_queueing_latency_milliseconds", "gauge", LAG, &[]),
    ("rocketmq_consumer_ready_messages", "gauge", LAG, &[]),
    ("rocketmq_send_to_dlq_messages_total", "counter", OUT, &[]),
    (
        "rocketmq_rpc_latency_milliseconds",
        "histogram",
        &["is_long_polling", "protocol_type", "request_code", "response_code", "result"],
        &[1.0, 3.0, 5.0, 7.0, 10.0, 100.0, 1000.0, 2000.0, 3000.0],
    ),
    ("rocketmq_storage_size_bytes", "gauge", STORAGE, &[]),
    ("rocketmq_storage_flush_behind_bytes", "gauge", STORAGE, &[]),
    ("rocketmq_storage_dispatch_behind_bytes", "gauge", STORAGE, &[]),
    ("rocketmq_storage_message_reserve_time_milliseconds", "gauge", STORAGE, &[]),
];

/// Shows that every metric of the catalog is there after the load, with exactly its type, labels and bounds, on a page
/// that keeps the rules of the format.
pub(crate) fn names_labels_and_bounds(metered: &Metered) -> Result<()> {
    let page = metered.scrape()?;
    for (name, kind, own, bounds) in CATALOG {
        let family = page.families.get(*name).with_context(|| format!("no {name}"))?;
        ensure!(family.kind == *kind, "{name} is a {}", family.kind);
        ensure!(!family.samples.is_empty(), "{name} has no sample");
        let want: BTreeSet<&str> = COMMON.iter().chain(*own).copied().collect();
        for (_, labels) in family.samples.keys() {
            let got: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
            ensure!(got == want, "{name} has the labels {got:?}, not {want:?}");
            let common = ["DefaultCluster", "broker-a", "broker", "broker-meter", "z1"];
            let is_same = COMMON.iter().zip(common).all(|(label, value)| labels[*label] == value);
            ensure!(is_same, "{name}: {labels:?}");
        }
        for buckets in family.buckets.values() {
            let texts = bounds.iter().map(|bound| format!("{bound:?}"));
            let want: Vec<String> = texts.chain(["+Inf".to_owned()]).collect();
            let got: Vec<&String> = buckets.iter().map(|(bound, _)| bound).collect();
            ensure!(got.iter().copied().eq(&want), "{name} has the bounds {got:?}, not {want:?}");
        }
    }
    Ok(())
}

fn incoming(page: &Scrape, name: &str, topic: &str, kind: &str) -> Result<Option<f64>> {
    page.value(name, &[("topic", topic), ("message_type", kind)])
}

/// Shows that messages count by topic and kind: a delayed one first in the topic of delayed messages, and in its own
/// when it is due; that the bytes are those of the records; and that a batch counts once in the distribution of sizes.
pub(crate) fn messages_in(metered: &Metered) -> Result<()> {
    let (name, bytes) = ("rocketmq_messages_in_total", "rocketmq_throughput_in_total");
    let page = metered.scrape_until(|page| {
        Ok(incoming(page, name, TOPIC, "delay")?.is_some()
            && page
                .value("rocketmq_messages_out_total", &[("topic", "SCHEDULE_TOPIC_XXXX")])?
                .is_some())
    })?;
    for (topic, kind, want) in [
        (TOPIC, "normal", 9.0),
        (TOPIC, "fifo", 2.0),
        (TOPIC, "delay", 1.0),
        ("SCHEDULE_TOPIC_XXXX", "delay", 1.0),
    ] {
        let got = incoming(&page, name, topic, kind)?;
        ensure!(got == Some(want), "{topic} {kind}: {got:?}, not {want}");
    }
    let system = page.value(name, &[("topic", "SCHEDULE_TOPIC_XXXX"), ("is_system", "true")])?;
    ensure!(system == Some(1.0), "the schedule topic is the system's: {system:?}");
    // 91 bytes of fixed fields and addresses, the body, the topic, and properties that the broker adds.
    let fifo = incoming(&page, bytes, TOPIC, "fifo")?.unwrap_or(0.0);
    ensure!((2.0 * 198.0..2.0 * 500.0).contains(&fifo), "{fifo} bytes of two messages");
    let sizes = incoming(&page, "rocketmq_message_size_count", TOPIC, "normal")?;
    ensure!(sizes == Some(7.0), "six messages and a batch: {sizes:?}");
    let sum = incoming(&page, "rocketmq_message_size_sum", TOPIC, "fifo")?;
    ensure!(sum == Some(fifo), "the sum of sizes {sum:?} is that of bytes {fifo}");
    let dead = page.value(
        "rocketmq_send_to_dlq_messages_total",
        &[("consumer_group", GROUP), ("topic", TOPIC)],
    )?;
    ensure!(dead == Some(1.0), "one message was given up: {dead:?}");
    let of_group = page.families["rocketmq_messages_in_total"].samples.keys();
    let mut of_group = of_group.filter(|(_, labels)| labels["topic"].starts_with('%'));
    ensure!(of_group.next().is_none(), "retries and dead letters are not counted");
    Ok(())
}

/// Shows what a group was given and how far it is behind: three messages pulled twice and thrice, of which one is
/// consumed.
pub(crate) fn messages_out_and_lag(metered: &Metered) -> Result<()> {
    let of_group = [("consumer_group", GROUP), ("topic", TOPIC)];
    // The delayed message arrives in queue 0 when it is due, and is not pulled. Queue 0 holds 5 + 2 + 1: committed 1,
    // pulled up to 1 by the last pull. Queue 1: pulled 1, never committed. The reference counts a message a moment
    // before its queue has it.
    let page = metered.scrape_until(|page| {
        let lag = page.value("rocketmq_consumer_lag_messages", &of_group)?;
        Ok(incoming(page, "rocketmq_messages_in_total", TOPIC, "delay")?.is_some()
            && lag.is_some_and(|lag| lag >= 7.0))
    })?;
    let given = page.value("rocketmq_messages_out_total", &of_group)?;
    ensure!(given == Some(5.0), "3 + 1 that was waited for + 1 again: {given:?}");
    let bytes = page.value("rocketmq_throughput_out_total", &of_group)?;
    ensure!(bytes.is_some_and(|bytes| bytes >= 5.0 * 198.0), "{bytes:?}");
    let retry = page.families["rocketmq_messages_out_total"].samples.keys();
    ensure!(
        retry.into_iter().all(|(_, labels)| !labels["topic"].starts_with('%')),
        "retries count"
    );
    for mode in [("consume_mode", "push"), ("language", "go"), ("version", "v4_9_8")] {
        let connections =
            page.value("rocketmq_consumer_connections", &[("consumer_group", GROUP), mode])?;
        ensure!(connections == Some(1.0), "{mode:?}: {connections:?}");
    }
    let producers = page.value("rocketmq_producer_connections", &[("language", "go")])?;
    ensure!(producers == Some(1.0), "{producers:?}");
    let latency = page.value("rocketmq_consumer_lag_latency_milliseconds", &of_group)?;
    ensure!(latency.is_some_and(|latency| latency > 0.0), "{latency:?}");
    Ok(())
}

/// Shows that requests are told by name, with the name of their answer, whether they were held and whether they were
/// one-way.
pub(crate) fn requests(metered: &Metered) -> Result<()> {
    let page = metered.scrape()?;
    for (request, response, held, result, want) in [
        ("send_message", "success", "false", "success", 10.0),
        ("pull_message", "success", "false", "success", 2.0),
        ("pull_message", "success", "true", "success", 1.0),
        ("pull_message", "pull_not_found", "false", "success", 1.0),
        ("update_consumer_offset", "success", "false", "success", 1.0),
        ("update_consumer_offset", "success", "false", "oneway", 1.0),
        ("heart_beat", "success", "false", "success", 2.0),
        ("update_and_create_topic", "success", "false", "success", 1.0),
        ("update_and_create_subscriptiongroup", "success", "false", "success", 1.0),
        ("consumer_send_msg_back", "success", "false", "success", 1.0),
    ] {
        let labels = [
            ("request_code", request),
            ("response_code", response),
            ("is_long_polling", held),
            ("result", result),
            ("protocol_type", "remoting"),
        ];
        let got = page.value("rocketmq_rpc_latency_milliseconds_count", &labels)?;
        ensure!(got == Some(want), "{labels:?}: {got:?}, not {want}");
    }
    Ok(())
}
