//! Messages that were consumed or pulled.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use wire::compress::Compression;
use wire::props::{self, names};
use wire::record::{RecordError, RecordView};

use crate::limits;
use crate::queue::MessageQueue;

/// A message as it was stored. Clones share the bytes of the pull that brought it.
#[derive(Clone, Debug)]
pub struct Received {
    queue: MessageQueue,
    topic: Arc<str>,
    offset: u64,
    physical_offset: u64,
    born_ms: i64,
    store_ms: i64,
    born_host: SocketAddr,
    store_host: SocketAddr,
    reconsume_times: i32,
    flag: i32,
    stored_bytes: usize,
    properties: Bytes,
    body: Bytes,
}

impl Received {
    /// Topic that the message was sent to; for a redelivered message the original one, not that of
    /// the retry queue.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Queue that the message was read from.
    pub fn queue(&self) -> &MessageQueue {
        &self.queue
    }

    /// Position in its queue.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Position in the commit log of the broker that stored it, in bytes.
    pub fn physical_offset(&self) -> u64 {
        self.physical_offset
    }

    /// The body, decompressed; as it is stored when that is not possible.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.property(names::TAGS)
    }

    /// Business keys, separated by spaces.
    pub fn keys(&self) -> Option<&str> {
        self.property(names::KEYS)
    }

    /// Value of a property; `None` also when it is not UTF-8.
    pub fn property(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(props::get(&self.properties, name)?).ok()
    }

    /// Every property that is UTF-8, in stored order.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        props::iter(&self.properties).filter_map(|(name, value)| {
            Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
        })
    }

    /// The id that the producer gave, else the offset id.
    pub fn message_id(&self) -> String {
        self.property(names::UNIQ_KEY).map_or_else(|| self.offset_message_id(), str::to_owned)
    }

    /// The id that says where the message is stored.
    pub fn offset_message_id(&self) -> String {
        let id = wire::ids::OffsetMsgId { host: self.store_host, offset: self.physical_offset };
        id.encode().to_string()
    }

    /// When the producer made it, in milliseconds since 1970.
    pub fn born_ms(&self) -> i64 {
        self.born_ms
    }

    /// When the broker stored it, in milliseconds since 1970.
    pub fn store_ms(&self) -> i64 {
        self.store_ms
    }

    /// Address of the producer.
    pub fn born_host(&self) -> SocketAddr {
        self.born_host
    }

    /// Address of the broker.
    pub fn store_host(&self) -> SocketAddr {
        self.store_host
    }

    /// How often the message was delivered to this group before.
    pub fn reconsume_times(&self) -> i32 {
        self.reconsume_times
    }

    /// The application's 32 free bits.
    pub fn flag(&self) -> i32 {
        self.flag
    }

    /// Bytes that the message occupies on the wire and in the log.
    pub fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// Bytes that it takes in memory, about: its body may be inflated.
    pub(crate) fn held_bytes(&self) -> usize {
        self.stored_bytes.max(self.body.len())
    }

    /// The id of the first message through all retries.
    pub(crate) fn origin_id(&self) -> String {
        let origin = self.property(names::ORIGIN_MESSAGE_ID);
        origin.map_or_else(|| self.message_id(), str::to_owned)
    }

    pub(crate) fn set_reconsume_times(&mut self, times: i32) {
        self.reconsume_times = times;
    }

    /// Reads the messages of a pull: stored records, one behind the other.
    pub(crate) fn decode_all(
        queue: &MessageQueue,
        bytes: &Bytes,
    ) -> Result<Vec<Received>, RecordError> {
        Received::decode(bytes, |_| queue.clone())
    }

    /// Reads messages that a broker found: stored records of any of its queues.
    pub(crate) fn decode_found(
        broker: &Arc<str>,
        bytes: &Bytes,
    ) -> Result<Vec<Received>, RecordError> {
        Received::decode(bytes, |record| MessageQueue {
            topic: String::from_utf8_lossy(record.topic()).into(),
            broker: broker.clone(),
            id: u32::try_from(record.queue_id()).unwrap_or(0),
        })
    }

    fn decode(
        bytes: &Bytes,
        queue_of: impl Fn(&RecordView<'_>) -> MessageQueue,
    ) -> Result<Vec<Received>, RecordError> {
        let mut messages = Vec::new();
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let record = RecordView::parse(&rest)?;
            let size = record.size();
            messages.push(Received::of_record(&queue_of(&record), &rest, &record));
            rest.advance(size);
        }
        Ok(messages)
    }

    fn of_record(queue: &MessageQueue, bytes: &Bytes, record: &RecordView<'_>) -> Received {
        let properties = bytes.slice_ref(record.properties());
        let body = body_of(queue, bytes, record);
        let topic = retried_topic(&properties).or_else(|| std::str::from_utf8(record.topic()).ok());
        let topic = match topic {
            Some(topic) if *topic != *queue.topic => topic.into(),
            _ => queue.topic.clone(),
        };
        Received {
            queue: queue.clone(),
            topic,
            offset: record.queue_offset(),
            physical_offset: record.physical_offset(),
            born_ms: record.born_timestamp(),
            store_ms: record.store_timestamp(),
            born_host: record.born_host(),
            store_host: record.store_host(),
            reconsume_times: record.reconsume_times(),
            flag: record.flag(),
            stored_bytes: record.size(),
            properties,
            body,
        }
    }
}

/// The body, decompressed. One that cannot be is kept as it is stored: refusing it would stop its
/// queue, and the application can tell.
fn body_of(queue: &MessageQueue, bytes: &Bytes, record: &RecordView<'_>) -> Bytes {
    let stored = bytes.slice_ref(record.body());
    let Some(method) = Compression::of(record.sys_flag()) else { return stored };
    match method.decompress(&stored, limits::INFLATED_BYTES) {
        Ok(body) => body.into(),
        Err(error) => {
            tracing::warn!(%queue, offset = record.queue_offset(), %error, "body kept compressed");
            stored
        }
    }
}

fn retried_topic(properties: &[u8]) -> Option<&str> {
    std::str::from_utf8(props::get(properties, names::RETRY_TOPIC)?).ok()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use wire::flags::message;
    use wire::record::{self, RecordHead};

    use super::*;

    fn stored(sys_flag: i32, topic: &str, body: &[u8], properties: &str) -> Bytes {
        let head = RecordHead {
            queue_id: 1,
            flag: 7,
            sys_flag,
            born_timestamp: 1_000,
            born_host: "10.0.0.1:80".parse().unwrap(),
            store_host: "127.0.0.1:10911".parse().unwrap(),
            reconsume_times: 2,
            prepared_transaction_offset: 0,
        };
        let mut out = BytesMut::new();
        let (topic, properties) = (topic.as_bytes(), properties.as_bytes());
        record::encode(&mut out, &head, topic, body, properties).unwrap();
        out.freeze()
    }

    fn decode(bytes: &[Bytes]) -> Result<Vec<Received>, RecordError> {
        Received::decode_all(&MessageQueue::new("T", "b", 1), &bytes.concat().into())
    }

    // Records that follow one another become messages, compressed bodies are inflated.
    #[test]
    fn records_become_messages() {
        let squeezed = Compression::Zlib.compress(b"squeezed", 5);
        let plain = stored(0, "T", b"plain", "TAGS\u{1}t\u{2}UNIQ_KEY\u{1}id\u{2}");
        let messages = decode(&[plain, stored(message::COMPRESSED, "T", &squeezed, "")]).unwrap();
        assert_eq!(messages[0].body(), "plain");
        assert_eq!((messages[0].tag(), messages[0].message_id().as_str()), (Some("t"), "id"));
        assert_eq!((messages[0].flag(), messages[0].reconsume_times()), (7, 2));
        assert_eq!(messages[1].body(), "squeezed");
        assert_eq!(messages[0].held_bytes(), messages[0].stored_bytes());
        assert_eq!(messages[1].message_id(), "7F00000100002A9F0000000000000000");
    }

    // A body that was inflated counts with what it takes then.
    #[test]
    fn inflated_bodies_count() {
        let small = Compression::Zlib.compress(&[0; 100_000], 5);
        let messages = decode(&[stored(message::COMPRESSED, "T", &small, "")]).unwrap();
        assert!(messages[0].stored_bytes() < 1_000);
        assert_eq!(messages[0].held_bytes(), 100_000);
    }

    // A redelivered message says where it was sent first.
    #[test]
    fn the_topic_of_a_retried_message_is_restored() {
        let retried = stored(0, "%RETRY%g", b"x", "RETRY_TOPIC\u{1}orders\u{2}");
        assert_eq!(decode(&[retried]).unwrap()[0].topic(), "orders");
    }

    // A body that claims to be compressed but is not does not stop its queue.
    #[test]
    fn a_broken_body_is_delivered_as_it_is() {
        let broken = stored(message::COMPRESSED, "T", b"no zlib", "");
        assert_eq!(decode(&[broken]).unwrap()[0].body(), "no zlib");
    }

    // Bytes that are no record are refused, also behind good ones.
    #[test]
    fn garbage_is_refused() {
        let good = stored(0, "T", b"x", "");
        let cut = good.slice(..good.len() - 1);
        assert!(decode(&[good, cut]).is_err());
        assert!(decode(&[Bytes::from_static(&[0xFF; 40])]).is_err());
        assert!(decode(&[]).unwrap().is_empty());
    }
}
