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
    /// Connections closed for what they sent, or for not reading.
    pub faulted: Counter,
    /// Bytes received.
    pub bytes_in: Counter,
    /// Bytes sent.
    pub bytes_out: Counter,
    /// Reads that returned bytes.
    pub reads: Counter,
    /// Writes that took bytes.
    pub writes: Counter,
}
