//! Committed offsets: how far each group has consumed each queue (14, 15; `config/consumerOffset.json`).
//!
//! The table is memory; the persister writes it every `flushConsumerOffsetInterval` and at stop, so a crash of the
//! process loses at most that much progress (messages are delivered again, never skipped). Offsets are neither
//! checked against the queue nor kept from moving back: an administrator's reset is an ordinary commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use wire::body::DataVersion;

use crate::limits;
use crate::topic::bump;

/// The table of committed offsets.
#[derive(Default)]
pub struct Offsets {
    table: Mutex<Table>,
    dirty: AtomicBool,
}

#[derive(Default)]
struct Table {
    /// topic → group → queue → next offset to consume. Two levels so that a look-up needs no joined key.
    topics: HashMap<String, HashMap<String, BTreeMap<i32, i64>>>,
    entries: usize,
    version: DataVersion,
}

/// Why a commit was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommitError {
    /// The table is full.
    #[error("{0} committed offsets are held, no more are accepted")]
    Full(usize),
}

impl Offsets {
    /// Records that `group` goes on at `offset` in the queue.
    pub fn commit(
        &self,
        topic: &str,
        group: &str,
        queue: i32,
        offset: i64,
    ) -> Result<(), CommitError> {
        let mut table = self.table.lock();
        if let Some(known) = table
            .topics
            .get_mut(topic)
            .and_then(|groups| groups.get_mut(group))
            .and_then(|q| q.get_mut(&queue))
        {
            *known = offset;
        } else {
            if table.entries >= limits::OFFSETS {
                return Err(CommitError::Full(table.entries));
            }
            table.entries += 1;
            let groups = table.topics.entry(topic.to_owned()).or_default();
            groups.entry(group.to_owned()).or_default().insert(queue, offset);
        }
        self.dirty.store(true, Ordering::Release);
        Ok(())
    }

    /// The offset that was committed last, if any.
    pub fn query(&self, topic: &str, group: &str, queue: i32) -> Option<i64> {
        self.table.lock().topics.get(topic)?.get(group)?.get(&queue).copied()
    }

    /// Forgets every offset of `topic`.
    pub fn remove_topic(&self, topic: &str) {
        let mut table = self.table.lock();
        if let Some(groups) = table.topics.remove(topic) {
            table.entries -= groups.values().map(BTreeMap::len).sum::<usize>();
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Marks the table as changed.
    pub fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether something changed since the last call, and clears the mark.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    /// The text of `consumerOffset.json` (store-format §16.3, with quoted integer keys, which both sides read).
    pub fn to_json(&self, now_ms: i64) -> Vec<u8> {
        let mut table = self.table.lock();
        bump(&mut table.version, now_ms);
        table.json().to_string().into_bytes()
    }

    /// What the file will have when it is written next, and the topics of each group (43).
    pub fn text(&self) -> Vec<u8> {
        let table = self.table.lock();
        let mut topics: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (topic, groups) in &table.topics {
            groups.keys().for_each(|group| topics.entry(group).or_default().push(topic));
        }
        let mut text = table.json();
        text["groupTopicMap"] = serde_json::json!(topics);
        text.to_string().into_bytes()
    }

    /// Topics that the group has committed offsets of.
    pub fn topics_of(&self, group: &str) -> BTreeSet<String> {
        let table = self.table.lock();
        let topics = table.topics.iter().filter(|(_, groups)| groups.contains_key(group));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    /// Groups that have committed offsets of the topic. Names with an `@` are no groups: proxies keep the progress of
    /// broadcasting clients under them.
    pub fn groups_of(&self, topic: &str) -> BTreeSet<String> {
        let table = self.table.lock();
        let groups = table.topics.get(topic).into_iter().flat_map(HashMap::keys);
        groups.filter(|group| !group.contains('@')).cloned().collect()
    }

    /// Reads the text of `consumerOffset.json`, ours or Java's (bare integer keys). Entries that are not offsets are skipped.
    pub fn load(&self, text: &[u8]) -> Result<(), wire::body::BodyError> {
        let file = wire::body::lenient::parse(text)?;
        let mut table = self.table.lock();
        if let Some(version) = file.get("dataVersion") {
            table.version = serde_json::from_value(version.clone()).unwrap_or_default();
        }
        let Some(offsets) = file.get("offsetTable").and_then(Value::as_object) else {
            return Ok(());
        };
        for (key, queues) in offsets {
            let Some((topic, group)) = key.split_once('@') else { continue };
            let Some(queues) = queues.as_object() else { continue };
            for (queue, offset) in queues {
                let (Ok(queue), Some(offset)) = (queue.parse(), offset.as_i64()) else { continue };
                let groups = table.topics.entry(topic.to_owned()).or_default();
                if groups.entry(group.to_owned()).or_default().insert(queue, offset).is_none() {
                    table.entries += 1;
                }
            }
        }
        Ok(())
    }
}

impl Table {
    fn json(&self) -> Value {
        let mut offsets = Map::new();
        for (topic, groups) in &self.topics {
            for (group, queues) in groups {
                let queues: Map<String, Value> = queues
                    .iter()
                    .map(|(id, offset)| (id.to_string(), Value::from(*offset)))
                    .collect();
                offsets.insert(format!("{topic}@{group}"), Value::Object(queues));
            }
        }
        serde_json::json!({ "dataVersion": self.version, "offsetTable": offsets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows that a later, lower commit wins: progress is whatever the consumers say last.
    #[test]
    fn a_commit_may_move_back() {
        let offsets = Offsets::default();
        assert_eq!(offsets.query("T", "g", 0), None);
        offsets.commit("T", "g", 0, 10).unwrap();
        offsets.commit("T", "g", 0, 5).unwrap();
        assert_eq!(offsets.query("T", "g", 0), Some(5));
        offsets.remove_topic("T");
        assert_eq!(offsets.query("T", "g", 0), None);
    }

    /// Shows who has progress where, and that looking at the text does not change its version.
    #[test]
    fn topics_and_groups_with_progress() {
        let offsets = Offsets::default();
        for (topic, group) in [("T", "g"), ("U", "g"), ("T", "h"), ("T", "h@client")] {
            offsets.commit(topic, group, 0, 1).unwrap();
        }
        assert_eq!(offsets.topics_of("g").into_iter().collect::<Vec<_>>(), ["T", "U"]);
        assert_eq!(offsets.groups_of("T").into_iter().collect::<Vec<_>>(), ["g", "h"]);
        assert!(offsets.topics_of("x").is_empty() && offsets.groups_of("x").is_empty());
        let written: Value = serde_json::from_slice(&offsets.to_json(5)).unwrap();
        let text: Value = serde_json::from_slice(&offsets.text()).unwrap();
        assert_eq!(text["offsetTable"], written["offsetTable"]);
        assert_eq!(text["dataVersion"], written["dataVersion"]);
        assert_eq!(text["groupTopicMap"]["h"], serde_json::json!(["T"]));
    }

    /// Shows that what is written is read back, and that Java's bare integer keys and extra `@` parts are understood.
    #[test]
    fn the_file_round_trips_and_java_files_are_read() {
        let offsets = Offsets::default();
        offsets.commit("T", "g", 3, 42).unwrap();
        let again = Offsets::default();
        again.load(&offsets.to_json(1)).unwrap();
        assert_eq!(again.query("T", "g", 3), Some(42));
        again
            .load(br#"{"dataVersion":{"counter":3,"stateVersion":0,"timestamp":1},"groupTopicMap":{"g":["T"]},"offsetTable":{"T@g@broadcast":{0:7,11:8}}}"#)
            .unwrap();
        assert_eq!(again.query("T", "g@broadcast", 11), Some(8));
    }
}
