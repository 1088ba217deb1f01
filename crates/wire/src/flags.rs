//! Bit sets of the protocol: message and pull system flags, topic permissions, command flags.
//!
//! Source: `MessageSysFlag`, `PullSysFlag`, `PermName`, `RemotingCommand`.

/// Bits of a message's `sysFlag`, in send headers and in records.
pub mod message {
    /// The body is compressed; bits [`COMPRESSION`] say how.
    pub const COMPRESSED: i32 = 0x1;
    /// The topic's messages carry several tags.
    pub const MULTI_TAGS: i32 = 0x2;
    /// Mask of the two transaction bits; 0 means not transactional.
    pub const TRANSACTION: i32 = 0xC;
    /// Transaction: a half message.
    pub const PREPARED: i32 = 0x4;
    /// Transaction: committed.
    pub const COMMIT: i32 = 0x8;
    /// Transaction: rolled back.
    pub const ROLLBACK: i32 = 0xC;
    /// The born host has 16 address bytes. Set by whoever encodes the record, never by a client.
    pub const BORN_HOST_V6: i32 = 0x10;
    /// The store host has 16 address bytes. Set by whoever encodes the record, never by a client.
    pub const STORE_HOST_V6: i32 = 0x20;
    /// The body is a batch that the client splits.
    pub const NEED_UNWRAP: i32 = 0x40;
    /// The record holds a batch under consecutive queue offsets.
    pub const INNER_BATCH: i32 = 0x80;
    /// Mask of the compression type; 0 means zlib, as old clients write it.
    pub const COMPRESSION: i32 = 0x700;
    /// Compression type: LZ4 frame.
    pub const LZ4: i32 = 0x100;
    /// Compression type: Zstandard frame.
    pub const ZSTD: i32 = 0x200;
    /// Compression type: zlib stream (RFC 1950).
    pub const ZLIB: i32 = 0x300;
}

/// Bits of a pull request's `sysFlag`.
pub mod pull {
    /// `commitOffset` is to be stored.
    pub const COMMIT_OFFSET: i32 = 0x1;
    /// The broker may hold the request until a message arrives.
    pub const SUSPEND: i32 = 0x2;
    /// The request carries its subscription.
    pub const SUBSCRIPTION: i32 = 0x4;
    /// A filter class was uploaded (a feature that no longer exists; ignored).
    pub const CLASS_FILTER: i32 = 0x8;
    /// Sent by a lite pull consumer.
    pub const LITE_PULL: i32 = 0x10;
}

/// Bits of a topic's or broker's `perm`.
pub mod perm {
    /// May be inherited by topics created from this one.
    pub const INHERIT: i32 = 0x1;
    /// May be written.
    pub const WRITE: i32 = 0x2;
    /// May be read.
    pub const READ: i32 = 0x4;
    /// Priority queue (unused by servers, kept as stored).
    pub const PRIORITY: i32 = 0x8;
}

/// Bits of a topic's `topicSysFlag`.
pub mod topic {
    /// Made by a producer in unit mode.
    pub const UNIT: i32 = 0x1;
    /// Retries of a consumer in unit mode.
    pub const UNIT_SUB: i32 = 0x2;
}

/// Bits of a command's `flag`.
pub mod command {
    /// The command is a response.
    pub const RESPONSE: i32 = 0x1;
    /// The sender expects no answer.
    pub const ONEWAY: i32 = 0x2;
}
