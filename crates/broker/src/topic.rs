//! The topics of this broker (`config/topics.json`): their configuration and their open queues.
//!
//! A [`Topic`] is immutable; a change replaces it. Handlers hold an `Arc<Topic>` for the length of one request and
//! reach the store's queue by index, without a look-up by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use store::{Queue, SCHEDULE_TOPIC, Store};
use wire::body::{DataVersion, TopicConfig, TopicConfigs};
use wire::flags::{perm, topic as unit};

use crate::limits;
use crate::metrics::{Traffic, TrafficLimit};
use crate::page::Page;

/// Topic whose permissions and queue counts new topics take over.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Prefix of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a group's dead-letter topic.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Prefix of topics and groups of the system.
const SYSTEM_PREFIX: &str = "rmq_sys_";
/// Topics that no client may send to.
const CLOSED_TOPICS: [&str; 6] = [
    SCHEDULE_TOPIC,
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];
/// Topics that are the system's own by name, on every broker.
const SYSTEM_TOPICS: [&str; 4] =
    [AUTO_CREATE_TOPIC, "BenchmarkTest", "RMQ_SYS_TRACE_TOPIC", "CHECKPOINT_TOPIC"];

/// One topic: its configuration and its queues, opened on first use.
pub struct Topic {
    /// Configuration as the administrator sees it.
    pub config: TopicConfig,
    /// Whether it is the system's own.
    pub system: bool,
    /// What its messages are counted with; absent for retries and dead letters.
    pub traffic: Option<Arc<Traffic>>,
    queues: Box<[OnceLock<Arc<Queue>>]>,
    /// Whether the file of topics has it.
    saved: AtomicBool,
}

impl Topic {
    fn new(config: TopicConfig, saved: bool) -> Topic {
        let queues =
            config.read_queue_nums.max(config.write_queue_nums).clamp(0, limits::QUEUES_PER_TOPIC);
        let queues = (0..queues).map(|_| OnceLock::new()).collect();
        Topic { config, system: false, traffic: None, queues, saved: AtomicBool::new(saved) }
    }

    /// Whether the file of topics has it: a message of any other topic might not be found after a crash.
    pub fn is_saved(&self) -> bool {
        self.saved.load(Ordering::Acquire)
    }

    /// Says that the file of topics has it.
    pub fn mark_saved(&self) {
        self.saved.store(true, Ordering::Release);
    }

    /// Number of queues that exist for either side.
    pub fn queue_count(&self) -> i32 {
        self.queues.len() as i32
    }

    /// The store's queue `id`, or `None` when the topic has no such queue.
    pub fn queue(&self, store: &Store, id: i32) -> Option<&Arc<Queue>> {
        let slot = self.queues.get(usize::try_from(id).ok()?)?;
        Some(slot.get_or_init(|| store.queue(&self.config.topic_name, id as u32)))
    }

    /// Whether producers may send to it.
    pub fn is_writable(&self) -> bool {
        self.config.perm & perm::WRITE != 0
    }

    /// Whether consumers may read it.
    pub fn is_readable(&self) -> bool {
        self.config.perm & perm::READ != 0
    }
}

/// Why a topic name or a topic configuration is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TopicError {
    /// Nothing but white space.
    #[error("The specified topic is blank.")]
    Blank,
    /// A character outside `%|a-zA-Z0-9_-`.
    #[error("The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$")]
    Characters,
    /// Longer than [`limits::TOPIC_NAME`].
    #[error("The specified topic is longer than topic max length.")]
    TooLong,
    /// The system's own.
    #[error("The topic[{0}] is conflict with system topic.")]
    System(String),
    /// Queue count outside the range.
    #[error("queue count {0} is outside 1..={max}", max = limits::QUEUES_PER_TOPIC)]
    Queues(i32),
    /// The table is full.
    #[error("{0} topics exist, no more are created")]
    Full(usize),
}

/// Checks the form of a topic name; `max` is its limit in bytes.
pub fn check_name(topic: &str, max: usize) -> Result<(), TopicError> {
    if topic.trim().is_empty() {
        return Err(TopicError::Blank);
    }
    if !topic.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'%' | b'|' | b'-' | b'_')) {
        return Err(TopicError::Characters);
    }
    if topic.len() > max {
        return Err(TopicError::TooLong);
    }
    Ok(())
}

/// Checks a number of queues.
pub fn check_queues(queues: i32) -> Result<(), TopicError> {
    if (0..=limits::QUEUES_PER_TOPIC).contains(&queues) {
        return Ok(());
    }
    Err(TopicError::Queues(queues))
}

/// Whether a topic holds a group's retries or dead letters.
pub fn is_of_group(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX) || topic.starts_with(DLQ_PREFIX)
}

/// Whether clients may not send to this topic.
pub fn is_closed(topic: &str) -> bool {
    CLOSED_TOPICS.contains(&topic)
}

/// The configuration of a topic with the same number of queues for both sides.
pub fn config(name: &str, queues: i32, perm: i32) -> TopicConfig {
    TopicConfig {
        topic_name: name.to_owned(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        ..TopicConfig::default()
    }
}

/// System flag of a topic that a client makes which is in unit mode or not (`TopicSysFlag`).
pub fn unit_flag(name: &str, unit_mode: bool) -> i32 {
    match unit_mode {
        false => 0,
        true if name.starts_with(RETRY_PREFIX) => unit::UNIT_SUB,
        true => unit::UNIT,
    }
}

/// Counts a change of a table: its version moves on.
pub fn bump(version: &mut DataVersion, now_ms: i64) {
    version.counter += 1;
    version.timestamp = now_ms;
}

/// The table of topics.
pub struct Topics {
    table: RwLock<Table>,
    /// Names of the system's own topics, whether they exist or not.
    system: BTreeSet<String>,
    traffic: TrafficLimit,
    dirty: AtomicBool,
}

#[derive(Default)]
struct Table {
    topics: HashMap<String, Arc<Topic>>,
    version: DataVersion,
}

/// Names that are this broker's own topics.
#[derive(Debug, Clone)]
pub struct OwnNames {
    /// `brokerClusterName`.
    pub cluster: String,
    /// `brokerName`.
    pub broker: String,
}

/// How new topics come into being.
#[derive(Debug, Clone, Copy)]
pub struct AutoCreate {
    /// `autoCreateTopicEnable`.
    pub enabled: bool,
    /// `defaultTopicQueueNums`: queues of the template topic.
    pub queues: i32,
}

impl Topics {
    /// A table with the system's own topics (broker-semantics §1.2) and nothing else. So many topics are counted by
    /// themselves.
    pub fn new(
        own: OwnNames,
        auto_create: AutoCreate,
        delay_levels: usize,
        counted: usize,
    ) -> Topics {
        let traffic = TrafficLimit::new(counted);
        let mut topics = HashMap::new();
        let mut add = |name: &str, queues: i32, perm: i32| {
            let topic = Topic::new(config(name, queues, perm), true);
            let traffic = Some(traffic.of_new(topics.len()));
            topics.insert(name.to_owned(), Arc::new(Topic { system: true, traffic, ..topic }));
        };
        let read_write = perm::READ | perm::WRITE;
        add("SELF_TEST_TOPIC", 1, read_write);
        if auto_create.enabled {
            add(AUTO_CREATE_TOPIC, auto_create.queues, read_write | perm::INHERIT);
        }
        add("BenchmarkTest", 1024, read_write);
        add(&own.cluster, 16, read_write | perm::INHERIT);
        add(&own.broker, 1, read_write | perm::INHERIT);
        add("OFFSET_MOVED_EVENT", 1, read_write);
        add(SCHEDULE_TOPIC, (delay_levels as i32).max(18), read_write);
        add(&format!("{}_REPLY_TOPIC", own.cluster), 1, read_write);
        add(&format!("rmq_sys_REVIVE_LOG_{}", own.cluster), 8, read_write);
        add(&format!("rmq_sys_SYNC_BROKER_MEMBER_{}", own.broker), 1, perm::INHERIT);
        for name in [
            "RMQ_SYS_TRANS_HALF_TOPIC",
            "RMQ_SYS_TRANS_OP_HALF_TOPIC",
            "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
            "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
            "rmq_sys_wheel_timer",
        ] {
            add(name, 1, read_write);
        }
        let named = SYSTEM_TOPICS.iter().chain(&CLOSED_TOPICS).map(|name| (*name).to_owned());
        let system = topics.keys().cloned().chain(named).collect();
        let table = RwLock::new(Table { topics, version: DataVersion::default() });
        Topics { table, system, traffic, dirty: AtomicBool::new(true) }
    }

    /// The topic of that name.
    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.table.read().topics.get(name).cloned()
    }

    /// Whether the name is the system's own, so that administrators may neither create nor delete it.
    pub fn is_system(&self, name: &str) -> bool {
        self.system.contains(name) || name.starts_with(SYSTEM_PREFIX)
    }

    /// Names of the system's own topics (305), whether they exist or not.
    pub fn system_names(&self) -> Vec<String> {
        self.system.iter().cloned().collect()
    }

    /// The topic that is stored for `config`; it goes on counting where one of that name was.
    fn topic(&self, table: &Table, config: TopicConfig, saved: bool) -> Arc<Topic> {
        let name = &config.topic_name;
        let system = self.is_system(name);
        let traffic = match table.topics.get(name) {
            Some(known) => known.traffic.clone(),
            None if is_of_group(name) => None,
            None => Some(self.traffic.of_new(table.topics.len())),
        };
        Arc::new(Topic { system, traffic, ..Topic::new(config, saved) })
    }

    /// Number of topics.
    pub fn count(&self) -> usize {
        self.table.read().topics.len()
    }

    /// Every topic.
    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.table.read().topics.values().cloned().collect()
    }

    /// What topics beyond the limit are counted with.
    pub(crate) fn other_traffic(&self) -> &Arc<Traffic> {
        self.traffic.others()
    }

    /// Stores `config`, replacing what was there. Returns `false` when nothing changed.
    pub fn put(&self, config: TopicConfig, now_ms: i64) -> Result<bool, TopicError> {
        check_queues(config.read_queue_nums)?;
        check_queues(config.write_queue_nums)?;
        let mut table = self.table.write();
        match table.topics.get(&config.topic_name) {
            Some(known) if known.config == config => return Ok(false),
            None if table.topics.len() >= limits::TOPICS => {
                return Err(TopicError::Full(table.topics.len()));
            }
            _ => {}
        }
        let topic = self.topic(&table, config, false);
        table.topics.insert(topic.config.topic_name.clone(), topic);
        bump(&mut table.version, now_ms);
        self.dirty.store(true, Ordering::Release);
        Ok(true)
    }

    /// Creates `name` after the template `default_topic`, as the first send to an unknown topic does
    /// (broker-semantics §1.4). `None` when the template does not exist or does not allow it.
    pub fn create_from(
        &self,
        name: &str,
        default_topic: &str,
        queues: i32,
        unit_mode: bool,
        now_ms: i64,
    ) -> Result<Option<Arc<Topic>>, TopicError> {
        let Some(template) = self.get(default_topic) else { return Ok(None) };
        if template.config.perm & perm::INHERIT == 0 {
            return Ok(None);
        }
        let queues = queues.min(template.config.write_queue_nums).max(0);
        let mut config = config(name, queues, template.config.perm & !perm::INHERIT);
        config.topic_filter_type = template.config.topic_filter_type;
        config.topic_sys_flag = unit_flag(name, unit_mode);
        self.create_missing(config, now_ms)
    }

    /// Creates `config` unless a topic of that name exists, and returns the one that exists afterwards.
    pub fn create_missing(
        &self,
        config: TopicConfig,
        now_ms: i64,
    ) -> Result<Option<Arc<Topic>>, TopicError> {
        let name = config.topic_name.clone();
        if self.get(&name).is_none() {
            self.put(config, now_ms)?;
        }
        Ok(self.get(&name))
    }

    /// Removes a topic; whether it existed.
    pub fn remove(&self, name: &str, now_ms: i64) -> bool {
        let mut table = self.table.write();
        let existed = table.topics.remove(name).is_some();
        if existed {
            bump(&mut table.version, now_ms);
            self.dirty.store(true, Ordering::Release);
        }
        existed
    }

    /// Counts a change that concerns all topics, so that name servers take the next registration for news.
    pub fn touch(&self, now_ms: i64) {
        bump(&mut self.table.write().version, now_ms);
        self.mark_dirty();
    }

    /// The whole table, as `topics.json`, request 21 and registration carry it.
    pub fn snapshot(&self) -> TopicConfigs {
        let table = self.table.read();
        let configs: BTreeMap<String, TopicConfig> =
            table.topics.iter().map(|(name, topic)| (name.clone(), topic.config.clone())).collect();
        TopicConfigs {
            data_version: table.version,
            topic_config_table: configs,
            ..TopicConfigs::default()
        }
    }

    /// A page of the table, and the number of topics on all pages.
    pub fn page(&self, page: &Page) -> (TopicConfigs, usize) {
        let table = self.table.read();
        let topics = page.of(&table.topics, table.version).into_iter();
        let configs = topics.map(|(name, topic)| (name.clone(), topic.config.clone())).collect();
        let page = TopicConfigs {
            data_version: table.version,
            topic_config_table: configs,
            ..TopicConfigs::default()
        };
        (page, table.topics.len())
    }

    /// Topics that the file of topics does not have as they are.
    pub fn unsaved(&self) -> Vec<Arc<Topic>> {
        let table = self.table.read();
        table.topics.values().filter(|topic| !topic.is_saved()).cloned().collect()
    }

    /// Reads `topics.json`; what it names replaces the system's defaults, what it lacks stays.
    pub fn load(&self, text: &[u8]) -> Result<(), wire::body::BodyError> {
        let file: TopicConfigs = wire::body::read(text)?;
        let mut table = self.table.write();
        for (name, mut config) in file.topic_config_table {
            config.topic_name = name.clone();
            let topic = self.topic(&table, config, true);
            table.topics.insert(name, topic);
        }
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

    fn topics() -> Topics {
        let own = OwnNames { cluster: "DefaultCluster".into(), broker: "broker-a".into() };
        Topics::new(own, AutoCreate { enabled: true, queues: 8 }, 18, 100)
    }

    /// Shows that the system's own topics are those that the reference answers 305 with.
    #[test]
    fn system_topics_are_the_references() {
        let want = [
            "BenchmarkTest",
            "CHECKPOINT_TOPIC",
            "DefaultCluster",
            "DefaultCluster_REPLY_TOPIC",
            "OFFSET_MOVED_EVENT",
            "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
            "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
            "RMQ_SYS_TRACE_TOPIC",
            "RMQ_SYS_TRANS_HALF_TOPIC",
            "RMQ_SYS_TRANS_OP_HALF_TOPIC",
            "SCHEDULE_TOPIC_XXXX",
            "SELF_TEST_TOPIC",
            "TBW102",
            "TRANS_CHECK_MAX_TIME_TOPIC",
            "broker-a",
            "rmq_sys_REVIVE_LOG_DefaultCluster",
            "rmq_sys_SYNC_BROKER_MEMBER_broker-a",
            "rmq_sys_wheel_timer",
        ];
        assert_eq!(topics().system_names(), want);
    }

    /// Shows the rule of auto-creation: queues are the smaller of what the client asks and what the template has.
    #[test]
    fn auto_create_takes_the_smaller_queue_count() {
        let topics = topics();
        for (asked, got) in [(4, 4), (20, 8), (-1, 0)] {
            let topic = topics
                .create_from(&format!("t{got}"), AUTO_CREATE_TOPIC, asked, false, 1)
                .unwrap()
                .unwrap();
            assert_eq!((topic.config.write_queue_nums, topic.config.perm), (got, 6));
        }
        assert!(topics.create_from("x", "SELF_TEST_TOPIC", 4, false, 1).unwrap().is_none());
        assert!(topics.create_from("x", "no such template", 4, false, 1).unwrap().is_none());
    }

    /// Shows that the file is read back, keeps unknown system topics and survives Java's laxness.
    #[test]
    fn the_file_round_trips() {
        let one = topics();
        one.put(config("T", 3, 6), 7).unwrap();
        let text = serde_json::to_vec(&one.snapshot()).unwrap();
        let two = topics();
        two.load(&text).unwrap();
        assert_eq!(two.get("T").unwrap().config, one.get("T").unwrap().config);
        assert!(two.get(AUTO_CREATE_TOPIC).is_some());
    }

    /// Shows which names are refused.
    #[test]
    fn names_are_checked() {
        assert_eq!(check_name("a b", 127), Err(TopicError::Characters));
        assert_eq!(check_name(" ", 127), Err(TopicError::Blank));
        assert_eq!(check_name(&"x".repeat(128), 127), Err(TopicError::TooLong));
        assert_eq!(check_name("%RETRY%g|x-1_", 127), Ok(()));
    }
}
