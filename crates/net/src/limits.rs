//! Every bound of this crate in one place.

use std::time::Duration;

/// Bytes that one pass reads at most: the unit of fairness between connections. Each thread of the
/// runtime has one buffer of this size.
pub const READ_BYTES: usize = 256 << 10;

/// An incomplete frame up to this size is moved to the front of the next read; a longer one collects
/// in a buffer of its connection's own.
pub const CARRY_BYTES: usize = 16 << 10;

/// Slices of one vectored write.
pub const WRITE_SLICES: usize = 64;

/// Passes over a connection before other tasks of the thread get their turn.
pub const PASSES: usize = 4;

/// Answers of one connection that may be waited for at a time (parked pulls, sends that wait for the
/// disk). A connection at the limit is not read from.
pub const PARKED_PER_CONNECTION: usize = 16_384;

/// How long a connection that waits for nothing but its end may take to finish when a server stops.
pub const DRAIN: Duration = Duration::from_secs(3);

/// Longest pause after `accept` failed for lack of file descriptors or memory.
pub const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// How often connections are looked at for silence; a connection is closed between
/// [`Limits::idle`] and this much later.
pub const IDLE_SCAN: Duration = Duration::from_secs(10);

/// How long a frame may take to arrive, or answers to be read, while more than half of the memory for
/// them is used; closed at the look after ([`IDLE_SCAN`]). Otherwise a frame has [`Limits::idle`].
pub const PRESSED: Duration = Duration::from_secs(10);

/// Bytes of answers up to which more that are ready are collected for one write while more than half of
/// the memory for unread answers is used; otherwise [`Limits::queued_bytes`].
pub const PRESSED_BYTES: usize = 256 << 10;

/// Longest pause between two attempts to connect to one address.
pub const RECONNECT_BACKOFF: Duration = Duration::from_secs(2);

/// How long one attempt to connect may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a request that gets no answer must have waited for its connection to be taken for dead, if
/// nothing else came meanwhile either (`com.rocketmq.remoting.client.closeSocketIfTimeout`).
pub const SILENT_CALL: Duration = Duration::from_secs(1);

/// Requests of a client that wait for an answer on one connection (`clientAsyncSemaphoreValue`).
pub const CLIENT_CALLS: usize = 65_535;

/// Addresses that one client keeps connections to.
pub const CLIENT_ADDRESSES: usize = 65_536;

/// What an operator may set for one listener or client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more are closed at once.
    pub connections: usize,
    /// Bytes of one frame, its length word included (`com.rocketmq.remoting.frameMaxLength`).
    pub frame_bytes: usize,
    /// Bytes of answers that wait for a peer to read. A connection at the limit is not read from, and
    /// is closed when [`Limits::idle`] passes without progress.
    pub queued_bytes: usize,
    /// Silence after which a connection is closed: no byte in and none out; and how long one frame may
    /// take to arrive (`serverChannelMaxIdleTimeSeconds`).
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 65_536,
            frame_bytes: 16 << 20,
            queued_bytes: 8 << 20,
            idle: Duration::from_secs(120),
        }
    }
}
