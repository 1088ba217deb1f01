//! The property block of a message: `name 0x01 value 0x02`, repeated.
//!
//! The same bytes travel in send headers and lie in records. Rules of the reference's reader, which
//! define which properties exist: a segment without 0x01, or with an empty name or value, is
//! nothing; the first 0x01 of a segment ends its name; of equal names the last one counts; the
//! last 0x02 may be missing. Stored blocks are never re-encoded, only appended to.

use bytes::BytesMut;
use memchr::memchr;

/// Ends a property's name.
pub const NAME_END: u8 = 0x01;
/// Ends a property's value.
pub const VALUE_END: u8 = 0x02;

/// Iterates over `(name, value)` in the order of the block, borrowed.
#[must_use]
pub fn iter(block: &[u8]) -> Properties<'_> {
    Properties { rest: block }
}

/// Value of the property `name`; of several, the last.
#[must_use]
pub fn get<'a>(block: &'a [u8], name: &str) -> Option<&'a [u8]> {
    iter(block).filter(|(n, _)| *n == name.as_bytes()).map(|(_, value)| value).last()
}

/// Iterator of [`iter`].
#[derive(Debug, Clone)]
pub struct Properties<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Properties<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = memchr(VALUE_END, self.rest).unwrap_or(self.rest.len());
            let segment = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if let Some(pair) = split(segment) {
                return Some(pair);
            }
        }
        None
    }
}

/// Splits a segment into a name and a value that are both not empty.
fn split(segment: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr(NAME_END, segment)?;
    let (name, value) = (&segment[..at], &segment[at + 1..]);
    (!name.is_empty() && !value.is_empty()).then_some((name, value))
}

/// A property block under construction: the bytes of a buffer from `start` to its end.
#[derive(Debug)]
pub struct PropertiesMut<'b> {
    buf: &'b mut BytesMut,
    start: usize,
}

impl<'b> PropertiesMut<'b> {
    /// Takes what lies in `buf` from `start` on as the block so far.
    ///
    /// # Panics
    /// If `start` is beyond the buffer.
    pub fn new(buf: &'b mut BytesMut, start: usize) -> Self {
        assert!(start <= buf.len(), "a property block starts inside its buffer");
        Self { buf, start }
    }

    /// The block so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// The buffer, to append an encoded block as it is.
    pub fn buf(&mut self) -> &mut BytesMut {
        self.buf
    }

    /// Appends a property, after ending an unfinished last segment. An empty value is not written:
    /// readers would not see it.
    pub fn append(&mut self, name: &str, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.end_segment();
        self.buf.extend_from_slice(name.as_bytes());
        self.buf.extend_from_slice(&[NAME_END]);
        self.buf.extend_from_slice(value);
        self.buf.extend_from_slice(&[VALUE_END]);
    }

    /// Removes every property of that name, keeping all other bytes.
    pub fn remove(&mut self, name: &str) {
        let mut read = self.start;
        let mut write = self.start;
        while read < self.buf.len() {
            let end = memchr(VALUE_END, &self.buf[read..]).map_or(self.buf.len(), |n| read + n + 1);
            let segment = &self.buf[read..end];
            let named = memchr(NAME_END, segment).map(|n| &segment[..n]);
            if named != Some(name.as_bytes()) {
                self.buf.copy_within(read..end, write);
                write += end - read;
            }
            read = end;
        }
        self.buf.truncate(write);
    }

    /// Makes the block end in 0x02 unless it is empty.
    pub fn end_segment(&mut self) {
        if self.as_bytes().last().is_some_and(|last| *last != VALUE_END) {
            self.buf.extend_from_slice(&[VALUE_END]);
        }
    }
}

/// Names that the platform gives a meaning (`MessageConst`).
pub mod names {
    macro_rules! names {
        ($($(#[$doc:meta])* $ident:ident = $text:literal;)*) => {
            $($(#[$doc])* pub const $ident: &str = $text;)*
        };
    }

    names! {
        /// Business keys separated by spaces; indexed.
        KEYS = "KEYS";
        /// The tag; its hash goes into the consume queue.
        TAGS = "TAGS";
        /// "false": the producer does not wait for flush and replication.
        WAIT = "WAIT";
        /// Delay level, 1 to 18.
        DELAY = "DELAY";
        /// Original topic of a retried message.
        RETRY_TOPIC = "RETRY_TOPIC";
        /// Original topic of a message parked in a system topic.
        REAL_TOPIC = "REAL_TOPIC";
        /// Original queue of a message parked in a system topic.
        REAL_QUEUE_ID = "REAL_QID";
        /// "true": transactional half message.
        TRANSACTION_PREPARED = "TRAN_MSG";
        /// Producer group, for transaction checks.
        PRODUCER_GROUP = "PGROUP";
        /// Lowest offset of the queue when the message was pulled; client memory only.
        MIN_OFFSET = "MIN_OFFSET";
        /// Highest offset of the queue when the message was pulled; client memory only.
        MAX_OFFSET = "MAX_OFFSET";
        /// Id of the first message through all retries.
        ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID";
        /// Group that a redelivered message belongs to.
        ORIGIN_GROUP = "ORIGIN_GROUP";
        /// Retry count that a producer moves into the send header.
        RECONSUME_TIME = "RECONSUME_TIME";
        /// Retry limit that a producer moves into the send header.
        MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES";
        /// Region of the broker.
        MSG_REGION = "MSG_REGION";
        /// Whether clients should trace.
        TRACE_ON = "TRACE_ON";
        /// Id that the client generated; indexed.
        UNIQ_KEY = "UNIQ_KEY";
        /// Number of messages of an inner batch.
        INNER_NUM = "INNER_NUM";
        /// First queue offset of an inner batch.
        INNER_BASE = "INNER_BASE";
        /// Transaction id, on half and committed messages.
        TRANSACTION_ID = "__transactionId__";
        /// Number of transaction checks done.
        TRANSACTION_CHECK_TIMES = "TRANSACTION_CHECK_TIMES";
        /// Original queue offset of a half message that was put back.
        TRANSACTION_PREPARED_QUEUE_OFFSET = "TRAN_PREPARED_QUEUE_OFFSET";
        /// Seconds before the first transaction check of this message.
        CHECK_IMMUNITY_TIME_IN_SECONDS = "CHECK_IMMUNITY_TIME_IN_SECONDS";
        /// Namespace instance.
        INSTANCE_ID = "INSTANCE_ID";
        /// Request-reply: correlation id.
        CORRELATION_ID = "CORRELATION_ID";
        /// Request-reply: client id that expects the reply.
        REPLY_TO_CLIENT = "REPLY_TO_CLIENT";
        /// Request-reply: when the broker pushed the reply, ms.
        PUSH_REPLY_TIME = "PUSH_REPLY_TIME";
        /// Request-reply: timeout in ms.
        TTL = "TTL";
        /// Cluster name.
        CLUSTER = "CLUSTER";
        /// "reply" marks a reply message.
        MSG_TYPE = "MSG_TYPE";
        /// POP receipt; stripped from sends.
        POP_CK = "POP_CK";
        /// First POP delivery, ms.
        FIRST_POP_TIME = "1ST_POP_TIME";
        /// Order key.
        SHARDING_KEY = "__SHARDINGKEY";
        /// Comma-separated light queues that the message goes to as well.
        INNER_MULTI_DISPATCH = "INNER_MULTI_DISPATCH";
        /// Offsets in those light queues.
        INNER_MULTI_QUEUE_OFFSET = "INNER_MULTI_QUEUE_OFFSET";
        /// Arbitrary delay in seconds.
        TIMER_DELAY_SEC = "TIMER_DELAY_SEC";
        /// Arbitrary delay in ms.
        TIMER_DELAY_MS = "TIMER_DELAY_MS";
        /// Arbitrary delivery time, ms since the epoch.
        TIMER_DELIVER_MS = "TIMER_DELIVER_MS";
        /// Duplicate check data `a_b`.
        DUP_INFO = "DUP_INFO";
        /// Topic that a dead letter came from.
        DLQ_ORIGIN_TOPIC = "DLQ_ORIGIN_TOPIC";
        /// Message that a dead letter came from.
        DLQ_ORIGIN_MESSAGE_ID = "DLQ_ORIGIN_MESSAGE_ID";
        /// Checksum of the record; always the last property.
        CRC32 = "__CRC32#";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(block: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        iter(block.as_bytes()).map(|(name, value)| (text(name), text(value))).collect()
    }

    fn expect(block: &str, want: &[(&str, &str)]) {
        let want: Vec<_> = want.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        assert_eq!(pairs(block), want, "{block:?}");
    }

    /// Which segments count as properties, and where a name ends.
    #[test]
    fn reader_rules() {
        expect("", &[]);
        expect("a\x01b\x02", &[("a", "b")]);
        expect("a\x01b", &[("a", "b")]);
        expect("a\x01b\x02c\x01d", &[("a", "b"), ("c", "d")]);
        expect("\x01b\x02a\x01\x02ab\x02\x02\x02x\x01y", &[("x", "y")]);
        expect("a\x01b\x01c\x02", &[("a", "b\x01c")]);
    }

    /// Of equal names the last value counts.
    #[test]
    fn last_value_wins() {
        assert_eq!(get(b"a\x011\x02b\x012\x02a\x013\x02", "a"), Some(&b"3"[..]));
        assert_eq!(get(b"a\x011\x02", "A"), None);
    }

    /// Appending repairs a missing end, skips empty values and leaves bytes before the block alone.
    #[test]
    fn append_and_remove() {
        let mut buf = BytesMut::from(&b"headKEYS\x01k"[..]);
        let mut block = PropertiesMut::new(&mut buf, 4);
        block.append("TAGS", b"t");
        block.append("EMPTY", b"");
        assert_eq!(block.as_bytes(), b"KEYS\x01k\x02TAGS\x01t\x02");
        block.append("KEYS", b"again");
        block.remove("KEYS");
        assert_eq!(block.as_bytes(), b"TAGS\x01t\x02");
        block.remove("TAGS");
        assert_eq!(&buf[..], b"head");
    }
}
