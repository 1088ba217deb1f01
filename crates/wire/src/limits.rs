//! Every bound of this crate, in one place.

/// Most bytes of a message's property block: its length is a signed 16-bit number.
pub const MAX_PROPERTIES: usize = i16::MAX as usize;

/// Most bytes of a topic name in a record: its length is a signed 16-bit number (version 2).
pub const MAX_TOPIC: usize = i16::MAX as usize;

/// Longest topic name that a version 1 record can hold: its length is a signed byte.
pub const MAX_TOPIC_V1: usize = i8::MAX as usize;

/// Most bytes of one record: its size is a signed 32-bit number.
pub const MAX_RECORD: usize = i32::MAX as usize;
