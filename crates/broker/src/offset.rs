//! Committed offsets: how far each group has consumed each queue (14, 15; `config/consumerOffset.json`).
//!
//! The table is memory; the persister writes it every `flushConsumerOffsetInterval` and at stop, so a crash of the
//! process loses at most that much progress (messages are delivered again, never skipped). Offsets are neither
//! checked against the queue nor kept from moving back. A reset by an administrator stands until the queue's
//! consumer has heard of it, whatever that commits meanwhile (222).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use store::Reader;
use wire::body::DataVersion;

use crate::limits;
use crate::topic::bump;

/// The table of committed offsets.
#[derive(Default)]
pub struct Offsets {
    table: Mutex<Table>,
    /// Resets that consumers have not heard of; mostly none, which spares a pull the lock.
    resets: AtomicUsize,
    dirty: AtomicBool,
}

#[derive(Default)]
struct Table {
    /// topic → group → queue → progress. Two levels so that a look-up needs no joined key.
    topics: HashMap<Arc<str>, HashMap<String, Queues>>,
    entries: usize,
    version: DataVersion,
}

/// The progress of one group in the queues of one topic.
type Queues = BTreeMap<i32, Progress>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    /// Next offset to consume.
    offset: i64,
    /// Whether an administrator set it, and the queue's consumer has not heard of it yet.
    reset: bool,
}

impl Progress {
    fn committed(offset: i64) -> Progress {
        Progress { offset, reset: false }
    }
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is the group's progress.
    Taken,
    /// An administrator reset the queue, and its consumer has not heard of it: what it has done since counts no more.
    Reset,
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
    ) -> Result<Committed, CommitError> {
        let mut table = self.table.lock();
        match table.find(topic, group, queue) {
            Some(known) if known.reset => return Ok(Committed::Reset),
            Some(known) => known.offset = offset,
            None => table.insert(topic, group, queue, Progress::committed(offset))?,
        }
        self.mark_dirty();
        Ok(Committed::Taken)
    }

    /// Makes `group` go on at `offset`: its consumer hears of it with its next pull, and until then its commits are
    /// not taken. That it has not heard of it is forgotten with the process.
    pub fn reset(
        &self,
        topic: &str,
        group: &str,
        queue: i32,
        offset: i64,
    ) -> Result<(), CommitError> {
        let mut table = self.table.lock();
        let progress = Progress { offset, reset: true };
        let known = table.find(topic, group, queue).map(|known| std::mem::replace(known, progress));
        if known.is_none() {
            table.insert(topic, group, queue, progress)?;
        }
        if known.is_none_or(|known| !known.reset) {
            self.resets.fetch_add(1, Ordering::AcqRel);
        }
        self.mark_dirty();
        Ok(())
    }

    /// After a power cut that may have taken the ends of queues: nobody goes on behind an end, where other messages
    /// would come to lie that he had not seen. Consumers that know a later offset hear of it, as of a reset. `end` is
    /// asked for the end of a queue. Returns how many offsets were lowered.
    pub fn take_back(&self, end: impl Fn(&str, i32) -> i64) -> usize {
        let (mut resets, mut lowered) = (0, 0);
        for (topic, groups) in &mut self.table.lock().topics {
            for (queue, known) in groups.values_mut().flatten() {
                let end = end(topic, *queue);
                lowered += usize::from(known.offset > end);
                known.offset = known.offset.min(end);
                resets += usize::from(!std::mem::replace(&mut known.reset, true));
            }
        }
        self.resets.fetch_add(resets, Ordering::AcqRel);
        self.mark_dirty();
        lowered
    }

    /// Where the consumer of a queue, which is at `at`, has to go on if it has not heard of a reset; it counts as
    /// told.
    pub fn take_reset(&self, topic: &str, group: &str, queue: i32, at: i64) -> Option<i64> {
        if self.resets.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut table = self.table.lock();
        let known = table.find(topic, group, queue).filter(|known| known.reset)?;
        known.reset = false;
        self.resets.fetch_sub(1, Ordering::AcqRel);
        Some(known.offset).filter(|offset| *offset != at)
    }

    /// The offset that was committed last, if any.
    pub fn query(&self, topic: &str, group: &str, queue: i32) -> Option<i64> {
        self.table.lock().find(topic, group, queue).map(|known| known.offset)
    }

    /// Progress of every group in `topic`, by group and queue.
    pub fn of_topic(&self, topic: &str) -> BTreeMap<String, BTreeMap<i32, i64>> {
        let table = self.table.lock();
        let groups = table.topics.get(topic).into_iter().flatten();
        let offsets =
            |queues: &Queues| queues.iter().map(|(id, known)| (*id, known.offset)).collect();
        groups.map(|(group, queues)| (group.clone(), offsets(queues))).collect()
    }

    /// Every group that has progress in a queue, and how far it is.
    pub fn of_queue(&self, topic: &str, queue: i32) -> Vec<Reader> {
        let table = self.table.lock();
        let groups = table.topics.get(topic).into_iter().flatten();
        let reader = |(group, queues): (&String, &Queues)| {
            let next = u64::try_from(queues.get(&queue)?.offset).unwrap_or(0);
            Some(Reader { name: group.clone(), next })
        };
        groups.filter_map(reader).collect()
    }

    /// Gives `to` the progress that `from` has in `topic`, in place of its own; nothing if `from` has none.
    pub fn copy(&self, topic: &str, from: &str, to: &str) -> Result<(), CommitError> {
        let mut table = self.table.lock();
        let Some(groups) = table.topics.get(topic).filter(|_| from != to) else { return Ok(()) };
        let Some(queues) = groups.get(from) else { return Ok(()) };
        let queues: Queues =
            queues.iter().map(|(id, known)| (*id, Progress::committed(known.offset))).collect();
        let left = table.entries - groups.get(to).map_or(0, Queues::len);
        if left + queues.len() > limits::OFFSETS {
            return Err(CommitError::Full(table.entries));
        }
        table.entries = left + queues.len();
        let groups = table.topics.entry(topic.into()).or_default();
        let replaced = groups.insert(to.to_owned(), queues);
        self.forget_resets(replaced.iter());
        self.mark_dirty();
        Ok(())
    }

    /// Forgets every offset of `topic`.
    pub fn remove_topic(&self, topic: &str) {
        let mut table = self.table.lock();
        if let Some(groups) = table.topics.remove(topic) {
            table.entries -= groups.values().map(Queues::len).sum::<usize>();
            self.forget_resets(groups.values());
            self.mark_dirty();
        }
    }

    /// Forgets every offset of `group`.
    pub fn remove_group(&self, group: &str) {
        let mut table = self.table.lock();
        let removed: Vec<Queues> =
            table.topics.values_mut().filter_map(|groups| groups.remove(group)).collect();
        table.topics.retain(|_, groups| !groups.is_empty());
        table.entries -= removed.iter().map(Queues::len).sum::<usize>();
        self.forget_resets(removed.iter());
        self.mark_dirty();
    }

    fn forget_resets<'a>(&self, removed: impl Iterator<Item = &'a Queues>) {
        let resets = removed.flat_map(Queues::values).filter(|known| known.reset).count();
        self.resets.fetch_sub(resets, Ordering::AcqRel);
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
        let version = {
            let mut table = self.table.lock();
            bump(&mut table.version, now_ms);
            table.version
        };
        self.json(version).to_string().into_bytes()
    }

    /// What the file will have when it is written next, and the topics of each group (43).
    pub fn text(&self) -> Vec<u8> {
        let version = self.table.lock().version;
        let mut text = self.json(version);
        let keys = text["offsetTable"].as_object().into_iter().flat_map(Map::keys);
        let mut topics: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (topic, group) in keys.filter_map(|key| key.split_once('@')) {
            topics.entry(group).or_default().push(topic);
        }
        text["groupTopicMap"] = serde_json::json!(topics);
        text.to_string().into_bytes()
    }

    fn json(&self, version: DataVersion) -> Value {
        let mut offsets = Map::new();
        for (topic, groups) in self.by_topic() {
            for (group, queues) in groups {
                let queues: Map<String, Value> = queues
                    .into_iter()
                    .map(|(id, offset)| (id.to_string(), Value::from(offset)))
                    .collect();
                offsets.insert(format!("{topic}@{group}"), Value::Object(queues));
            }
        }
        serde_json::json!({ "dataVersion": version, "offsetTable": offsets })
    }

    /// Copies the table, one topic at a time: commits and queries take the same lock, and must not wait until all of
    /// it is copied, or even written. Offsets of different topics have nothing to do with each other.
    fn by_topic(&self) -> impl Iterator<Item = (Arc<str>, BTreeMap<String, BTreeMap<i32, i64>>)> {
        let topics: Vec<Arc<str>> = self.table.lock().topics.keys().cloned().collect();
        topics.into_iter().map(|topic| {
            let groups = self.of_topic(&topic);
            (topic, groups)
        })
    }

    /// Topics that the group has committed offsets of.
    pub fn topics_of(&self, group: &str) -> BTreeSet<String> {
        let table = self.table.lock();
        let topics = table.topics.iter().filter(|(_, groups)| groups.contains_key(group));
        topics.map(|(topic, _)| topic.as_ref().to_owned()).collect()
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
                let groups = table.topics.entry(topic.into()).or_default();
                let queues = groups.entry(group.to_owned()).or_default();
                if queues.insert(queue, Progress::committed(offset)).is_none() {
                    table.entries += 1;
                }
            }
        }
        Ok(())
    }
}

impl Table {
    fn find(&mut self, topic: &str, group: &str, queue: i32) -> Option<&mut Progress> {
        self.topics.get_mut(topic)?.get_mut(group)?.get_mut(&queue)
    }

    /// Adds the progress of a queue that has none.
    fn insert(
        &mut self,
        topic: &str,
        group: &str,
        queue: i32,
        progress: Progress,
    ) -> Result<(), CommitError> {
        if self.entries >= limits::OFFSETS {
            return Err(CommitError::Full(self.entries));
        }
        self.entries += 1;
        let groups = self.topics.entry(topic.into()).or_default();
        groups.entry(group.to_owned()).or_default().insert(queue, progress);
        Ok(())
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

    /// Shows that everyone who has progress in a queue is named, with it, and nobody else; an offset below 0
    /// is that of someone who has consumed nothing.
    #[test]
    fn readers_of_a_queue() {
        let offsets = Offsets::default();
        for (topic, group, queue, offset) in
            [("T", "g", 0, 7), ("T", "h", 0, -1), ("T", "i", 1, 5), ("U", "g", 0, 9)]
        {
            offsets.commit(topic, group, queue, offset).unwrap();
        }
        let mut readers = offsets.of_queue("T", 0);
        readers.sort_by(|a, b| a.name.cmp(&b.name));
        let reader = |name: &str, next| Reader { name: name.to_owned(), next };
        assert_eq!(readers, [reader("g", 7), reader("h", 0)]);
        assert_eq!(offsets.of_queue("V", 0), []);
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

    /// Shows that consumers can commit and leave while the table is copied, and that the copy has what was there.
    #[test]
    fn the_table_is_copied_without_holding_up_commits() {
        let offsets = Offsets::default();
        for topic in ["T", "U", "V"] {
            offsets.commit(topic, "g", 0, 1).unwrap();
        }
        let mut copied = Vec::new();
        for (topic, groups) in offsets.by_topic() {
            assert!(offsets.table.try_lock().is_some());
            offsets.commit(&topic, "g", 0, 2).unwrap();
            copied.push(groups["g"][&0]);
        }
        assert_eq!(copied, [1, 1, 1]);
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
    /// Shows that a reset outlasts the commits of a consumer that does not know of it, is told once, and that a table
    /// that is cut counts none that it lost.
    #[test]
    fn a_reset_stands_until_it_is_told() {
        let offsets = Offsets::default();
        assert_eq!(offsets.commit("T", "g", 0, 10), Ok(Committed::Taken));
        offsets.reset("T", "g", 0, 3).unwrap();
        offsets.reset("T", "g", 0, 4).unwrap();
        offsets.reset("T", "g", 1, 0).unwrap();
        assert_eq!(offsets.commit("T", "g", 0, 11), Ok(Committed::Reset));
        assert_eq!(offsets.query("T", "g", 0), Some(4));
        assert_eq!(offsets.take_reset("T", "other", 0, 9), None);
        assert_eq!(offsets.take_reset("T", "g", 0, 9), Some(4));
        assert_eq!(offsets.take_reset("T", "g", 0, 9), None);
        assert_eq!(offsets.commit("T", "g", 0, 11), Ok(Committed::Taken));
        assert_eq!(offsets.resets.load(Ordering::Relaxed), 1);
        offsets.remove_group("g");
        assert_eq!(offsets.resets.load(Ordering::Relaxed), 0);
        assert_eq!((offsets.query("T", "g", 0), offsets.table.lock().entries), (None, 0));
    }

    /// Shows that a copy replaces what the other group had, and that groups and topics find each other.
    #[test]
    fn progress_is_copied() {
        let offsets = Offsets::default();
        offsets.commit("T", "from", 0, 1).unwrap();
        offsets.commit("T", "from", 1, 2).unwrap();
        offsets.reset("T", "to", 7, 7).unwrap();
        offsets.copy("T", "from", "to").unwrap();
        offsets.copy("T", "nobody", "to").unwrap();
        offsets.copy("U", "from", "to").unwrap();
        let of_topic = offsets.of_topic("T");
        assert_eq!(of_topic["to"], BTreeMap::from([(0, 1), (1, 2)]));
        assert_eq!(of_topic["from"], of_topic["to"]);
        assert_eq!(offsets.topics_of("to"), BTreeSet::from(["T".to_owned()]));
        assert_eq!((offsets.table.lock().entries, offsets.take_reset("T", "to", 7, 9)), (4, None));
    }
}
