//! Reading a record in place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    BLANK_SIZE, BORN_HOST_AT, BORN_TIMESTAMP_AT, FIXED_SIZE, MAGIC_AT, MAGIC_BLANK, MAGIC_V1,
    MAGIC_V2, PHYSICAL_OFFSET_AT, PROPERTY_CRC_SIZE, QUEUE_ID_AT, QUEUE_OFFSET_AT, SYS_FLAG_AT,
    array_at, crc, host_size, i16_at, i32_at, i64_at, property_crc_digits, store_timestamp_at,
    u64_at,
};
use crate::flags::message::{BORN_HOST_V6, STORE_HOST_V6};

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
