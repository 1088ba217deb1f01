//! Every bound of the generator, in one place.

/// Requests without an answer on one connection; the correlation number has room for this many.
pub const IN_FLIGHT_PER_CONNECTION: usize = 8_000;
/// Connections of one run.
pub const CONNECTIONS: usize = 10_000;
/// Threads of one run.
pub const THREADS: usize = 64;
/// Queues of the topic of one run.
pub const QUEUES: u32 = 10_000;
/// Messages in one batch request.
pub const BATCH: usize = 4_096;
/// Bytes of one message's body: the broker's default `maxMessageSize`.
pub const BODY_BYTES: usize = 4 << 20;
/// Bytes of one frame, length prefix included: what RocketMQ peers accept
/// (`com.rocketmq.remoting.frameMaxLength`).
pub const FRAME_BYTES: usize = 16 << 20;
/// Frames encoded ahead for one connection (more if the topic has more queues): few enough that four
/// connections' 1 KiB messages stay in a core's cache, as a client's freshly written ones do.
pub const RING_FRAMES: usize = 64;
/// Bytes of frames encoded ahead for one connection (at least two frames whatever their size).
pub const RING_BYTES: usize = 16 << 20;
/// First size of a connection's read buffer; it grows to hold one whole frame.
pub const READ_BUFFER_BYTES: usize = 256 << 10;
/// Longest time between two answers that a histogram can tell apart from a longer one.
pub const LATENCY_NS: u64 = 60_000_000_000;
/// Distinct error codes that are counted with their remark; further ones count under the last.
pub const ERROR_CODES: usize = 64;
/// Bytes of a remark that a report keeps.
pub const REMARK_BYTES: usize = 300;
