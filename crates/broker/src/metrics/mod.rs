//! What monitoring systems are told of a broker. Names, labels and bounds are the reference's where it has them;
//! `docs/operating/metrics.md` lists all.
//!
//! Counting is plain atomics where things happen; everything that is a state is looked up when somebody asks. Labels
//! that clients choose, topics and groups, are bounded by `metricsOtelCardinalityLimit`: what is beyond it counts
//! together under `__other__`.

mod lag;
mod rpc;
mod timer;
mod traffic;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Bounds, Counter, Histogram};
use parking_lot::Mutex;
use store::AppendError;

pub(crate) use rpc::{Answered, Rpc};
pub(crate) use timer::Timer;
pub(crate) use traffic::{Arriving, TrafficLimit};
pub use traffic::{Incoming, MessageType, Traffic};
pub(crate) use write::check_labels;

/// Bounds of the times that creations take, recorded in microseconds and told in milliseconds.
static CREATION: Bounds<5> =
    Bounds { upper: [10_000, 100_000, 1_000_000, 3_000_000, 5_000_000], scale: 0.001 };
/// Why sends are refused without being stored.
const REFUSALS: [&str; 6] =
    ["disk_full", "disk_slow", "queues_behind", "too_many_waiting", "too_large", "stopped"];

/// What is counted besides the traffic of topics and groups.
pub(crate) struct Metrics {
    pub(crate) rpc: Rpc,
    /// By success, then by whether the topic is the system's.
    topics_created: [[Histogram<5>; 2]; 2],
    groups_created: [Histogram<5>; 2],
    /// Messages of a group's topic that were given up.
    dead: Mutex<Dead>,
    /// Delayed messages that were delivered, and their bytes.
    delivered: [Counter; 2],
    refused: [Counter; REFUSALS.len()],
}

#[derive(Default)]
struct Dead {
    /// By group and topic.
    each: BTreeMap<(String, String), u64>,
    others: u64,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let creation = || Histogram::new(&CREATION);
        Metrics {
            rpc: Rpc::new(),
            topics_created: [[creation(), creation()], [creation(), creation()]],
            groups_created: [creation(), creation()],
            dead: Mutex::default(),
            delivered: Default::default(),
            refused: Default::default(),
        }
    }

    /// The creation of a topic was answered.
    pub(crate) fn topic_created(&self, success: bool, system: bool, took: Duration) {
        self.topics_created[usize::from(success)][usize::from(system)].record(micros(took));
    }

    /// The creation of a group was answered.
    pub(crate) fn group_created(&self, success: bool, took: Duration) {
        self.groups_created[usize::from(success)].record(micros(took));
    }

    /// A message of `topic` was given up by `group`; so many pairs are counted by themselves.
    pub(crate) fn dead_letter(&self, group: &str, topic: &str, limit: usize) {
        let dead = &mut *self.dead.lock();
        let is_full = dead.each.len() >= limit;
        let key = (group.to_owned(), topic.to_owned());
        match dead.each.get_mut(&key) {
            Some(count) => *count += 1,
            None if is_full => dead.others += 1,
            None => drop(dead.each.insert(key, 1)),
        }
    }

    /// Delayed messages were delivered.
    pub(crate) fn delivered(&self, messages: usize, bytes: usize) {
        self.delivered[0].add(messages as u64);
        self.delivered[1].add(bytes as u64);
    }

    /// So many sends were refused.
    pub(crate) fn refused(&self, error: &AppendError, sends: usize) {
        let reason = match error {
            AppendError::DiskFull { .. } => "disk_full",
            AppendError::Busy { key: "osPageCacheBusyTimeOutMills", .. } => "disk_slow",
            AppendError::Busy { key: "limits::UNITS_IN_MEMORY", .. } => "queues_behind",
            AppendError::Busy { .. } => "too_many_waiting",
            AppendError::TooLarge { .. } => "too_large",
            AppendError::Stopped(_) => "stopped",
        };
        if let Some(at) = REFUSALS.iter().position(|known| *known == reason) {
            self.refused[at].add(sends as u64);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
