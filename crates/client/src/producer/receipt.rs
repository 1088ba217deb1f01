//! What a send was answered.

use crate::queue::MessageQueue;
use crate::remote::Stored;

/// How well a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendStatus {
    /// As well as the broker is configured to store it.
    Ok,
    /// Stored, but not flushed to disk in time.
    FlushDiskTimeout,
    /// Stored, but not copied to a slave in time.
    FlushSlaveTimeout,
    /// Stored, but there is no slave to copy it to.
    SlaveNotAvailable,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How well it is stored.
    pub status: SendStatus,
    /// Queue that it went to.
    pub queue: MessageQueue,
    /// Its position in that queue.
    pub offset: u64,
    /// The id that the producer gave it; consumers see it as the message's id.
    pub message_id: String,
    /// The id that says where it is stored.
    pub offset_message_id: String,
    /// Id of the transaction, when the broker names one.
    pub transaction_id: Option<String>,
}

/// A stored batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchReceipt {
    /// How well it is stored.
    pub status: SendStatus,
    /// Queue that it went to.
    pub queue: MessageQueue,
    /// Position of the first message in that queue; the others follow it.
    pub offset: u64,
    /// The ids that the producer gave, in order.
    pub message_ids: Vec<String>,
    /// The ids that say where the messages are stored, in order.
    pub offset_message_ids: Vec<String>,
}

impl Receipt {
    pub(crate) fn new(queue: MessageQueue, stored: Stored, message_id: String) -> Receipt {
        Receipt {
            status: stored.status,
            queue: MessageQueue { id: stored.queue_id, ..queue },
            offset: stored.offset,
            message_id,
            offset_message_id: stored.message_id,
            transaction_id: stored.transaction_id,
        }
    }
}

impl BatchReceipt {
    pub(crate) fn new(queue: MessageQueue, stored: Stored, keys: Vec<String>) -> BatchReceipt {
        BatchReceipt {
            status: stored.status,
            queue: MessageQueue { id: stored.queue_id, ..queue },
            offset: stored.offset,
            message_ids: keys,
            offset_message_ids: stored.message_id.split(',').map(str::to_owned).collect(),
        }
    }
}
