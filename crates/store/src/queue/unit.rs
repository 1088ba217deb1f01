//! Consume queue unit, 20 bytes: `commitLogOffset i64 | size i32 | tagsCode i64` (store format §4).

/// Bytes of a unit.
pub(crate) const UNIT: u64 = 20;

/// One entry of a consume queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Log offset of the record.
    pub(crate) physical: u64,
    /// Bytes of the record.
    pub(crate) size: u32,
    /// Hash of the tag, or delivery time of a delayed message.
    pub(crate) tags: i64,
}

impl Unit {
    /// Stands where a queue has no message, before its first real unit.
    pub(crate) const BLANK: Unit = Unit { physical: 0, size: i32::MAX as u32, tags: 0 };

    pub(crate) fn encode(&self) -> [u8; UNIT as usize] {
        let mut bytes = [0; UNIT as usize];
        bytes[..8].copy_from_slice(&self.physical.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tags.to_be_bytes());
        bytes
    }

    /// The unit in the first 20 bytes; `None` where a queue ends (zeros, or a negative number).
    pub(crate) fn decode(bytes: &[u8]) -> Option<Unit> {
        let physical = i64::from_be_bytes(*bytes.first_chunk()?);
        let size = i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
        let tags = i64::from_be_bytes(*bytes.get(12..)?.first_chunk()?);
        if size <= 0 {
            return None;
        }
        Some(Unit { physical: u64::try_from(physical).ok()?, size: size.unsigned_abs(), tags })
    }

    /// Whether it only fills the space before the first message.
    pub(crate) fn is_blank(&self) -> bool {
        self.size == Unit::BLANK.size
    }

    /// Log offset behind the record.
    pub(crate) fn end(&self) -> u64 {
        self.physical.saturating_add(u64::from(self.size))
    }
}
