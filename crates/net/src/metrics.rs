//! Plain counters of one server or client.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows, or a level that goes up and down. Reads and writes are relaxed: each
/// counter is exact, two of them read together are not.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Takes `n` off again.
    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters of the connections of one server or client. They share a cache line on purpose: a pass
/// adds to most of them, once each.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Metrics {
    /// Connections open now.
    pub connections: Counter,
    /// Connections closed at once for the limit on connections.
    pub rejected: Counter,
    /// Connections closed for what they sent, or for not reading.
    pub faulted: Counter,
    /// Connections closed because a frame took too long to arrive, or answers to be read.
    pub slow: Counter,
    /// Requests that were refused before they were whole, for lack of memory.
    pub refused: Counter,
    /// Bytes received.
    pub bytes_in: Counter,
    /// Bytes sent.
    pub bytes_out: Counter,
    /// Reads that returned bytes.
    pub reads: Counter,
    /// Writes that took bytes.
    pub writes: Counter,
}
