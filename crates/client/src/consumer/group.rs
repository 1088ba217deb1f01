//! A consumer group as one client takes part in it: what heartbeats say about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

use crate::consumer::subscription::TagFilter;

/// Prefix of the topic that carries a group's redeliveries.
const RETRY_PREFIX: &str = "%RETRY%";

/// Who of a group gets a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// One member of the group.
    #[default]
    Clustering,
    /// Every member.
    Broadcasting,
}

/// Where a group starts in a queue that it has never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsumeFrom {
    /// After the messages that are there. A broker that holds all messages of a queue in memory from
    /// offset 0 answers 0 nevertheless, so a young topic is read from its start.
    #[default]
    Last,
    /// At the first message.
    First,
    /// At the first message stored at or after this time, in milliseconds since 1970.
    TimeMs(i64),
}

/// One member's view of its group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    pub(crate) model: Model,
    pub(crate) from: ConsumeFrom,
    pub(crate) subscriptions: BTreeMap<Arc<str>, Subscription>,
    /// Asks for a rebalance before its time.
    pub(crate) rebalance: Notify,
}

/// What a group wants of a topic, and since when.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) filter: TagFilter,
    /// Milliseconds since 1970; pulls carry it, and brokers refuse pulls that are newer than the
    /// last heartbeat.
    version: AtomicI64,
}

impl Subscription {
    pub(crate) fn new(filter: TagFilter, now_ms: i64) -> Subscription {
        Subscription { filter, version: AtomicI64::new(now_ms) }
    }

    pub(crate) fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn renew(&self, now_ms: i64) {
        self.version.fetch_max(now_ms, Ordering::AcqRel);
    }
}

impl Group {
    /// Whether `topic` carries redeliveries.
    pub(crate) fn is_retry(topic: &str) -> bool {
        topic.starts_with(RETRY_PREFIX)
    }

    /// The topic that carries this group's redeliveries.
    pub(crate) fn retry_topic(group: &str) -> String {
        format!("{RETRY_PREFIX}{group}")
    }
}
