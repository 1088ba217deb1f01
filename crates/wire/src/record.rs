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

mod view;

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;

use crate::flags::message::{BORN_HOST_V6, STORE_HOST_V6};
use crate::limits::{MAX_PROPERTIES, MAX_RECORD, MAX_TOPIC, MAX_TOPIC_V1};
use crate::props::{self, PropertiesMut};

pub use view::{Entry, RecordError, RecordView, parse};

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

/// Bytes of the record that starts `bytes`, as its first field says; none if that is no size.
#[must_use]
pub fn size_of(bytes: &[u8]) -> Option<usize> {
    usize::try_from(i32::from_be_bytes(*bytes.first_chunk()?)).ok()
}

/// System flag of an encoded record.
///
/// # Panics
/// If `record` is shorter than 40 bytes.
#[must_use]
pub fn sys_flag_of(record: &[u8]) -> i32 {
    i32_at(record, SYS_FLAG_AT)
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
