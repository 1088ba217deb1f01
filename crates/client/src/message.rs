//! Messages to send.

use bytes::Bytes;
use wire::props::names;

use crate::limits;

/// A message to send: a topic, a body, and properties.
///
/// ```
/// let message = client::Message::new("orders", "created 42")
///     .tag("created")
///     .key("42")
///     .property("customer", "7");
/// assert_eq!(message.topic(), "orders");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    topic: String,
    body: Bytes,
    flag: i32,
    properties: Vec<(String, String)>,
}

/// Why a message cannot be sent by anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// The topic's name is empty, too long, or has characters outside `%|a-zA-Z0-9_-`.
    #[error(
        "topic {topic:?} is not valid: 1 to {} of the characters %|a-zA-Z0-9_- are allowed",
        limits::NAME_BYTES
    )]
    Topic {
        /// The refused name.
        topic: String,
    },
    /// Brokers refuse messages without a body.
    #[error("message for topic {topic} has an empty body")]
    EmptyBody {
        /// Topic of the message.
        topic: String,
    },
    /// The body is larger than the producer allows.
    #[error("message body of {bytes} bytes exceeds the limit of {limit} (maxMessageSize)")]
    BodyTooLarge {
        /// Size of the body.
        bytes: usize,
        /// Largest allowed size.
        limit: usize,
    },
    /// A property name or value is empty or contains the characters that separate properties.
    #[error("property {name:?} has an empty part or contains U+0001 or U+0002")]
    Property {
        /// Name of the property.
        name: String,
    },
    /// The encoded properties do not fit their length field.
    #[error("properties of {bytes} bytes exceed the limit of {}", limits::PROPERTY_BYTES)]
    PropertiesTooLarge {
        /// Size of the encoded properties.
        bytes: usize,
    },
    /// A batch has no messages.
    #[error("a batch needs at least one message")]
    EmptyBatch,
    /// The messages of a batch do not share one topic, or ask for a delay.
    #[error(
        "batch for topic {topic} may hold neither message of another topic nor delayed message"
    )]
    MixedBatch {
        /// Topic of the first message.
        topic: String,
    },
}

impl Message {
    /// A message without properties.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Message {
        Message { topic: topic.into(), body: body.into(), flag: 0, properties: Vec::new() }
    }

    /// Sets the tag, by which consumers can filter.
    pub fn tag(self, tag: impl Into<String>) -> Message {
        self.with(names::TAGS, tag.into())
    }

    /// Adds a business key, by which the message can be found; keys are separated by spaces.
    pub fn key(self, key: impl Into<String>) -> Message {
        let mut keys = self.get(names::KEYS).map_or_else(String::new, |keys| format!("{keys} "));
        keys.push_str(&key.into());
        self.with(names::KEYS, keys)
    }

    /// Sets a property of the application.
    pub fn property(self, name: impl AsRef<str>, value: impl Into<String>) -> Message {
        self.with(name.as_ref(), value.into())
    }

    /// Names what the message is ordered by: the messages of one key go to one queue, and are
    /// consumed one after the other by ordered consumers.
    pub fn ordered_by(self, key: impl Into<String>) -> Message {
        self.with(names::SHARDING_KEY, key.into())
    }

    /// Delays delivery by a level of the broker (1 to 18: 1s 5s 10s 30s 1m … 2h by default).
    pub fn delay_level(self, level: u8) -> Message {
        self.with(names::DELAY, level.to_string())
    }

    /// Delays delivery until a time, in milliseconds since 1970.
    pub fn deliver_at_ms(self, time_ms: i64) -> Message {
        self.with(names::TIMER_DELIVER_MS, time_ms.to_string())
    }

    /// Whether the answer waits for flush and replication where the broker does them
    /// synchronously. The default is `true`.
    pub fn wait_stored(self, wait: bool) -> Message {
        self.with(names::WAIT, wait.to_string())
    }

    /// Sets the application's 32 free bits.
    pub fn flag(mut self, flag: i32) -> Message {
        self.flag = flag;
        self
    }

    /// Topic that the message goes to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The uncompressed body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flags(&self) -> i32 {
        self.flag
    }

    pub(crate) fn properties(&self) -> &[(String, String)] {
        &self.properties
    }

    pub(crate) fn with(mut self, name: &str, value: String) -> Message {
        match self.properties.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.properties.push((name.to_owned(), value)),
        }
        self
    }

    pub(crate) fn is_delayed(&self) -> bool {
        self.get(names::DELAY).is_some() || self.get(names::TIMER_DELIVER_MS).is_some()
    }

    /// Checks what every broker would refuse, and what would corrupt the stored properties.
    pub(crate) fn validate(&self, body_limit: usize) -> Result<(), InvalidMessage> {
        if !is_valid_name(&self.topic, limits::NAME_BYTES) {
            return Err(InvalidMessage::Topic { topic: self.topic.clone() });
        }
        if self.body.is_empty() {
            return Err(InvalidMessage::EmptyBody { topic: self.topic.clone() });
        }
        if self.body.len() > body_limit {
            return Err(InvalidMessage::BodyTooLarge { bytes: self.body.len(), limit: body_limit });
        }
        let mut bytes = 0;
        for (name, value) in &self.properties {
            if is_bad_part(name) || is_bad_part(value) {
                return Err(InvalidMessage::Property { name: name.clone() });
            }
            bytes += name.len() + value.len() + 2;
        }
        if bytes > limits::PROPERTY_BYTES {
            return Err(InvalidMessage::PropertiesTooLarge { bytes });
        }
        Ok(())
    }
}

/// Whether a topic or group name is one that brokers accept.
pub(crate) fn is_valid_name(name: &str, longest: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte);
    !name.is_empty() && name.len() <= longest && name.bytes().all(allowed)
}

fn is_bad_part(text: &str) -> bool {
    text.is_empty() || text.contains(['\u{1}', '\u{2}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    // Keys collect, other properties replace.
    #[test]
    fn keys_collect_and_tags_replace() {
        let message = Message::new("T", "b").key("k1").key("k2").tag("a").tag("b");
        assert_eq!(message.get("KEYS"), Some("k1 k2"));
        assert_eq!(message.get("TAGS"), Some("b"));
    }

    // What a broker would refuse or store corrupted is refused before it is sent.
    #[test]
    fn invalid_messages_are_refused() {
        let check = |message: Message| message.validate(10).unwrap_err();
        assert!(matches!(check(Message::new("a b", "x")), InvalidMessage::Topic { .. }));
        assert!(matches!(check(Message::new("", "x")), InvalidMessage::Topic { .. }));
        let long = "t".repeat(128);
        assert!(matches!(check(Message::new(long, "x")), InvalidMessage::Topic { .. }));
        assert!(matches!(check(Message::new("T", "")), InvalidMessage::EmptyBody { .. }));
        let error = check(Message::new("T", vec![0; 11]));
        assert_eq!(error, InvalidMessage::BodyTooLarge { bytes: 11, limit: 10 });
        let error = check(Message::new("T", "x").property("a", "b\u{2}c"));
        assert!(matches!(error, InvalidMessage::Property { .. }));
        let error = check(Message::new("T", "x").tag("x".repeat(40_000)));
        assert!(matches!(error, InvalidMessage::PropertiesTooLarge { .. }));
        assert_eq!(Message::new("%RETRY%g", "x").validate(10), Ok(()));
    }
}
