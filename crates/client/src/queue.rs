//! The address of a queue.

use std::fmt;
use std::sync::Arc;

/// One queue of a topic at one broker group.
///
/// The order (topic, broker, id) is the one every member of a consumer group sorts by before it
/// takes its share, so it is part of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageQueue {
    /// Topic that the queue belongs to.
    pub topic: Arc<str>,
    /// Name of the broker group that stores the queue.
    pub broker: Arc<str>,
    /// Number of the queue at that broker, from 0.
    pub id: u32,
}

impl MessageQueue {
    /// A queue by its three parts.
    pub fn new(topic: &str, broker: &str, id: u32) -> MessageQueue {
        MessageQueue { topic: topic.into(), broker: broker.into(), id }
    }

    /// The queue of a key in a table of a broker's answer, the JSON text of a queue; what it leaves
    /// out is as given.
    pub(crate) fn of_key(key: &str, topic: &str, broker: &str) -> Option<MessageQueue> {
        let queue: wire::body::MessageQueue = wire::body::read(key.as_bytes()).ok()?;
        let or =
            |text: String, other: &str| if text.is_empty() { other.into() } else { text.into() };
        Some(MessageQueue {
            topic: or(queue.topic, topic),
            broker: or(queue.broker_name, broker),
            id: u32::try_from(queue.queue_id).ok()?,
        })
    }
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#{}", self.topic, self.broker, self.id)
    }
}
