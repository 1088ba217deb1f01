//! The page of a broker.

use std::sync::Arc;

use metrics::{Kind, Page};
use store::{ReadError, SCHEDULE_TOPIC, Spaces};
use wire::record::RecordView;

use super::lag::{self, Lag};
use super::{Incoming, MessageType, REFUSALS};
use crate::settings::BrokerSettings;
use crate::topic::{Topic, is_of_group};
use crate::{Broker, limits};

/// The group that delayed messages are given to before they are delivered.
const SCHEDULE_GROUP: &str = "SCHEDULE_CONSUMER";
/// Label of everything beyond a limit.
const OTHER: &str = "__other__";
/// Labels that some family has itself.
const TAKEN: [&str; 24] = [
    "cluster",
    "consume_mode",
    "consumer_group",
    "invocation_status",
    "is_long_polling",
    "is_retry",
    "is_system",
    "language",
    "le",
    "listener",
    "mark",
    "message_type",
    "node_id",
    "node_type",
    "of",
    "otel_scope_name",
    "processor",
    "protocol_type",
    "reason",
    "request_code",
    "response_code",
    "result",
    "topic",
    "version",
];
/// Labels of what the store is on.
const STORAGE: [(&str, &str); 2] = [("storage_type", "local"), ("storage_medium", "disk")];

/// Writes one sample of what came into a topic, with these labels.
type Write<'w> = &'w mut dyn FnMut(&[(&str, &str)], &Incoming);

/// Whether a group is the system's own.
pub(super) fn is_system_group(group: &str) -> bool {
    group.len() >= 12 && group.as_bytes()[..12].eq_ignore_ascii_case(b"CID_RMQ_SYS_")
}

fn text(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

impl Broker {
    /// Adds everything that this broker tells monitoring systems to a page, on a thread that may wait for the device.
    ///
    /// # Errors
    /// When too much waits for the device already, or the store is closed.
    pub async fn metrics(&self, mut page: Page) -> Result<Page, ReadError> {
        let broker = self.clone();
        let written = self.store.background(move |_| {
            broker.write_metrics(&mut page);
            page
        })?;
        written.await.ok_or(ReadError::Closed)
    }

    fn write_metrics(&self, page: &mut Page) {
        let settings = self.live.owned();
        let own = [
            ("cluster", settings.cluster.as_str()),
            ("node_type", "broker"),
            ("node_id", settings.name.as_str()),
            ("otel_scope_name", "broker-meter"),
        ];
        // The reference's own labels win where a configured one has the same name.
        let extra = extra_labels(&settings.metrics_label);
        let extra = extra.filter(|(name, _)| own.iter().all(|(known, _)| known != name));
        let before = page.with_labels(own.into_iter().chain(extra));
        if settings.stats_metrics {
            self.write_stats(page, &settings);
        }
        let mut dropped = [("traffic_in", 0), ("traffic_out", 0), ("consumer_lag", 0)];
        if settings.request_metrics {
            dropped[0].1 = self.write_incoming(page);
            dropped[1].1 = self.write_outgoing(page);
            self.write_creations(page);
        }
        if settings.connection_metrics {
            self.write_connections(page);
        }
        if settings.lag_metrics {
            dropped[2].1 = self.write_lag(page, settings.metrics_label_sets);
            self.write_dead(page);
        }
        if settings.remoting_metrics {
            let help = "How long requests take from when they are read to when they are answered.";
            let name = "rocketmq_rpc_latency_milliseconds";
            self.metrics.rpc.write(&mut page.family(name, Kind::Histogram, help));
        }
        if settings.store_metrics {
            self.write_storage(page);
        }
        self.write_own(page, &dropped);
        page.restore_labels(before);
    }

    fn write_stats(&self, page: &mut Page, settings: &BrokerSettings) {
        let waiting = self.store.waiting();
        let help = "What waits, by the reference's pools of threads: sends for the log, reads for the device.";
        let mut family = page.family("rocketmq_processor_watermark", Kind::Gauge, help);
        family.sample(&[("processor", "send")], waiting.appends);
        family.sample(&[("processor", "pull")], waiting.reads);
        // Everything else is served at once.
        let others = ["async_put", "ack", "query_message", "client_manager", "heartbeat"];
        let more = ["lite_pull", "transaction", "consumer_manager", "admin", "reply"];
        for processor in others.into_iter().chain(more) {
            family.sample(&[("processor", processor)], 0);
        }
        let mut gauge = |name, help, value: i64| page.one(name, Kind::Gauge, help, value);
        let permission = settings.permission.into();
        gauge("rocketmq_broker_permission", "4 read, 2 write, 6 both.", permission);
        gauge("rocketmq_topic_number", "Topics that exist.", self.topics.count() as i64);
        let groups = self.groups.count() as i64;
        gauge("rocketmq_consumer_group_number", "Consumer groups that exist.", groups);
    }

    /// Returns how many topics are counted together.
    fn write_incoming(&self, page: &mut Page) -> usize {
        let mut topics = self.topics.all();
        topics.sort_unstable_by(|one, other| one.config.topic_name.cmp(&other.config.topic_name));
        let others = self.topics.other_traffic();
        let is_apart = |traffic: &Arc<super::Traffic>| !Arc::ptr_eq(traffic, others);
        let counted = topics.iter().filter_map(|topic| {
            let traffic = topic.traffic.as_ref().filter(|traffic| is_apart(traffic))?;
            Some((topic.config.topic_name.as_str(), topic.system, traffic))
        });
        let all: Vec<_> = counted.chain([(OTHER, false, others)]).collect();
        let each = |write: Write<'_>| {
            for (topic, system, traffic) in &all {
                for kind in MessageType::ALL {
                    let labels = [
                        ("topic", *topic),
                        ("message_type", kind.name()),
                        ("is_system", text(*system)),
                    ];
                    if let Some(incoming) = traffic.get(kind) {
                        write(&labels, incoming);
                    }
                }
            }
        };
        let (name, help) = ("rocketmq_messages_in_total", "Messages that were stored.");
        let mut family = page.family(name, Kind::Counter, help);
        each(&mut |labels, incoming| family.sample(labels, incoming.messages.get()));
        let (name, help) = ("rocketmq_throughput_in_total", "Bytes of messages that were stored.");
        let mut family = page.family(name, Kind::Counter, help);
        each(&mut |labels, incoming| family.sample(labels, incoming.bytes.get()));
        let (name, help) = ("rocketmq_message_size", "Bytes of a stored message.");
        let mut family = page.family(name, Kind::Histogram, help);
        each(&mut |labels, incoming| family.histogram(labels, &incoming.sizes));
        let is_other = |topic: &&Arc<Topic>| topic.traffic.as_ref().is_some_and(|t| !is_apart(t));
        topics.iter().filter(is_other).count()
    }

    /// Returns how many topics and groups are counted together.
    fn write_outgoing(&self, page: &mut Page) -> usize {
        let mut given = self.progress.given();
        given.each.retain(|(topic, _, given)| !is_of_group(topic) && given.messages > 0);
        given.each.sort_unstable_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        let [delivered, delivered_bytes] = self.metrics.delivered.each_ref().map(|c| c.get());
        let mut write = |name, help, delivered: u64, value: fn(&crate::progress::Given) -> u64| {
            let mut family = page.family(name, Kind::Counter, help);
            let mut sample = |topic: &str, group: &str, system, value: u64| {
                let labels =
                    [("topic", topic), ("consumer_group", group), ("is_system", text(system))];
                family.sample(&labels, value);
            };
            for (topic, group, given) in &given.each {
                let system = self.topics.is_system(topic) || is_system_group(group);
                sample(topic, group, system, value(given));
            }
            if delivered > 0 {
                sample(SCHEDULE_TOPIC, SCHEDULE_GROUP, true, delivered);
            }
            if given.others.messages > 0 {
                sample(OTHER, OTHER, false, value(&given.others));
            }
        };
        let help = "Messages that consumers were given.";
        write("rocketmq_messages_out_total", help, delivered, |given| given.messages);
        let help = "Bytes of messages that consumers were given.";
        write("rocketmq_throughput_out_total", help, delivered_bytes, |given| given.bytes);
        given.other_count
    }

    fn write_creations(&self, page: &mut Page) {
        let statuses = ["failure", "success"];
        let name = "rocketmq_topic_create_execution_time_milliseconds";
        let mut family =
            page.family(name, Kind::Histogram, "How long creating or changing a topic takes.");
        for (by_system, status) in self.metrics.topics_created.iter().zip(statuses) {
            for (histogram, system) in by_system.iter().zip([false, true]) {
                if histogram.count() > 0 {
                    let labels = [("invocation_status", status), ("is_system", text(system))];
                    family.histogram(&labels, histogram);
                }
            }
        }
        let name = "rocketmq_consumer_group_create_execution_time_milliseconds";
        let mut family =
            page.family(name, Kind::Histogram, "How long creating or changing a group takes.");
        for (histogram, status) in self.metrics.groups_created.iter().zip(statuses) {
            if histogram.count() > 0 {
                family.histogram(&[("invocation_status", status)], histogram);
            }
        }
    }

    fn write_connections(&self, page: &mut Page) {
        let (name, help) = ("rocketmq_producer_connections", "Connections of producers.");
        let mut family = page.family(name, Kind::Gauge, help);
        for ((language, version), count) in self.clients.producer_counts() {
            let labels =
                [("language", &*language), ("version", &*version), ("protocol_type", "remoting")];
            family.sample(&labels, count);
        }
        let (name, help) = ("rocketmq_consumer_connections", "Connections of consumers.");
        let mut family = page.family(name, Kind::Gauge, help);
        for (of, count) in self.clients.consumer_counts() {
            let labels = [
                ("consumer_group", of.group.as_str()),
                ("language", of.language.as_str()),
                ("version", of.version.as_str()),
                ("consume_mode", of.mode),
                ("protocol_type", "remoting"),
                ("is_system", text(is_system_group(&of.group))),
            ];
            family.sample(&labels, count);
        }
    }

    /// Returns how many groups and topics were left out.
    fn write_lag(&self, page: &mut Page, limit: usize) -> usize {
        let (all, left_out) = lag::all(self, limit);
        let now_ms = self.env.clock.wall_ms();
        let age = |at: Option<i64>| at.map_or(0, |at| now_ms.saturating_sub(at).max(0) as u64);
        let mut write = |name, help, value: &dyn Fn(&Lag) -> u64| {
            let mut family = page.family(name, Kind::Gauge, help);
            for lag in &all {
                let labels = [
                    ("consumer_group", lag.group.as_str()),
                    ("topic", lag.topic.as_str()),
                    ("is_retry", "false"),
                    ("is_system", text(lag.system)),
                ];
                family.sample(&labels, value(lag));
            }
        };
        let help = "Messages that a group has not consumed.";
        write("rocketmq_consumer_lag_messages", help, &|lag| lag.inflight + lag.ready);
        let help = "Age of the oldest message that a group has not consumed.";
        write("rocketmq_consumer_lag_latency_milliseconds", help, &|lag| age(lag.unconsumed_ms));
        let help = "Messages that a group has pulled and not consumed.";
        write("rocketmq_consumer_inflight_messages", help, &|lag| lag.inflight);
        let help = "Age of the oldest message that a group has not pulled.";
        write("rocketmq_consumer_queueing_latency_milliseconds", help, &|lag| age(lag.unpulled_ms));
        let help = "Messages that a group has not pulled.";
        write("rocketmq_consumer_ready_messages", help, &|lag| lag.ready);
        left_out
    }

    fn write_dead(&self, page: &mut Page) {
        let (name, help) = ("rocketmq_send_to_dlq_messages_total", "Messages that were given up.");
        let mut family = page.family(name, Kind::Counter, help);
        let dead = self.metrics.dead.lock();
        for ((group, topic), count) in &dead.each {
            let system = self.topics.is_system(topic) || is_system_group(group);
            let labels = [
                ("consumer_group", group.as_str()),
                ("topic", topic.as_str()),
                ("is_system", text(system)),
            ];
            family.sample(&labels, count);
        }
        if dead.others > 0 {
            let labels = [("consumer_group", OTHER), ("topic", OTHER), ("is_system", "false")];
            family.sample(&labels, dead.others);
        }
    }

    fn write_storage(&self, page: &mut Page) {
        let marks = self.store.watermarks();
        let mut gauge = |name, help, value: u64| {
            page.family(name, Kind::Gauge, help).sample(&STORAGE, value);
        };
        if let Ok(Spaces { root, .. }) = self.store.spaces() {
            let help = "Used space of the file system that the store is on.";
            gauge("rocketmq_storage_size_bytes", help, root.used);
        }
        let help = "Bytes of the log that await the device.";
        let behind = marks.appended.saturating_sub(marks.durable);
        gauge("rocketmq_storage_flush_behind_bytes", help, behind);
        let help = "Bytes of the log that consumers do not see yet.";
        let behind = marks.appended.saturating_sub(marks.visible);
        gauge("rocketmq_storage_dispatch_behind_bytes", help, behind);
        let first = self.store.record(marks.min).ok().flatten();
        let first =
            first.and_then(|record| Some(RecordView::parse(&record).ok()?.store_timestamp()));
        if let Some(first) = first.filter(|stored| *stored > 0) {
            let age = self.env.clock.wall_ms().saturating_sub(first).max(0);
            let name = "rocketmq_storage_message_reserve_time_milliseconds";
            gauge(name, "Age of the oldest message.", age as u64);
        }
    }

    /// What the reference has no name for.
    fn write_own(&self, page: &mut Page, dropped: &[(&str, usize)]) {
        let marks = self.store.watermarks();
        let help =
            "How far the log has got: first byte, written, synced, shown, in the queues' files.";
        let mut family = page.family("apogee_store_log_offset_bytes", Kind::Gauge, help);
        let offsets = [
            ("min", marks.min),
            ("appended", marks.appended),
            ("durable", marks.durable),
            ("visible", marks.visible),
            ("dispatched", marks.dispatched),
        ];
        for (mark, offset) in offsets {
            family.sample(&[("mark", mark)], offset);
        }
        let (files, bytes) = self.store.log_files();
        page.one("apogee_store_log_files", Kind::Gauge, "Files of the log.", files);
        page.one("apogee_store_log_size_bytes", Kind::Gauge, "Bytes of the log's files.", bytes);
        let help = "Bytes that may await the device before sends wait (commitLogDirtyBytesMax).";
        let limit = self.store.dirty_limit();
        page.one("apogee_store_dirty_limit_bytes", Kind::Gauge, help, limit);
        if let Ok(Spaces { log, root }) = self.store.spaces() {
            let help = "Free space of the file systems of the log and of everything else.";
            let mut family = page.family("apogee_store_disk_free_bytes", Kind::Gauge, help);
            family.sample(&[("of", "log")], log.free);
            family.sample(&[("of", "root")], root.free);
        }
        self.store.metrics().write(page);
        let help = "Sends that were refused without being stored.";
        let mut family = page.family("apogee_sends_refused_total", Kind::Counter, help);
        for (reason, count) in REFUSALS.iter().zip(&self.metrics.refused) {
            family.sample(&[("reason", reason)], count.get());
        }
        let pulls = self.stats.pulls();
        let help = "Pulls that were answered, with messages and without.";
        let mut family = page.family("apogee_pulls_total", Kind::Counter, help);
        family.sample(&[("result", "found")], pulls.found);
        family.sample(&[("result", "missed")], pulls.missed);
        let registered = self.registrar.state();
        let help = "Name servers, and those that know this broker.";
        let mut family = page.family("apogee_name_servers", Kind::Gauge, help);
        family.sample(&[("state", "configured")], registered.configured);
        family.sample(&[("state", "registered")], registered.accepted);
        let help = "Label sets that count together as __other__, or are left out.";
        let mut family = page.family("apogee_metrics_dropped_label_sets", Kind::Gauge, help);
        for (of, count) in dropped {
            family.sample(&[("of", of)], count);
        }
        let help = "Label sets of each kind that are told apart (metricsOtelCardinalityLimit), and queues that lags are found out of.";
        let mut family = page.family("apogee_metrics_limit", Kind::Gauge, help);
        family.sample(&[("of", "label_sets")], self.settings().metrics_label_sets);
        family.sample(&[("of", "lag_queues")], limits::LAG_QUEUES);
    }
}

/// The pairs of `metricsLabel` that are labels.
fn extra_labels(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
    let pairs = pairs.map(|(name, value)| (name.trim(), value.trim()));
    pairs.filter(|(name, value)| is_label_name(name) && !value.contains(':'))
}

/// Says once what of `metricsLabel` is no label.
pub(crate) fn check_labels(text: &str) {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    for pair in pairs.filter(|pair| extra_labels(pair).next().is_none()) {
        tracing::warn!(
            pair,
            "metricsLabel: not of the form name:value, or a name that is taken; it is left out"
        );
    }
}

/// Whether samples may have one more label of that name.
fn is_label_name(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let mut bytes = name.bytes();
    bytes.next().is_some_and(is_first)
        && bytes.all(|byte| is_first(byte) || byte.is_ascii_digit())
        && !name.starts_with("__")
        && !TAKEN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows which pairs of `metricsLabel` become labels: hostile names, names that are taken and halves do not.
    #[test]
    fn labels_are_checked() {
        let pairs = |text| extra_labels(text).collect::<Vec<_>>();
        assert_eq!(pairs("zone:z1, rack : 7 ,"), [("zone", "z1"), ("rack", "7")]);
        for bad in ["", "zone", "a b:c", "1a:b", "le:1", "topic:T", "__name__:x", "a:b:c", "a\"}:x"]
        {
            assert_eq!(pairs(bad), [], "{bad}");
        }
    }

    /// Shows which groups are the system's, in any case.
    #[test]
    fn groups_of_the_system() {
        assert!(is_system_group("CID_RMQ_SYS_TRANS") && is_system_group("cid_rmq_sys_x"));
        assert!(!is_system_group("CID_RMQ_SYS") && !is_system_group("g") && !is_system_group(""));
    }
}
