//! Bodies by which operators' tools look into a broker.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Serializer;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use super::{ConsumeFromWhere, ConsumeType, MessageModel, MessageQueue, SubscriptionData, write};

/// A table whose keys are queues, each as the JSON text of a [`MessageQueue`] ([`queue_key`]).
/// Bodies that have one are written with [`write_tables`].
pub type QueueTable<T> = BTreeMap<String, T>;

/// The key of a queue in a [`QueueTable`].
#[must_use]
pub fn queue_key(queue: &MessageQueue) -> String {
    String::from_utf8(write(queue)).expect("JSON is text")
}

/// Writes a body that has [`QueueTable`]s: a key that is the text of an object becomes that object
/// (`{{"brokerName":…}:{…}}`). That is no JSON, but what the reference writes, and 5.4.0 reads nothing
/// else.
///
/// # Panics
/// As [`write()`].
#[must_use]
pub fn write_tables<T: Serialize>(body: &T) -> Vec<u8> {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, ObjectKeys::default());
    body.serialize(&mut serializer).expect("bodies are texts, numbers, lists and maps of them");
    out
}

/// Writes keys that start with a brace as they are, not as strings.
#[derive(Default)]
struct ObjectKeys {
    in_key: bool,
    /// Whether the key is an object; unknown before its first part.
    object: Option<bool>,
}

impl Formatter for ObjectKeys {
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        (self.in_key, self.object) = (true, None);
        if first { Ok(()) } else { out.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, _out: &mut W) -> io::Result<()> {
        self.in_key = false;
        Ok(())
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        if self.in_key { Ok(()) } else { out.write_all(b"\"") }
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        match self.object {
            Some(true) if self.in_key => Ok(()),
            // An empty key: its first quote is missing too.
            None if self.in_key => out.write_all(b"\"\""),
            _ => out.write_all(b"\""),
        }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        part: &str,
    ) -> io::Result<()> {
        self.begin_part(out, part.starts_with('{'))?;
        out.write_all(part.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.begin_part(out, false)?;
        match escape {
            CharEscape::Quote if self.is_raw() => out.write_all(b"\""),
            CharEscape::ReverseSolidus if self.is_raw() => out.write_all(b"\\"),
            escape => CompactFormatter.write_char_escape(out, escape),
        }
    }
}

impl ObjectKeys {
    fn is_raw(&self) -> bool {
        self.in_key && self.object == Some(true)
    }

    /// Opens the string of a key whose first part shows that it is no object.
    fn begin_part<W: ?Sized + io::Write>(&mut self, out: &mut W, object: bool) -> io::Result<()> {
        if !self.in_key || self.object.is_some() {
            return Ok(());
        }
        self.object = Some(object);
        if object { Ok(()) } else { out.write_all(b"\"") }
    }
}

/// What a topic holds: answer to 202.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicStatsTable {
    /// Its queues.
    pub offset_table: QueueTable<TopicOffset>,
    /// Messages a second, over the last minute.
    pub topic_put_tps: f64,
}

/// How much of something came in three spans of time: answer to 315.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerStatsData {
    /// In the last day.
    pub stats_day: StatsSnapshot,
    /// In the last hour.
    pub stats_hour: StatsSnapshot,
    /// In the last minute.
    pub stats_minute: StatsSnapshot,
}

/// How much of something came in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatsSnapshot {
    /// The mean of what came at once.
    pub avgpt: f64,
    /// Messages or bytes.
    pub sum: i64,
    /// The same a second.
    pub tps: f64,
}

/// What one queue of a topic holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicOffset {
    /// Store time of the last message, ms; 0 if there is none.
    pub last_update_timestamp: i64,
    /// Offset behind the last message.
    pub max_offset: i64,
    /// Offset of the first message.
    pub min_offset: i64,
}

/// A client's connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Connection {
    /// Its address.
    pub client_addr: String,
    /// The client's name for itself.
    pub client_id: String,
    /// Language that its frames name.
    pub language: String,
    /// Version ordinal of its frames.
    pub version: i32,
}

/// The members of a consumer group: answer to 203.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerConnection {
    /// The connections.
    pub connection_set: Vec<Connection>,
    /// Where a member starts that has no offset.
    pub consume_from_where: ConsumeFromWhere,
    /// Who asks for messages.
    pub consume_type: ConsumeType,
    /// Whether members share the messages.
    pub message_model: MessageModel,
    /// What they subscribe to, by topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// The members of a producer group: answer to 204.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerConnection {
    /// The connections.
    pub connection_set: Vec<Connection>,
}

/// Every producer: answer to 328.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProducerTable {
    /// Producers by group.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// One producer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProducerInfo {
    /// The client's name for itself.
    pub client_id: String,
    /// Language that its frames name.
    pub language: String,
    /// Time of its last heartbeat, ms.
    pub last_update_timestamp: i64,
    /// Its address.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// Version ordinal of its frames.
    pub version: i32,
}

/// How far a group is: answer to 208.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeStats {
    /// Messages a second that its members pulled, over the last minute.
    pub consume_tps: f64,
    /// Its queues.
    pub offset_table: QueueTable<OffsetWrapper>,
}

/// How far a group is in one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OffsetWrapper {
    /// Offset behind the last message.
    pub broker_offset: i64,
    /// Offset that the group goes on from.
    pub consumer_offset: i64,
    /// Store time of the last message that was consumed, ms; 0 if there is none.
    pub last_timestamp: i64,
    /// Offset behind the last message that a member has pulled.
    pub pull_offset: i64,
}

/// How far every group is: answer to 317.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeStatsList {
    /// Address of the broker.
    pub broker_addr: String,
    /// A table of one group each, with its topics.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// Messages that were not consumed.
    pub total_diff: i64,
    /// Messages that were pulled and not consumed.
    pub total_inflight_diff: i64,
}

/// Names of groups: answer to 300.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupList {
    /// The names.
    pub group_list: Vec<String>,
}

/// From when to when a topic's messages are: answer to 303. The reference adds each time as a text,
/// which its reader computes anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeTimeSpans {
    /// The queues.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// From when to when a queue's messages are, and where in between a group is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueueTimeSpan {
    /// Store time of the last message that was consumed, ms.
    pub consume_time_stamp: i64,
    /// Age of the next message to consume, ms; 0 if there is none.
    pub delay_time: i64,
    /// Store time of the last message, ms; -1 if there is none.
    pub max_time_stamp: i64,
    /// The queue.
    pub message_queue: MessageQueue,
    /// Store time of the first message, ms; -1 if there is none.
    pub min_time_stamp: i64,
}

/// Part of a consume queue: answer to 321.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeQueuePart {
    /// What there is to say of the subscription's filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    /// Offset behind the last message.
    pub max_queue_index: i64,
    /// Offset of the first message.
    pub min_queue_index: i64,
    /// The units.
    pub queue_data: Vec<ConsumeQueueUnit>,
    /// The subscription that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

/// One unit of a consume queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeQueueUnit {
    /// Whether a filter took it; filters of this kind are not kept.
    pub eval: bool,
    /// Log offset of the record.
    pub physic_offset: i64,
    /// Bytes of the record.
    pub physic_size: i32,
    /// Hash of its tag, or its delivery time.
    pub tags_code: i64,
}

/// One subscription of a group: answer to 345.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupSubscription {
    /// Group.
    pub group: String,
    /// The subscription, if a member is connected that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// Topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}
