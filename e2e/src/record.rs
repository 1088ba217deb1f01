//! Message records as servers send them and keep them in the commit log.
//!
//! An independent reader (see [`crate::frame`]): big-endian; hosts of 8 or 20 bytes by two flag
//! bits; the topic's length has one byte, or two in version 2.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

const VERSION_1: u32 = 0xDAA3_20A7;
const VERSION_2: u32 = 0xDAA3_20AB;
const BORN_V6: i32 = 0x10;
const STORED_V6: i32 = 0x20;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Queue within the topic.
    pub queue: i32,
    /// Position within the queue.
    pub queue_offset: i64,
    /// Position within the commit log.
    pub physical_offset: i64,
    /// Topic as stored.
    pub topic: String,
    /// Body as stored, possibly compressed.
    pub body: Vec<u8>,
    /// Properties; of two with one name the later.
    pub properties: BTreeMap<String, String>,
    /// The whole record, byte for byte.
    pub raw: Vec<u8>,
}

impl Record {
    /// All records of an answer's body.
    pub fn parse_all(mut bytes: &[u8]) -> Result<Vec<Self>> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (word, _) = bytes.split_first_chunk().context("less than a record length")?;
            let size = usize::try_from(i32::from_be_bytes(*word))?;
            let (raw, rest) = bytes.split_at_checked(size).context("cut record")?;
            records.push(Self::parse(raw).with_context(|| format!("record {}", records.len()))?);
            bytes = rest;
        }
        Ok(records)
    }

    fn parse(raw: &[u8]) -> Result<Self> {
        let mut cursor = Cursor(raw);
        cursor.take(4)?;
        let magic = cursor.i32()?.cast_unsigned();
        ensure!(matches!(magic, VERSION_1 | VERSION_2), "magic {magic:08x}");
        cursor.take(4)?;
        let queue = cursor.i32()?;
        cursor.take(4)?;
        let queue_offset = cursor.i64()?;
        let physical_offset = cursor.i64()?;
        let flags = cursor.i32()?;
        cursor.take(8)?;
        cursor.take(if flags & BORN_V6 == 0 { 8 } else { 20 })?;
        cursor.take(8)?;
        cursor.take(if flags & STORED_V6 == 0 { 8 } else { 20 })?;
        cursor.take(12)?;
        let body_bytes = usize::try_from(cursor.i32()?)?;
        let body = cursor.take(body_bytes)?.to_vec();
        let topic_bytes = match magic {
            VERSION_1 => usize::from(cursor.take(1)?[0]),
            _ => cursor.u16()?,
        };
        let topic = String::from_utf8(cursor.take(topic_bytes)?.to_vec())?;
        let property_bytes = cursor.u16()?;
        let text = std::str::from_utf8(cursor.take(property_bytes)?)?;
        if !cursor.0.is_empty() {
            bail!("{} bytes behind the properties", cursor.0.len());
        }
        let properties = text
            .split('\u{2}')
            .filter_map(|pair| pair.split_once('\u{1}'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let raw = raw.to_vec();
        Ok(Self { queue, queue_offset, physical_offset, topic, body, properties, raw })
    }

    /// A property; an error that names it if it is absent.
    pub fn property(&self, name: &str) -> Result<&str> {
        let value = self.properties.get(name);
        value.map(String::as_str).with_context(|| format!("no {name} in {:?}", self.properties))
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("record ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    fn u16(&mut self) -> Result<usize> {
        Ok(usize::from(u16::from_be_bytes(self.take(2)?.try_into()?)))
    }
}
