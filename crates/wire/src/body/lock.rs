//! Bodies about queues that consumers lock.

use serde::{Deserialize, Serialize};

/// One queue of a topic on one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageQueue {
    /// Broker name.
    pub broker_name: String,
    /// Number of the queue.
    pub queue_id: i32,
    /// Topic.
    pub topic: String,
}

/// Queues to lock or unlock: body of 41 and 42.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LockBatchRequest {
    /// Who wants to own them.
    pub client_id: String,
    /// Group for which.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
    /// Whether the broker must not ask its peers.
    pub only_this_broker: bool,
}

/// Queues that the caller owns now: answer to 41.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponse {
    /// The queues.
    #[serde(rename = "lockOKMQSet")]
    pub locked: Vec<MessageQueue>,
}
