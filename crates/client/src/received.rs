//! Messages that were consumed or pulled.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use wire::compress::Compression;
use wire::props::{self, names};
use wire::record::RecordView;

use crate::limits;
use crate::queue::MessageQueue;

/// Why the messages of a pull cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// These bytes are no stored message.
    #[error(transparent)]
    Record(#[from] wire::record::RecordError),
    /// A body cannot be decompressed.
    #[error(transparent)]
    Compressed(#[from] wire::compress::DecompressError),
}

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

    /// The body, decompressed.
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
    ) -> Result<Vec<Received>, DecodeError> {
        let mut messages = Vec::new();
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let record = RecordView::parse(&rest)?;
            let size = record.size();
            messages.push(Received::of_record(queue, &rest, &record)?);
            rest.advance(size);
        }
        Ok(messages)
    }

    fn of_record(
        queue: &MessageQueue,
        bytes: &Bytes,
        record: &RecordView<'_>,
    ) -> Result<Received, DecodeError> {
        let properties = bytes.slice_ref(record.properties());
        let body = match Compression::of(record.sys_flag()) {
            None => bytes.slice_ref(record.body()),
            Some(method) => method.decompress(record.body(), limits::INFLATED_BYTES)?.into(),
        };
        let topic = retried_topic(&properties).or_else(|| std::str::from_utf8(record.topic()).ok());
        let topic = match topic {
            Some(topic) if *topic != *queue.topic => topic.into(),
            _ => queue.topic.clone(),
        };
        Ok(Received {
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
        })
    }
}

fn retried_topic(properties: &[u8]) -> Option<&str> {
    std::str::from_utf8(props::get(properties, names::RETRY_TOPIC)?).ok()
}
