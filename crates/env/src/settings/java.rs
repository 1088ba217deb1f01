//! Every setting of RocketMQ 5.4.0, as generated from its configuration classes, and which of them must
//! not be ignored.

use super::{Risk, Settings};

// Only what would lose, hide or misdeliver messages, or open a door, when it is ignored. Settings of
// parts that are refused by a setting of their own (replication, RocksDB, authentication) are not
// among them, nor are those of requests that are answered as not supported.

/// Settings that decide where messages are, and who gets them.
const DURABILITY: &[&str] = &[
    "configManagerVersion",
    "enableLmq",
    "enableMultiDispatch",
    "messageStorePlugIn",
    "readOnlyCommitLogStorePaths",
];

/// Settings that decide who may do what, and who can read along.
const SECURITY: &[&str] = &["rejectPullConsumerEnable", "useTLS"];

/// Keys that no class of RocketMQ 5.4.0 has, so that it ignores them without a word, but that many
/// files have: from guides, and from 4.x.
const IGNORED: &[&str] = &[
    "abortFile",
    "checkTransactionMessageEnable",
    "commercialBigCount",
    "commercialEnable",
    "commercialTimerCount",
    "commercialTransCount",
    "filterServerNums",
    "mapedFileSizeCommitLog",
    "mapedFileSizeConsumeQueue",
    "maxDelayTime",
    "storeCheckpoint",
    "storePathAbort",
    "storePathCheckpoint",
    "storePathConsumeQueue",
    "storePathConsumerQueue",
    "storePathIndex",
];

/// One field of a configuration class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JavaSetting {
    /// Class without package: `BrokerConfig`, `MessageStoreConfig`, `NettyServerConfig`, …
    pub class: &'static str,
    /// The key in a configuration file.
    pub key: &'static str,
    /// Java's type of the field.
    pub kind: &'static str,
    /// The default as text. `(host)` and the like stand for values that depend on the machine.
    pub default: &'static str,
}

/// All of them, in the order of the classes.
pub fn all() -> impl Iterator<Item = JavaSetting> {
    include_str!("java-5.4.0.tsv").lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let mut column = || columns.next();
        let (class, key, kind) = (column()?, column()?, column()?);
        Some(JavaSetting { class, key, kind, default: column().unwrap_or_default() })
    })
}

/// Why it would be dangerous to ignore a change of this key.
pub fn risk(key: &str) -> Option<Risk> {
    if DURABILITY.binary_search(&key).is_ok() {
        Some(Risk::Durability)
    } else {
        SECURITY.binary_search(&key).is_ok().then_some(Risk::Security)
    }
}

/// Whether RocketMQ 5.4.0 ignores this key, which files of its users nevertheless have.
pub fn is_ignored(key: &str) -> bool {
    IGNORED.binary_search(&key).is_ok()
}

/// The keys that have a [`risk`].
#[cfg(test)]
pub(super) fn risky_keys() -> impl Iterator<Item = &'static str> {
    DURABILITY.iter().chain(SECURITY).copied()
}

/// How the settings of `S` differ from RocketMQ's in `classes`: keys it does not have, and other
/// defaults. For a test that lists the intended differences.
pub fn differences<S: Settings>(classes: &[&str]) -> Vec<String> {
    let ours = S::default();
    let mut found = Vec::new();
    for (key, default) in ours.entries() {
        let mut java = all().filter(|java| classes.contains(&java.class) && java.key == key);
        match java.next() {
            None => found.push(format!("{key}: not in RocketMQ")),
            Some(java) if java.default != default => {
                found.push(format!("{key}: {default} (RocketMQ: {})", java.default));
            }
            Some(_) => {}
        }
    }
    found
}
