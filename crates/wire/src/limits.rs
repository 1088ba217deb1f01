//! Every bound of this crate, in one place.

/// Most bytes of a message's property block: its length is a signed 16-bit number.
pub const MAX_PROPERTIES: usize = i16::MAX as usize;

/// Most bytes of a topic name in a record: its length is a signed 16-bit number (version 2).
pub const MAX_TOPIC: usize = i16::MAX as usize;

/// Longest topic name that a version 1 record can hold: its length is a signed byte.
pub const MAX_TOPIC_V1: usize = i8::MAX as usize;

/// Most bytes of one record: its size is a signed 32-bit number.
pub const MAX_RECORD: usize = i32::MAX as usize;

/// Most bytes of a frame including its length word: 16 MiB, as the reference
/// (`com.rocketmq.remoting.frameMaxLength`).
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Most ext fields of one header. Java knows no limit; the largest real header has 21 fields.
pub const MAX_FIELDS: usize = 1024;

/// Deepest nesting of JSON values that is read.
pub const MAX_JSON_DEPTH: usize = 64;

/// Bodies below this many bytes are copied behind their header: a copy costs less than two more
/// slices in the write call.
pub const SPLICE_MIN: usize = 1024;

/// Bytes that a request is taken to keep while it waits for its answer, at least.
pub const LATER_BYTES: usize = 1024;

/// Most frames that wait for one client.
pub const MAX_OUTBOX_FRAMES: usize = 1024;

/// Most bytes of frames that wait for one client, unless a single frame is larger.
pub const MAX_OUTBOX_BYTES: usize = 4 * 1024 * 1024;

/// Most requests that one client may owe an answer (`serverAsyncSemaphoreValue`).
pub const MAX_PEER_CALLS: usize = 64;

/// Most values of one JSON body: 100,000 topics have a million.
pub const MAX_JSON_VALUES: usize = 1 << 21;

/// Most values that references (`$ref`) of one JSON body may copy.
pub const MAX_REFERENCED_VALUES: usize = 1 << 16;

/// Most bytes of a decompressed registration.
pub const MAX_REGISTRATION: usize = 32 * 1024 * 1024;
