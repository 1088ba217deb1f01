//! Every limit of the broker's own tables, in one place.

use std::time::Duration;

/// Bytes of the locks of queues, over all groups; beyond it none is granted and consumers wait.
pub const LOCK_BYTES: usize = 64 << 20;
/// Least time between two looks at all locks for expired ones, when there is no room: one takes some milliseconds.
pub const FORGET_LOCKS: Duration = Duration::from_secs(1);
/// Bytes that a lock takes besides its texts, about.
pub const LOCK: usize = 192;
/// Topics in the table; a creation beyond it is refused.
pub const TOPICS: usize = 1_000_000;
/// Consumer groups in the table.
pub const GROUPS: usize = 100_000;
/// Queues of one topic, either side.
pub const QUEUES_PER_TOPIC: i32 = 65_536;
/// Producer and consumer groups that one connection may announce in its heartbeats.
pub const GROUPS_PER_CONNECTION: usize = 4_096;
/// Subscriptions (topics) of one member of a group.
pub const SUBSCRIPTIONS_PER_MEMBER: usize = 4_096;
/// Committed offsets (group × topic × queue).
pub const OFFSETS: usize = 10_000_000;
/// Topics, and groups in topics, that are counted over time (315), each kind; what comes later is not. One takes 1 KiB.
pub const WINDOWS: usize = 65_536;
/// Bytes of messages that one pull answers when they are resident (`maxTransferBytesOnMessageInMemory`).
pub const PULL_BYTES: u32 = 256 << 10;
/// Messages that one pull answers (`maxTransferCountOnMessageInMemory`).
pub const PULL_MESSAGES: i32 = 32;
/// Bytes of answers after which the rest of a read waits until they are written.
pub const ANSWER_BYTES: usize = 4 << 20;
/// Bytes that are set aside for the answer to a send; most have less.
pub const ANSWER_TO_SEND: usize = 320;
/// Bytes that a held pull keeps besides its filter, about.
pub const HELD_PULL: usize = 1024;
/// Bytes that a member of a group takes besides the texts of its subscriptions, about.
pub const MEMBER: usize = 512;
/// Longest time a pull may be held, whatever the client asks.
pub const HOLD_MS_MAX: u64 = 120_000;
/// Longest topic name (`TopicValidator`), in bytes; retry and dead-letter topics may reach 255.
pub const TOPIC_NAME: usize = 127;
/// Longest name of a retry or dead-letter topic.
pub const LONG_TOPIC_NAME: usize = 255;
/// Longest group name that the broker accepts.
pub const GROUP_NAME: usize = 120;
/// Longest properties block of a record, in bytes (a signed 16-bit length on disk).
pub const PROPERTIES: usize = 32_767;
/// Topics or groups of one page of their table (`splitMetadataSize`).
pub const PAGE: usize = 2_000;
/// Largest body of an answer: with its header it must fit a frame.
pub const ANSWER_BODY: usize = wire::limits::MAX_FRAME - (64 << 10);
/// Largest body of a registration that is sent as it is; a larger one is compressed.
pub const PLAIN_REGISTRATION: usize = 4 << 20;
/// Queues that one answer to a tool tells of.
pub const QUEUES_PER_ANSWER: usize = 65_536;
/// Units of a consume queue in one answer to a tool.
pub const UNITS_PER_ANSWER: usize = 1024;
/// Queues whose lag one page of metrics tells of; groups beyond it are left out, and counted.
pub const LAG_QUEUES: usize = 65_536;
/// Units of consume queues that one page of metrics is found out from, where subscriptions are filtered; beyond it
/// the lag is that without the filter.
pub const LAG_UNITS: usize = 1 << 20;
/// The same of one queue; of more, these are taken for all.
pub const LAG_UNITS_PER_QUEUE: usize = 4_096;
