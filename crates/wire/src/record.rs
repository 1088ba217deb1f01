//! The commit log's message record: written once, patched once, read in place.
//!
//! Layout (all integers big-endian; `B` and `S` are 8 bytes for an IPv4 host, 20 for IPv6):
//!
//! | offset | field | | offset | field |
//! |---|---|---|---|---|
//! | 0 | totalSize i32 | | 40 | bornTimestamp i64 |
//! | 4 | magic i32 | | 48 | bornHost, `B` bytes |
//! | 8 | bodyCRC i32 | | 48+B | storeTimestamp i64 |
//! | 12 | queueId i32 | | 56+B | storeHost, `S` bytes |
//! | 16 | flag i32 | | 56+B+S | reconsumeTimes i32 |
//! | 20 | queueOffset i64 | | 60+B+S | preparedTransactionOffset i64 |
//! | 28 | physicalOffset i64 | | 68+B+S | bodyLength i32, body |
//! | 36 | sysFlag i32 | | then | topicLength i8 or i16, topic; propertiesLength i16, properties |
//!
//! The encoder runs outside the append lock and leaves zeros for the three values that only the
//! lock decides; [`patch`] fills them. Invariants: a record that this module encodes parses; a
//! [`RecordView`] never reads outside its record, whatever its length fields say.
//! Sources: `MessageExtEncoder`, `MessageDecoder`, `CommitLog.checkMessageAndReturnSize`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BytesMut;

use crate::flags::message::{BORN_HOST_V6, STORE_HOST_V6};
use crate::limits::{MAX_PROPERTIES, MAX_RECORD, MAX_TOPIC, MAX_TOPIC_V1};
use crate::props::{self, PropertiesMut};

/// Magic of a record whose topic length is one byte.
pub const MAGIC_V1: i32 = 0xDAA3_20A7_u32 as i32;
/// Magic of a record whose topic length is two bytes.
pub const MAGIC_V2: i32 = 0xDAA3_20AB_u32 as i32;
/// Magic of the filler that ends a segment.
pub const MAGIC_BLANK: i32 = 0xCBD4_3194_u32 as i32;

/// Position of the magic.
pub const MAGIC_AT: usize = 4;
/// Position of the queue id.
pub const QUEUE_ID_AT: usize = 12;
/// Position of the queue offset.
pub const QUEUE_OFFSET_AT: usize = 20;
/// Position of the physical offset.
pub const PHYSICAL_OFFSET_AT: usize = 28;
/// Position of the system flag.
pub const SYS_FLAG_AT: usize = 36;
/// Position of the born timestamp.
pub const BORN_TIMESTAMP_AT: usize = 40;
/// Position of the born host.
pub const BORN_HOST_AT: usize = 48;

/// Bytes of the filler's own head; at least so many stay free behind the last record of a segment.
pub const BLANK_SIZE: usize = 8;
/// Bytes of the checksum property: name, 0x01, ten digits, 0x02.
pub const PROPERTY_CRC_SIZE: usize = 20;
/// Bytes of a record besides body, topic and properties, with IPv4 hosts and version 1.
pub const FIXED_SIZE: usize = 91;

/// Fields of a record that its encoder is given, besides body, topic and properties.
#[derive(Debug, Clone, Copy)]
pub struct RecordHead {
    /// Queue of the topic.
    pub queue_id: i32,
    /// Opaque client flag.
    pub flag: i32,
    /// System flag; its two host bits are replaced by what the hosts are.
    pub sys_flag: i32,
    /// Client's clock, ms since the epoch.
    pub born_timestamp: i64,
    /// Client's address; an IPv4 address mapped into IPv6 is stored as IPv4.
    pub born_host: SocketAddr,
    /// Address of the storing broker, likewise.
    pub store_host: SocketAddr,
    /// How often the message was redelivered.
    pub reconsume_times: i32,
    /// Commit log offset of the half message of a committed message, else 0.
    pub prepared_transaction_offset: i64,
}

/// Whether a record ends in a checksum property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyCrc {
    /// No checksum (`enabledAppendPropCRC=false`, the default).
    Absent,
    /// Room is left for one, to be filled by [`patch_property_crc`].
    Reserved,
}

/// Why a record cannot be encoded. The buffer is left as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The topic name does not fit its length field.
    #[error("the topic name has {0} bytes, a record can hold {MAX_TOPIC}")]
    Topic(usize),
    /// The properties do not fit their length field.
    #[error("the properties have {0} bytes, a record can hold {MAX_PROPERTIES}")]
    Properties(usize),
    /// The record does not fit its length field.
    #[error("the record would have {0} bytes, the format allows {MAX_RECORD}")]
    Size(usize),
}

/// Appends a whole record to `out` and returns its size; see [`RecordWriter`] for properties that
/// are not yet one block.
///
/// # Errors
/// When a part does not fit its length field.
pub fn encode(
    out: &mut BytesMut,
    head: &RecordHead,
    topic: &[u8],
    body: &[u8],
    properties: &[u8],
) -> Result<usize, EncodeError> {
    let mut writer = RecordWriter::begin(out, head, topic, body)?;
    writer.properties().buf().extend_from_slice(properties);
    writer.finish(PropertyCrc::Absent)
}

/// A record at the end of a buffer whose properties are still being written.
#[derive(Debug)]
pub struct RecordWriter<'b> {
    out: &'b mut BytesMut,
    start: usize,
    properties_at: usize,
}

impl<'b> RecordWriter<'b> {
    /// Appends everything before the properties. Dropping the writer instead of finishing it leaves
    /// half a record in `out`: truncate it.
    ///
    /// # Errors
    /// When topic or body do not fit their length fields.
    pub fn begin(
        out: &'b mut BytesMut,
        head: &RecordHead,
        topic: &[u8],
        body: &[u8],
    ) -> Result<Self, EncodeError> {
        if topic.len() > MAX_TOPIC {
            return Err(EncodeError::Topic(topic.len()));
        }
        let rest = 200 + topic.len() + MAX_PROPERTIES;
        let body_len = i32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_RECORD - rest);
        let Some(body_len) = body_len else {
            return Err(EncodeError::Size(body.len() + topic.len() + FIXED_SIZE));
        };
        let start = out.len();
        let version_1 = topic.len() <= MAX_TOPIC_V1;
        let mut fixed = Fixed::default();
        fixed.put([0; 4]);
        fixed.put(if version_1 { MAGIC_V1 } else { MAGIC_V2 }.to_be_bytes());
        fixed.put(crc(body).to_be_bytes());
        fixed.put(head.queue_id.to_be_bytes());
        fixed.put(head.flag.to_be_bytes());
        fixed.put([0; 16]);
        fixed.put(head.host_flags().to_be_bytes());
        fixed.put(head.born_timestamp.to_be_bytes());
        fixed.host(head.born_host);
        fixed.put([0; 8]);
        fixed.host(head.store_host);
        fixed.put(head.reconsume_times.to_be_bytes());
        fixed.put(head.prepared_transaction_offset.to_be_bytes());
        fixed.put(body_len.to_be_bytes());
        out.reserve(fixed.len + body.len() + topic.len() + 4 + PROPERTY_CRC_SIZE + 256);
        out.extend_from_slice(&fixed.bytes[..fixed.len]);
        out.extend_from_slice(body);
        // Both lengths were checked above: the low bytes are the whole number.
        let topic_len = (topic.len() as u16).to_be_bytes();
        out.extend_from_slice(if version_1 { &topic_len[1..] } else { &topic_len });
        out.extend_from_slice(topic);
        out.extend_from_slice(&[0; 2]);
        let properties_at = out.len();
        Ok(Self { out, start, properties_at })
    }

    /// The property block, to append to.
    pub fn properties(&mut self) -> PropertiesMut<'_> {
        PropertiesMut::new(self.out, self.properties_at)
    }

    /// Fills in the lengths and returns the record's size.
    ///
    /// # Errors
    /// When the properties do not fit their length field; the record is then taken off `out`.
    pub fn finish(mut self, property_crc: PropertyCrc) -> Result<usize, EncodeError> {
        if property_crc == PropertyCrc::Reserved {
            let mut properties = self.properties();
            properties.remove(props::names::CRC32);
            properties.end_segment();
            properties.append(props::names::CRC32, b"0000000000");
        }
        let Self { out, start, properties_at } = self;
        let properties = out.len() - properties_at;
        if properties > MAX_PROPERTIES {
            out.truncate(start);
            return Err(EncodeError::Properties(properties));
        }
        let size = out.len() - start;
        let Ok(total) = i32::try_from(size) else {
            out.truncate(start);
            return Err(EncodeError::Size(size));
        };
        out[start..start + 4].copy_from_slice(&total.to_be_bytes());
        let len = (properties as u16).to_be_bytes();
        out[properties_at - 2..properties_at].copy_from_slice(&len);
        Ok(size)
    }
}

impl RecordHead {
    /// The system flag with the host bits that belong to the hosts.
    fn host_flags(&self) -> i32 {
        let bit = |host: SocketAddr, bit| if host.ip().to_canonical().is_ipv6() { bit } else { 0 };
        self.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6)
            | bit(self.born_host, BORN_HOST_V6)
            | bit(self.store_host, STORE_HOST_V6)
    }
}

/// The part of a record before its body, on the stack.
struct Fixed {
    bytes: [u8; 112],
    len: usize,
}

impl Default for Fixed {
    fn default() -> Self {
        Self { bytes: [0; 112], len: 0 }
    }
}

impl Fixed {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&bytes);
        self.len += N;
    }

    fn host(&mut self, host: SocketAddr) {
        match host.ip().to_canonical() {
            IpAddr::V4(ip) => self.put(ip.octets()),
            IpAddr::V6(ip) => self.put(ip.octets()),
        }
        self.put(u32::from(host.port()).to_be_bytes());
    }
}

/// What only the append lock decides about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Offset in the consume queue; 0 for half and rolled back messages.
    pub queue_offset: u64,
    /// Offset of the record in the commit log, bytes.
    pub physical_offset: u64,
    /// Broker's clock, ms since the epoch.
    pub store_timestamp: i64,
}

/// Writes `stamp` into the encoded record at the start of `record`.
///
/// # Panics
/// If `record` is shorter than an encoded record's fixed part.
pub fn patch(record: &mut [u8], stamp: &Stamp) {
    record[QUEUE_OFFSET_AT..QUEUE_OFFSET_AT + 8].copy_from_slice(&stamp.queue_offset.to_be_bytes());
    record[PHYSICAL_OFFSET_AT..PHYSICAL_OFFSET_AT + 8]
        .copy_from_slice(&stamp.physical_offset.to_be_bytes());
    let at = store_timestamp_at(record);
    record[at..at + 8].copy_from_slice(&stamp.store_timestamp.to_be_bytes());
}

/// Position of the store timestamp: 56 with an IPv4 born host, 68 with IPv6.
///
/// # Panics
/// If `record` is shorter than 40 bytes.
#[must_use]
pub fn store_timestamp_at(record: &[u8]) -> usize {
    BORN_HOST_AT + host_size(i32_at(record, SYS_FLAG_AT), BORN_HOST_V6)
}

/// Fills the checksum of exactly one encoded record that was finished with
/// [`PropertyCrc::Reserved`]; to be called after [`patch`], since it covers the patched fields.
///
/// # Panics
/// If `record` is shorter than the checksum property.
pub fn patch_property_crc(record: &mut [u8]) {
    let covered = record.len() - PROPERTY_CRC_SIZE;
    let digits = property_crc_digits(crc(&record[..covered]));
    let at = record.len() - 11;
    record[at..at + 10].copy_from_slice(&digits);
}

/// Ten decimal digits, least significant first.
fn property_crc_digits(crc: i32) -> [u8; 10] {
    let mut rest = crc.unsigned_abs();
    std::array::from_fn(|_| {
        let digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        digit
    })
}

/// CRC-32 (zlib) with the sign bit cleared, as the reference stores it.
#[must_use]
pub fn crc(bytes: &[u8]) -> i32 {
    (crc32fast::hash(bytes) & 0x7FFF_FFFF) as i32
}

/// Appends the filler of a segment whose last `remaining` bytes stay unused: its first 8 bytes.
///
/// # Panics
/// If `remaining` is below [`BLANK_SIZE`] or above `i32::MAX`: segments are smaller, and appending
/// keeps that much free.
pub fn encode_blank(out: &mut BytesMut, remaining: usize) {
    assert!(remaining >= BLANK_SIZE, "a segment keeps {BLANK_SIZE} bytes for its filler");
    let size = i32::try_from(remaining).expect("a segment is smaller than 2 GiB");
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&MAGIC_BLANK.to_be_bytes());
}

/// What lies at a position of the commit log.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// A record.
    Record(RecordView<'a>),
    /// The filler: the rest of the segment, `size` bytes from here, is unused.
    Blank {
        /// Bytes from the filler's start to the end of the segment.
        size: usize,
    },
}

/// Why the bytes at a position are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record goes on behind the end of the bytes.
    #[error("a record of {needed} bytes, of which {have} are here")]
    Truncated {
        /// Bytes that the record needs; 8 while its size is not known.
        needed: usize,
        /// Bytes that there are.
        have: usize,
    },
    /// Neither a record nor a filler starts here. Zeros (`0`) are where a log has not been written.
    #[error("no record starts here: magic {0:#010x}")]
    Magic(i32),
    /// The record's length fields contradict its total size, which may serve to skip it.
    #[error("a record of {size} bytes whose {field} does not fit")]
    Length {
        /// Total size as stored.
        size: usize,
        /// The length field that does not fit.
        field: &'static str,
    },
    /// The body does not have the stored checksum.
    #[error("body checksum {stored:#010x} stored, {computed:#010x} computed")]
    BodyCrc {
        /// Checksum in the record.
        stored: i32,
        /// Checksum of the body.
        computed: i32,
    },
    /// The record does not end in a valid checksum property.
    #[error("the record's checksum property is missing or wrong")]
    PropertyCrc,
}

/// A record in place. Holds exactly the record's bytes; its lengths were checked by [`parse`].
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    body_at: usize,
    topic_at: usize,
    properties_at: usize,
}

/// Reads what starts at `bytes[0]`, which may go on with further records. Checksums are checked by
/// [`RecordView::verify_body`] and [`RecordView::verify_property_crc`]; whether the record lies at
/// its own physical offset, by whoever knows where `bytes` come from.
///
/// # Errors
/// When no whole, consistent record starts here.
pub fn parse(bytes: &[u8]) -> Result<Entry<'_>, RecordError> {
    let have = bytes.len();
    if have < BLANK_SIZE {
        return Err(RecordError::Truncated { needed: BLANK_SIZE, have });
    }
    let total = i32_at(bytes, 0);
    let magic = i32_at(bytes, MAGIC_AT);
    let size = usize::try_from(total).unwrap_or(0);
    let topic_len_size = match magic {
        MAGIC_V1 => 1,
        MAGIC_V2 => 2,
        MAGIC_BLANK if size >= BLANK_SIZE => return Ok(Entry::Blank { size }),
        MAGIC_BLANK => return Err(RecordError::Length { size, field: "totalSize" }),
        _ => return Err(RecordError::Magic(magic)),
    };
    if size < FIXED_SIZE {
        return Err(RecordError::Length { size, field: "totalSize" });
    }
    if size > have {
        return Err(RecordError::Truncated { needed: size, have });
    }
    RecordView::new(&bytes[..size], topic_len_size).map(Entry::Record)
}

impl<'a> RecordView<'a> {
    /// Reads a record that must start at `bytes[0]`, a filler being none.
    ///
    /// # Errors
    /// As [`parse`]; a filler is [`RecordError::Magic`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        match parse(bytes)? {
            Entry::Record(record) => Ok(record),
            Entry::Blank { .. } => Err(RecordError::Magic(MAGIC_BLANK)),
        }
    }

    /// `bytes` are as many as the total size says, at least [`FIXED_SIZE`].
    fn new(bytes: &'a [u8], topic_len_size: usize) -> Result<Self, RecordError> {
        let size = bytes.len();
        let bad = |field| RecordError::Length { size, field };
        let sys_flag = i32_at(bytes, SYS_FLAG_AT);
        let hosts = host_size(sys_flag, BORN_HOST_V6) + host_size(sys_flag, STORE_HOST_V6);
        let body_at = 72 + hosts;
        if body_at > size {
            return Err(bad("totalSize"));
        }
        let body_len =
            usize::try_from(i32_at(bytes, body_at - 4)).map_err(|_| bad("bodyLength"))?;
        let topic_at = body_at.checked_add(body_len).and_then(|at| at.checked_add(topic_len_size));
        let topic_at = topic_at.filter(|at| *at <= size).ok_or(bad("bodyLength"))?;
        let topic_len = match topic_len_size {
            1 => i16::from(bytes[topic_at - 1] as i8),
            _ => i16_at(bytes, topic_at - 2),
        };
        let topic_len = usize::try_from(topic_len).map_err(|_| bad("topicLength"))?;
        let properties_at = topic_at + topic_len + 2;
        if properties_at > size {
            return Err(bad("topicLength"));
        }
        let properties_len = usize::try_from(i16_at(bytes, properties_at - 2));
        if properties_len.ok() != Some(size - properties_at) {
            return Err(bad("propertiesLength"));
        }
        Ok(Self { bytes, body_at, topic_at, properties_at })
    }

    /// All bytes of the record.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Size of the record, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// CRC-32 of the body as stored, sign bit cleared.
    #[must_use]
    pub fn body_crc(&self) -> i32 {
        i32_at(self.bytes, 8)
    }

    /// Queue of the topic.
    #[must_use]
    pub fn queue_id(&self) -> i32 {
        i32_at(self.bytes, QUEUE_ID_AT)
    }

    /// Opaque client flag.
    #[must_use]
    pub fn flag(&self) -> i32 {
        i32_at(self.bytes, 16)
    }

    /// Offset in the consume queue.
    #[must_use]
    pub fn queue_offset(&self) -> u64 {
        u64_at(self.bytes, QUEUE_OFFSET_AT)
    }

    /// Offset in the commit log that the record says it has, bytes.
    #[must_use]
    pub fn physical_offset(&self) -> u64 {
        u64_at(self.bytes, PHYSICAL_OFFSET_AT)
    }

    /// System flag ([`crate::flags::message`]).
    #[must_use]
    pub fn sys_flag(&self) -> i32 {
        i32_at(self.bytes, SYS_FLAG_AT)
    }

    /// Client's clock, ms since the epoch.
    #[must_use]
    pub fn born_timestamp(&self) -> i64 {
        i64_at(self.bytes, BORN_TIMESTAMP_AT)
    }

    /// Client's address.
    #[must_use]
    pub fn born_host(&self) -> SocketAddr {
        self.host(BORN_HOST_AT, BORN_HOST_V6)
    }

    /// Broker's clock when it stored the record, ms since the epoch.
    #[must_use]
    pub fn store_timestamp(&self) -> i64 {
        i64_at(self.bytes, store_timestamp_at(self.bytes))
    }

    /// Address of the broker that stored the record.
    #[must_use]
    pub fn store_host(&self) -> SocketAddr {
        self.host(store_timestamp_at(self.bytes) + 8, STORE_HOST_V6)
    }

    /// How often the message was redelivered.
    #[must_use]
    pub fn reconsume_times(&self) -> i32 {
        i32_at(self.bytes, self.body_at - 16)
    }

    /// Commit log offset of the half message of a committed message, else 0.
    #[must_use]
    pub fn prepared_transaction_offset(&self) -> i64 {
        i64_at(self.bytes, self.body_at - 12)
    }

    /// Body as stored: still compressed if the system flag says so.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[self.body_at..self.topic_at - self.topic_len_size()]
    }

    /// Topic name.
    #[must_use]
    pub fn topic(&self) -> &'a [u8] {
        &self.bytes[self.topic_at..self.properties_at - 2]
    }

    /// Property block ([`crate::props`]).
    #[must_use]
    pub fn properties(&self) -> &'a [u8] {
        &self.bytes[self.properties_at..]
    }

    /// Checks the body against its checksum; an empty body has none.
    ///
    /// # Errors
    /// [`RecordError::BodyCrc`].
    pub fn verify_body(&self) -> Result<(), RecordError> {
        let stored = self.body_crc();
        match crc(self.body()) {
            computed if self.body().is_empty() || computed == stored => Ok(()),
            computed => Err(RecordError::BodyCrc { stored, computed }),
        }
    }

    /// Checks the record against the checksum property at its end.
    ///
    /// # Errors
    /// [`RecordError::PropertyCrc`] when the property is missing or wrong.
    pub fn verify_property_crc(&self) -> Result<(), RecordError> {
        let split = self.properties().split_last_chunk::<PROPERTY_CRC_SIZE>();
        let Some((_, tail)) = split else { return Err(RecordError::PropertyCrc) };
        let covered = &self.bytes[..self.size() - PROPERTY_CRC_SIZE];
        let mut want = *b"__CRC32#\x010000000000\x02";
        want[9..19].copy_from_slice(&property_crc_digits(crc(covered)));
        if *tail == want { Ok(()) } else { Err(RecordError::PropertyCrc) }
    }

    fn topic_len_size(&self) -> usize {
        if i32_at(self.bytes, MAGIC_AT) == MAGIC_V2 { 2 } else { 1 }
    }

    fn host(&self, at: usize, v6_bit: i32) -> SocketAddr {
        let port_at = at + host_size(self.sys_flag(), v6_bit) - 4;
        let ip = if self.sys_flag() & v6_bit == 0 {
            IpAddr::V4(Ipv4Addr::from_octets(array_at(self.bytes, at)))
        } else {
            IpAddr::V6(Ipv6Addr::from_octets(array_at(self.bytes, at)))
        };
        // The upper half of the four port bytes is zero in every record that was written rightly.
        SocketAddr::new(ip, i32_at(self.bytes, port_at) as u16)
    }
}

fn host_size(sys_flag: i32, v6_bit: i32) -> usize {
    if sys_flag & v6_bit == 0 { 8 } else { 20 }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the record's length was checked")
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(array_at(bytes, at))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array_at(bytes, at))
}

#[cfg(test)]
mod tests;
