//! What goes into the tables and what comes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wire::body::DataVersion;

/// The queues of one topic on one broker name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// Queues that consumers may read.
    pub read: i32,
    /// Queues that producers may write.
    pub write: i32,
    /// Permission bits: 4 read, 2 write, 1 inherit.
    pub perm: i32,
    /// The topic's system flag (unit bits).
    pub sys_flag: i32,
}

/// What one REGISTER_BROKER (103) says.
#[derive(Debug)]
pub struct Registration<'a> {
    /// Cluster of the broker; the first registration of a broker name decides.
    pub cluster: &'a str,
    /// Name shared by a master and its slaves.
    pub broker: &'a str,
    /// `ip:port` that clients are sent to.
    pub addr: &'a str,
    /// 0 for a master.
    pub id: i64,
    /// `ip:port` that slaves replicate from.
    pub ha_addr: &'a str,
    /// Zone, from the field `__ZONE_NAME`.
    pub zone: Option<&'a str>,
    /// Longest silence; `None` is 120 s.
    pub silence: Option<Duration>,
    /// Whether the group may have an acting master; `None` from brokers that do not know of it.
    pub acting_master: Option<bool>,
    /// Version of the broker's topic table.
    pub version: DataVersion,
    /// The broker's topic table.
    pub topics: &'a [(String, Queues)],
    /// The broker's part of static topics, by topic; passed through unread but for `bname`.
    pub mappings: &'a BTreeMap<String, Value>,
    /// Connection that carried it: closing it unregisters the broker.
    pub peer: u64,
}

/// The answer to a registration that was not refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Registered {
    /// In the tables. A slave is told `(address, HA address)` of its master.
    Accepted {
        /// Address and HA address of the master, for a slave.
        master: Option<(Arc<str>, Arc<str>)>,
        /// The address was not registered before.
        first: bool,
    },
    /// Ignored: the holder of this id has a newer state version (a replaced master came back).
    Fenced,
}

/// Why a registration was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// One topic only, from a broker that is not registered: an incremental registration that
    /// overtook the full one.
    #[error("register broker failed")]
    NotRegistered,
    /// The tables are full.
    #[error("the name server holds {held} {what}, the limit is {limit}")]
    Full {
        /// What there is too much of.
        what: &'static str,
        /// How many there would be.
        held: usize,
        /// The limit.
        limit: usize,
    },
}

/// A member that left the tables.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone {
    /// Broker name.
    pub broker: Arc<str>,
    /// Its id.
    pub id: i64,
    /// Its address.
    pub addr: Arc<str>,
    /// The connection that registered it.
    pub peer: u64,
}
