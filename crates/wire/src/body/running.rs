//! What a consumer says of itself (307), and of a message that it was asked to consume (309).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{QueueTable, SubscriptionData};

/// A consumer as it sees itself: answer to 307. Written with [`super::write_tables`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerRunningInfo {
    /// Queues that it reads by POP.
    pub mq_pop_table: QueueTable<serde_json::Value>,
    /// Queues that it reads by pulling.
    pub mq_table: QueueTable<ProcessQueueInfo>,
    /// Its settings and start time ([`running_props`]).
    pub properties: BTreeMap<String, String>,
    /// Rates by topic.
    pub status_table: BTreeMap<String, serde_json::Value>,
    /// What it subscribes to.
    pub subscription_set: Vec<SubscriptionData>,
    /// What the application adds.
    pub user_consumer_info: BTreeMap<String, String>,
}

/// Names in [`ConsumerRunningInfo::properties`] that tools look for.
pub mod running_props {
    /// Addresses of the name servers.
    pub const NAME_SERVERS: &str = "PROP_NAMESERVER_ADDR";
    /// Listener calls that run at the same time.
    pub const THREADS: &str = "PROP_THREADPOOL_CORE_SIZE";
    /// Whether the listener is ordered.
    pub const ORDERLY: &str = "PROP_CONSUMEORDERLY";
    /// Who asks for messages: the name of a [`super::super::ConsumeType`].
    pub const CONSUME_TYPE: &str = "PROP_CONSUME_TYPE";
    /// Version of the client.
    pub const VERSION: &str = "PROP_CLIENT_VERSION";
    /// When the consumer started, ms.
    pub const STARTED: &str = "PROP_CONSUMER_START_TIMESTAMP";
}

/// One queue that a consumer reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProcessQueueInfo {
    /// Messages in memory that are not consumed.
    pub cached_msg_count: i32,
    /// Highest offset of them.
    pub cached_msg_max_offset: i64,
    /// Lowest offset of them.
    pub cached_msg_min_offset: i64,
    /// Their size, MiB.
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub cached_msg_size_in_mib: i32,
    /// Offset that the consumer goes on from.
    pub commit_offset: i64,
    /// Whether the queue was taken away. The spelling is the reference's.
    pub droped: bool,
    /// When the listener was last called, ms.
    pub last_consume_timestamp: i64,
    /// When the lock was last granted, ms.
    pub last_lock_timestamp: i64,
    /// When messages were last pulled, ms.
    pub last_pull_timestamp: i64,
    /// Whether the consumer holds the lock.
    pub locked: bool,
    /// Messages of an ordered listener that are being consumed.
    pub transaction_msg_count: i32,
    /// Highest offset of them.
    pub transaction_msg_max_offset: i64,
    /// Lowest offset of them.
    pub transaction_msg_min_offset: i64,
    /// Failed tries to give the lock up.
    pub try_unlock_times: i64,
}

/// How a message was consumed on request: answer to 309 (`ConsumeMessageDirectlyResult`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeDirectlyResult {
    /// Whether an ordered listener commits by itself.
    pub auto_commit: bool,
    /// `CR_SUCCESS`, `CR_LATER`, `CR_ROLLBACK`, `CR_COMMIT`, `CR_THROW_EXCEPTION`, `CR_RETURN_NULL`.
    pub consume_result: String,
    /// Whether the listener is ordered.
    pub order: bool,
    /// What there is to say of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// Time that the listener took, ms.
    pub spent_time_mills: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{read, write_tables};

    /// Shows that the reference's text of a running consumer is read and written as it is.
    #[test]
    fn running_info_of_the_reference() {
        let text = r#"{"mqPopTable":{},"mqTable":{{"brokerName":"broker-a","queueId":0,"topic":"TopicTest"}:{"cachedMsgCount":0,"cachedMsgMaxOffset":0,"cachedMsgMinOffset":0,"cachedMsgSizeInMiB":0,"commitOffset":7,"droped":false,"lastConsumeTimestamp":0,"lastLockTimestamp":0,"lastPullTimestamp":0,"locked":false,"transactionMsgCount":0,"transactionMsgMaxOffset":0,"transactionMsgMinOffset":0,"tryUnlockTimes":0}},"properties":{"PROP_CONSUME_TYPE":"CONSUME_PASSIVELY"},"statusTable":{},"subscriptionSet":[],"userConsumerInfo":{}}"#;
        let info: ConsumerRunningInfo = read(text.as_bytes()).unwrap();
        assert_eq!(info.mq_table.values().next().map(|one| one.commit_offset), Some(7));
        assert_eq!(String::from_utf8(write_tables(&info)).unwrap(), text);
    }
}
