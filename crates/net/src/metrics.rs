//! Plain counters of one server or client.

pub use metrics::Counter;

/// Counters of the connections of one server or client. They share a cache line on purpose: a pass
/// adds to most of them, once each.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Metrics {
    /// Connections open now.
    pub connections: Counter,
    /// Connections closed at once for the limit on connections.
    pub rejected: Counter,
    /// Connections closed for what they sent, or for lack of memory for that or its answers.
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
