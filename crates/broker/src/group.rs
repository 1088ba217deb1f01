//! The consumer groups of this broker (`config/subscriptionGroup.json`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use wire::body::{DataVersion, SubscriptionGroupConfig, SubscriptionGroups};

use crate::limits;
use crate::page::Page;
use crate::topic::bump;

/// Groups that exist on every broker from the start.
const SYSTEM_GROUPS: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];
/// Prefix of the system's own groups, which may be created even when auto-creation is off.
const SYSTEM_PREFIX: &str = "CID_RMQ_SYS_";

/// The table of groups.
pub struct Groups {
    table: RwLock<Table>,
    auto_create: AtomicBool,
    dirty: AtomicBool,
}

#[derive(Default)]
struct Table {
    groups: HashMap<String, Arc<SubscriptionGroupConfig>>,
    forbidden: BTreeMap<String, BTreeMap<String, i32>>,
    version: DataVersion,
}

/// Why a group is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GroupError {
    /// Empty, too long or with a character outside `%|a-zA-Z0-9_-`.
    #[error("the group name [{0}] is blank, longer than {max} bytes, or has characters other than ^[%|a-zA-Z0-9_-]+$", max = limits::GROUP_NAME)]
    Name(String),
    /// The table is full.
    #[error("{0} groups exist, no more are created")]
    Full(usize),
}

/// The configuration of a group that nobody configured.
fn config(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..SubscriptionGroupConfig::default() }
}

/// Checks the form of a group name.
pub fn check_name(group: &str) -> Result<(), GroupError> {
    crate::topic::check_name(group, limits::GROUP_NAME)
        .map_err(|_| GroupError::Name(group.to_owned()))
}

impl Groups {
    /// A table with the system's groups. `auto_create` is `autoCreateSubscriptionGroup`.
    pub fn new(auto_create: bool) -> Groups {
        let groups =
            SYSTEM_GROUPS.iter().map(|name| ((*name).to_owned(), Arc::new(config(name)))).collect();
        let table = RwLock::new(Table { groups, ..Table::default() });
        Groups { table, auto_create: AtomicBool::new(auto_create), dirty: AtomicBool::new(true) }
    }

    /// The group, created if it is unknown and may be (any look-up creates, as in the reference).
    pub fn get_or_create(&self, name: &str, now_ms: i64) -> Option<Arc<SubscriptionGroupConfig>> {
        if let Some(group) = self.table.read().groups.get(name) {
            return Some(Arc::clone(group));
        }
        let allowed = self.auto_create.load(Ordering::Relaxed) || name.starts_with(SYSTEM_PREFIX);
        if !allowed || check_name(name).is_err() {
            return None;
        }
        self.put(config(name), now_ms).ok()?;
        self.get(name)
    }

    /// The group, if it exists.
    pub fn get(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        self.table.read().groups.get(name).cloned()
    }

    /// Number of groups.
    pub fn count(&self) -> usize {
        self.table.read().groups.len()
    }

    /// Stores `config`, replacing what was there.
    pub fn put(&self, config: SubscriptionGroupConfig, now_ms: i64) -> Result<(), GroupError> {
        check_name(&config.group_name)?;
        let mut table = self.table.write();
        if table.groups.get(&config.group_name).is_some_and(|known| **known == config) {
            return Ok(());
        }
        if table.groups.len() >= limits::GROUPS && !table.groups.contains_key(&config.group_name) {
            return Err(GroupError::Full(table.groups.len()));
        }
        table.groups.insert(config.group_name.clone(), Arc::new(config));
        bump(&mut table.version, now_ms);
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// Removes a group and what it was forbidden; nothing if it does not exist.
    pub fn remove(&self, name: &str, now_ms: i64) {
        let mut table = self.table.write();
        let forbidden = table.forbidden.remove(name).is_some();
        if table.groups.remove(name).is_some() || forbidden {
            bump(&mut table.version, now_ms);
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Sets `autoCreateSubscriptionGroup`.
    pub fn set_auto_create(&self, enabled: bool) {
        self.auto_create.store(enabled, Ordering::Relaxed);
    }

    /// Whether reading `topic` is forbidden to `group` (bit 2 of the forbidden table).
    pub fn is_read_forbidden(&self, group: &str, topic: &str) -> bool {
        const READ: i32 = 1 << 2;
        let table = self.table.read();
        table
            .forbidden
            .get(group)
            .and_then(|topics| topics.get(topic))
            .is_some_and(|bits| bits & READ != 0)
    }

    /// The whole table, as `subscriptionGroup.json` and request 201 carry it.
    pub fn snapshot(&self) -> SubscriptionGroups {
        let table = self.table.read();
        SubscriptionGroups {
            data_version: table.version,
            forbidden_table: table.forbidden.clone(),
            subscription_group_table: table
                .groups
                .iter()
                .map(|(name, group)| (name.clone(), (**group).clone()))
                .collect(),
        }
    }

    /// A page of the table, and the number of groups on all pages.
    pub fn page(&self, page: &Page) -> (SubscriptionGroups, usize) {
        let table = self.table.read();
        let groups = page.of(&table.groups, table.version).into_iter();
        let page = SubscriptionGroups {
            data_version: table.version,
            forbidden_table: table.forbidden.clone(),
            subscription_group_table: groups
                .map(|(name, group)| (name.clone(), (**group).clone()))
                .collect(),
        };
        (page, table.groups.len())
    }

    /// Reads `subscriptionGroup.json`; what it names replaces the defaults.
    pub fn load(&self, text: &[u8]) -> Result<(), wire::body::BodyError> {
        let file: SubscriptionGroups = wire::body::read(text)?;
        let mut table = self.table.write();
        for (name, mut config) in file.subscription_group_table {
            config.group_name = name.clone();
            table.groups.insert(name, Arc::new(config));
        }
        table.forbidden = file.forbidden_table;
        table.version = file.data_version;
        self.dirty.store(false, Ordering::Release);
        Ok(())
    }

    /// Marks the table as changed.
    pub fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether something changed since the last call, and clears the mark.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows that a look-up creates a group only when that is allowed, and system groups always.
    #[test]
    fn groups_are_created_on_look_up_when_allowed() {
        let open = Groups::new(true);
        assert!(open.get_or_create("g", 1).is_some());
        assert!(open.get_or_create("a b", 1).is_none());
        let closed = Groups::new(false);
        assert!(closed.get_or_create("g", 1).is_none());
        assert!(closed.get_or_create("CID_RMQ_SYS_X", 1).is_some());
        assert!(closed.get_or_create("TOOLS_CONSUMER", 1).is_some());
    }

    /// Shows that the file keeps groups and the forbidden table.
    #[test]
    fn the_file_round_trips() {
        let groups = Groups::new(true);
        groups
            .load(br#"{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":1},"forbiddenTable":{"g":{"T":4}},"subscriptionGroupTable":{"g":{"groupName":"g","retryMaxTimes":2}}}"#)
            .unwrap();
        assert_eq!(groups.get("g").unwrap().retry_max_times, 2);
        assert!(groups.is_read_forbidden("g", "T"));
        let again = Groups::new(true);
        again.load(&serde_json::to_vec(&groups.snapshot()).unwrap()).unwrap();
        assert_eq!(again.get("g").unwrap(), groups.get("g").unwrap());
    }
}
