//! Every bound, period and timeout of the client in one place.
//!
//! Values are those of the Java client 5.4.0 unless a comment says otherwise, so that mixed groups
//! of Java and Rust members behave alike.

use std::time::Duration;

/// Longest wait for an answer to an ordinary request.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for the answer to an administrative request.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer about offsets, and for a send-back.
pub const OFFSET_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to a batch of queue locks.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Time between two refreshes of every known route.
pub const ROUTE_REFRESH: Duration = Duration::from_secs(30);
/// How long a route is kept that name servers do not know any more. Ours: the Java client keeps it for as
/// long as it runs.
pub const ROUTE_MISSING: Duration = Duration::from_secs(120);
/// Time between two heartbeats to every known broker.
pub const HEARTBEAT: Duration = Duration::from_secs(30);
/// Least time between two heartbeats that are sent because a broker seems not to know the client.
pub const HEARTBEAT_AGAIN: Duration = Duration::from_secs(1);
/// Time between two commits of consumer offsets.
pub const COMMIT_PERIOD: Duration = Duration::from_secs(5);
/// Time between two rebalances when nothing asks for one earlier.
pub const REBALANCE_PERIOD: Duration = Duration::from_secs(20);
/// Time to the next rebalance when the last one could not finish.
pub const REBALANCE_RETRY: Duration = Duration::from_secs(1);
/// Time between two renewals of queue locks (the broker's lease is 60 s).
pub const LOCK_RENEWAL: Duration = Duration::from_secs(20);
/// Age at which a queue lock that was not renewed counts as lost.
pub const LOCK_LOST: Duration = Duration::from_secs(30);

/// How long a broker may hold a pull that finds nothing.
pub const PULL_SUSPEND: Duration = Duration::from_secs(15);
/// How much longer than the broker's hold the client waits for the answer to a pull.
pub const PULL_GRACE: Duration = Duration::from_secs(15);
/// Pause after a pull that failed.
pub const PULL_RETRY: Duration = Duration::from_secs(1);
/// Pause after a pull that was refused by flow control of the broker.
pub const PULL_FLOW_RETRY: Duration = Duration::from_millis(20);
/// Pause before messages are handed to the listener again when they could not be sent back.
pub const LOCAL_RETRY: Duration = Duration::from_secs(5);
/// Pause of an ordered queue after its listener asked to suspend it.
pub const SUSPEND_QUEUE: Duration = Duration::from_secs(1);
/// Longest wait for listeners that still run when a consumer closes.
pub const CLOSE_WAIT: Duration = Duration::from_secs(30);

/// Messages asked for by one pull.
pub const PULL_BATCH: i32 = 32;
/// Bytes asked for by one pull.
pub const PULL_BYTES: i32 = 256 * 1024;
/// Most messages of one queue held by a consumer.
pub const QUEUE_MESSAGES: usize = 1000;
/// Most bytes of one queue held by a consumer.
pub const QUEUE_BYTES: usize = 100 << 20;
/// Most bytes that one consumer holds over all its queues.
pub const MEMBER_BYTES: usize = 256 << 20;
/// Widest distance between the lowest unconsumed and the highest pulled offset of a queue.
pub const QUEUE_SPAN: u64 = 2000;
/// Listener calls of one consumer that run at the same time.
pub const LISTENERS: usize = 20;
/// Deliveries of a message before it becomes a dead letter.
pub const MAX_RECONSUME: i32 = 16;

/// Attempts of a send after the first one.
pub const SEND_RETRIES: u32 = 2;
/// Largest message body, in bytes (`maxMessageSize`).
pub const MESSAGE_BYTES: usize = 4 << 20;
/// Largest file of local offsets that is read.
pub const OFFSETS_FILE_BYTES: usize = 64 << 20;
/// Largest encoded properties of one message: their length is a signed 16-bit field.
pub const PROPERTY_BYTES: usize = 32_767;
/// Longest topic or group name.
pub const NAME_BYTES: usize = 127;
/// Longest group name.
pub const GROUP_BYTES: usize = 255;
/// Body size from which a message is compressed.
pub const COMPRESS_BYTES: usize = 4096;
/// How hard zlib and Zstandard try (`rocketmq.message.compressLevel`).
pub const COMPRESS_LEVEL: u32 = 5;
/// Largest body that is decompressed. Brokers may be set to take messages above the default limit.
pub const INFLATED_BYTES: usize = 64 << 20;
/// Sends of one producer that may wait for their answer at the same time.
pub const SENDS_IN_FLIGHT: usize = 4096;
/// Requests of one client that may wait for their reply at the same time.
pub const REQUESTS: usize = 4096;
/// Queues to ask for when a send creates its topic.
pub const DEFAULT_QUEUES: i32 = 4;

/// Topics whose routes a client keeps.
pub const TOPICS: usize = 10_000;
/// Queues that one route may describe; a larger answer is refused.
pub const ROUTE_QUEUES: usize = 100_000;
/// Producer and consumer groups of one client.
pub const GROUPS: usize = 1024;
