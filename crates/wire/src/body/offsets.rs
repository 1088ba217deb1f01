//! Bodies of offsets by queue: 220, 221, 222, 223, 308.
//!
//! Their maps have objects as keys, which is fastjson's dialect and no JSON. It is what Java and Go
//! clients read, so these bodies have an `encode` of their own.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{MessageQueue, read, write};

/// An offset for each of some queues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueOffsets(pub BTreeMap<MessageQueue, i64>);

impl QueueOffsets {
    /// `{{"brokerName":…,"queueId":…,"topic":…}:offset,…}`.
    fn append_to(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (queue, offset)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend(write(queue));
            out.push(b':');
            out.extend(offset.to_string().into_bytes());
        }
        out.push(b'}');
    }
}

impl<'de> Deserialize<'de> for QueueOffsets {
    /// The lenient reader hands an object that is a key over as its text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, i64>::deserialize(deserializer)?;
        let queue = |text: String| read(text.as_bytes()).map_err(D::Error::custom);
        let pairs = texts.into_iter().map(|(key, offset)| Ok((queue(key)?, offset)));
        pairs.collect::<Result<_, _>>().map(Self)
    }
}

/// Where queues were reset to: answer to 222, body of 220 (`ResetOffsetBody`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResetOffsets {
    /// The new offsets.
    pub offset_table: QueueOffsets,
}

impl ResetOffsets {
    /// The body for clients of every language but C++.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = b"{\"offsetTable\":".to_vec();
        self.offset_table.append_to(&mut out);
        out.push(b'}');
        out
    }

    /// The body for C++ clients (`ResetOffsetBodyForC`): a list, in JSON.
    #[must_use]
    pub fn encode_list(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Reset<'a> {
            broker_name: &'a str,
            offset: i64,
            queue_id: i32,
            topic: &'a str,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct List<'a> {
            offset_table: Vec<Reset<'a>>,
        }
        let resets = self.offset_table.0.iter().map(|(queue, offset)| Reset {
            broker_name: &queue.broker_name,
            offset: *offset,
            queue_id: queue.queue_id,
            topic: &queue.topic,
        });
        let offset_table = resets.collect();
        write(&List { offset_table })
    }
}

/// Offsets in the memory of consumers: answer to 221, of one consumer, and to 223, of all of a
/// group (`GetConsumerStatusBody`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerStatus {
    /// By client id.
    pub consumer_table: BTreeMap<String, QueueOffsets>,
    /// Of the consumer that answers.
    pub message_queue_table: QueueOffsets,
}

impl ConsumerStatus {
    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = b"{\"consumerTable\":{".to_vec();
        for (index, (client, offsets)) in self.consumer_table.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend(write(client));
            out.push(b':');
            offsets.append_to(&mut out);
        }
        out.extend_from_slice(b"},\"messageQueueTable\":");
        self.message_queue_table.append_to(&mut out);
        out.push(b'}');
        out
    }
}

/// The lowest offsets that groups of a topic have: answer to 308 (`QueryCorrectionOffsetBody`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CorrectionOffsets {
    /// By queue.
    pub correction_offsets: BTreeMap<i32, i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets() -> QueueOffsets {
        let queue =
            |id| MessageQueue { broker_name: "b".into(), queue_id: id, topic: "T\"".into() };
        QueueOffsets([(queue(0), 5), (queue(1), 6)].into())
    }

    /// Shows the exact text that Go's hand-written reader of 220 needs, and that it reads back.
    #[test]
    fn objects_are_keys() {
        let body = ResetOffsets { offset_table: offsets() };
        let text = r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T\""}:5,{"brokerName":"b","queueId":1,"topic":"T\""}:6}}"#;
        assert_eq!(body.encode(), text.as_bytes());
        assert_eq!(read::<ResetOffsets>(text.as_bytes()), Ok(body));
        assert_eq!(ResetOffsets::default().encode(), br#"{"offsetTable":{}}"#);
    }

    /// Shows the list that C++ clients read.
    #[test]
    fn a_list_for_cpp() {
        let body = ResetOffsets { offset_table: offsets() }.encode_list();
        let text = r#"{"offsetTable":[{"brokerName":"b","offset":5,"queueId":0,"topic":"T\""},{"brokerName":"b","offset":6,"queueId":1,"topic":"T\""}]}"#;
        assert_eq!(body, text.as_bytes());
    }

    /// Shows that what consumers answer is passed on, whichever way they write their keys, and that a
    /// key that is no queue is an error.
    #[test]
    fn status_of_consumers() {
        let one = br#"{"consumerTable":{},"messageQueueTable":{"{\"brokerName\":\"b\",\"queueId\":0,\"topic\":\"T\"}":5}}"#;
        let one: ConsumerStatus = read(one).unwrap();
        let all = ConsumerStatus {
            consumer_table: [("c1".to_owned(), one.message_queue_table)].into(),
            ..ConsumerStatus::default()
        };
        let text = r#"{"consumerTable":{"c1":{{"brokerName":"b","queueId":0,"topic":"T"}:5}},"messageQueueTable":{}}"#;
        assert_eq!(all.encode(), text.as_bytes());
        assert_eq!(read::<ConsumerStatus>(text.as_bytes()), Ok(all));
        assert!(read::<ConsumerStatus>(br#"{"messageQueueTable":{"x":5}}"#).is_err());
    }
}
