//! Every bound of the name server in one place.

/// Most broker addresses that may be registered at a time.
pub const BROKERS: usize = 65_536;

/// Most (topic, broker name) pairs in the route tables.
pub const TOPIC_QUEUES: usize = 4_194_304;

/// Longest broker name, cluster name, address or topic of a registration, in bytes.
pub const NAME_BYTES: usize = 1_024;

/// Most keys and values of all namespaces of the KV configuration, in bytes.
pub const KV_BYTES: usize = 16 << 20;

/// Most changes of the KV configuration that wait for the disk.
pub const KV_CHANGES: usize = 64;

/// Bytes of answers after which the rest of a read waits until they are written.
pub const ANSWER_BYTES: usize = 8 << 20;
