//! Every setting of RocketMQ 5.4.0, as generated from its configuration classes, and which of them must
//! not be ignored.

use super::{Risk, Settings};

/// Settings that decide which answered messages survive what, what is stored, and where.
const DURABILITY: &[&str] = &[
    "allAckInSyncStateSet",
    "brokerId",
    "brokerRole",
    "checkCRCOnRecover",
    "cleanFileForciblyEnable",
    "combineAssignOffsetCQType",
    "combineCQLoadingCQTypes",
    "combineCQPreferCQType",
    "configManagerVersion",
    "deleteWhen",
    "diskMaxUsedSpaceRatio",
    "diskSpaceCleanForciblyRatio",
    "diskSpaceWarningLevelRatio",
    "duplicationEnable",
    "enableAutoInSyncReplicas",
    "enableConsumeQueueExt",
    "enableControllerMode",
    "enableDLegerCommitLog",
    "enableLmq",
    "enableMultiDispatch",
    "enableRemoteEscape",
    "enableSlaveActingMaster",
    "enabledAppendPropCRC",
    "fileReservedTime",
    "flushCommitLogThoroughInterval",
    "flushDiskType",
    "flushIntervalCommitLog",
    "forceVerifyPropCRC",
    "haMasterAddress",
    "inSyncReplicas",
    "isInBrokerContainer",
    "mappedFileSizeCommitLog",
    "mappedFileSizeConsumeQueue",
    "messageDelayLevel",
    "messageIndexEnable",
    "messageStorePlugIn",
    "minInSyncReplicas",
    "popConsumerKVServiceEnable",
    "readOnlyCommitLogStorePaths",
    "replicasPerDiskPartition",
    "rocksdbCQDoubleWriteEnable",
    "storePathCommitLog",
    "storePathDLedgerCommitLog",
    "storePathEpochFile",
    "storePathRootDir",
    "storeType",
    "timerRocksDBEnable",
    "totalReplicas",
    "transRocksDBEnable",
    "transWriteOriginTransHalfEnable",
    "transientStorePoolEnable",
    "useSingleRocksDBForAllConfigs",
];

/// Settings that decide who may do what, and who can read along.
const SECURITY: &[&str] = &[
    "aclEnable",
    "authenticationEnabled",
    "authenticationMetadataProvider",
    "authenticationProvider",
    "authenticationStrategy",
    "authorizationEnabled",
    "authorizationMetadataProvider",
    "authorizationProvider",
    "authorizationStrategy",
    "autoCreateSubscriptionGroup",
    "autoCreateTopicEnable",
    "bindAddress",
    "brokerPermission",
    "configBlackList",
    "enableAclRpcHookForClusterMode",
    "initAuthenticationUser",
    "innerClientAuthenticationCredentials",
    "migrateAuthFromV1Enabled",
    "rejectPullConsumerEnable",
    "rejectTransactionMessage",
    "tlsTestModeEnable",
    "useTLS",
    "validateSystemTopicWhenUpdateTopic",
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
