//! What groups have pulled: how far in each queue, and how fast (208, 317). Memory only, as in the reference: after a
//! restart a group's progress is what it commits.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;

use crate::limits;

/// A rate is that of the last six of these.
const SLOT: Duration = Duration::from_secs(10);
const FULL_SLOTS: u64 = 6;

/// The table.
#[derive(Default)]
pub struct Progress {
    table: Mutex<Table>,
    /// Topics and groups that are counted by themselves.
    counted_max: usize,
}

/// What a pull was answered.
#[derive(Debug, Clone, Copy)]
pub struct Fetch {
    /// Queue of the topic.
    pub queue: i32,
    /// Offset to go on from.
    pub next: i64,
    /// Messages.
    pub messages: u32,
    /// Bytes of their records.
    pub bytes: u64,
}

/// What a group was given of a topic since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// Messages.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

/// What groups were given.
#[derive(Debug, Default)]
pub struct AllGiven {
    /// By topic and group.
    pub each: Vec<(String, String, Given)>,
    /// To all beyond the limit.
    pub others: Given,
    /// How many those are.
    pub other_count: usize,
}

#[derive(Default)]
struct Table {
    /// Topics and groups that are counted by themselves now.
    counted: usize,
    others: Given,
    other_count: usize,
    /// topic → group.
    topics: HashMap<String, HashMap<String, Pulled>>,
    queues: usize,
}

#[derive(Default)]
struct Pulled {
    /// Offset behind the last message pulled, by queue.
    next: BTreeMap<i32, i64>,
    rate: Rate,
    /// Absent beyond the limit.
    given: Option<Given>,
}

/// Messages by time: one slot that fills and six that are full.
#[derive(Default)]
struct Rate {
    slots: [u64; FULL_SLOTS as usize + 1],
    /// Number of the slot that fills.
    now: u64,
}

impl Given {
    fn add(&mut self, fetch: &Fetch) {
        self.messages += u64::from(fetch.messages);
        self.bytes += fetch.bytes;
    }
}

impl Progress {
    /// An empty table that counts so many topics and groups by themselves.
    pub fn new(counted_max: usize) -> Progress {
        Progress { counted_max, ..Progress::default() }
    }

    /// `group` has been answered a pull.
    pub fn pulled(&self, topic: &str, group: &str, fetch: Fetch, now: Duration) {
        let Fetch { queue, next, messages, .. } = fetch;
        let table = &mut *self.table.lock();
        let groups = table.topics.get_mut(topic);
        let Some(pulled) = groups.and_then(|groups| groups.get_mut(group)) else {
            return self.begin(table, topic, group, fetch, now);
        };
        pulled.given.as_mut().unwrap_or(&mut table.others).add(&fetch);
        if let Some(known) = pulled.next.get_mut(&queue) {
            *known = next;
        } else if table.queues < limits::OFFSETS {
            table.queues += 1;
            pulled.next.insert(queue, next);
        }
        pulled.rate.add(now, messages);
    }

    /// The first pull of a group and topic.
    fn begin(&self, table: &mut Table, topic: &str, group: &str, fetch: Fetch, now: Duration) {
        // Beyond the limit a group's progress is what it commits.
        if table.queues >= limits::OFFSETS {
            table.others.add(&fetch);
            return;
        }
        table.queues += 1;
        let mut pulled = Pulled::default();
        if table.counted < self.counted_max {
            table.counted += 1;
            pulled.given = Some(Given::default());
        } else {
            table.other_count += 1;
        }
        pulled.given.as_mut().unwrap_or(&mut table.others).add(&fetch);
        pulled.next.insert(fetch.queue, fetch.next);
        pulled.rate.add(now, fetch.messages);
        let groups = table.topics.entry(topic.to_owned()).or_default();
        groups.insert(group.to_owned(), pulled);
    }

    /// What every group was given.
    pub fn given(&self) -> AllGiven {
        let table = self.table.lock();
        let pairs = table.topics.iter().flat_map(|(topic, groups)| {
            groups.iter().map(move |(group, pulled)| (topic, group, pulled.given))
        });
        let each = pairs.filter_map(|(topic, group, given)| {
            given.map(|given| (topic.clone(), group.clone(), given))
        });
        AllGiven { each: each.collect(), others: table.others, other_count: table.other_count }
    }

    /// Offset behind the last message of the queue that a member of the group has pulled.
    pub fn next(&self, topic: &str, group: &str, queue: i32) -> Option<i64> {
        self.table.lock().topics.get(topic)?.get(group)?.next.get(&queue).copied()
    }

    /// Messages of the topic that the group pulled a second, over the last minute.
    pub fn rate(&self, topic: &str, group: &str, now: Duration) -> f64 {
        let mut table = self.table.lock();
        let pulled = table.topics.get_mut(topic).and_then(|groups| groups.get_mut(group));
        pulled.map_or(0.0, |pulled| pulled.rate.per_second(now))
    }

    /// Forgets a group.
    pub fn remove_group(&self, group: &str) {
        let table = &mut *self.table.lock();
        let removed: Vec<Pulled> =
            table.topics.values_mut().filter_map(|groups| groups.remove(group)).collect();
        removed.iter().for_each(|pulled| table.forget(pulled));
    }

    /// Forgets a topic.
    pub fn remove_topic(&self, topic: &str) {
        let table = &mut *self.table.lock();
        let removed = table.topics.remove(topic).unwrap_or_default();
        removed.values().for_each(|pulled| table.forget(pulled));
    }
}

impl Table {
    fn forget(&mut self, pulled: &Pulled) {
        self.queues -= pulled.next.len();
        match pulled.given {
            Some(_) => self.counted -= 1,
            None => self.other_count -= 1,
        }
    }
}

impl Rate {
    fn add(&mut self, now: Duration, messages: u32) {
        self.turn(now);
        self.slots[(self.now % (FULL_SLOTS + 1)) as usize] += u64::from(messages);
    }

    fn per_second(&mut self, now: Duration) -> f64 {
        self.turn(now);
        let filling = self.slots[(self.now % (FULL_SLOTS + 1)) as usize];
        let full = self.slots.iter().sum::<u64>() - filling;
        full as f64 / (SLOT.as_secs() * FULL_SLOTS) as f64
    }

    /// Empties the slots that have passed.
    fn turn(&mut self, now: Duration) {
        let now = now.as_secs() / SLOT.as_secs();
        let passed = now.saturating_sub(self.now).min(FULL_SLOTS + 1);
        for slot in now + 1 - passed..=now {
            self.slots[(slot % (FULL_SLOTS + 1)) as usize] = 0;
        }
        self.now = self.now.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(next: i64, messages: u32) -> Fetch {
        Fetch { queue: 0, next, messages, bytes: 100 * u64::from(messages) }
    }

    /// Shows that the last pull tells the offset, and that a group or topic that is deleted is
    /// forgotten.
    #[test]
    fn the_last_pull_counts() {
        let progress = Progress::default();
        assert_eq!(progress.next("T", "g", 0), None);
        progress.pulled("T", "g", fetch(32, 32), Duration::ZERO);
        progress.pulled("T", "g", fetch(7, 3), Duration::ZERO);
        progress.pulled("T", "h", fetch(9, 3), Duration::ZERO);
        assert_eq!(progress.next("T", "g", 0), Some(7));
        progress.remove_group("g");
        assert_eq!((progress.next("T", "g", 0), progress.next("T", "h", 0)), (None, Some(9)));
        progress.remove_topic("T");
        assert_eq!(progress.next("T", "h", 0), None);
        assert_eq!(progress.table.lock().queues, 0);
    }

    /// Shows that what groups were given is counted by topic and group, together beyond the limit, and that what is
    /// deleted makes room for another.
    #[test]
    fn what_was_given_is_counted_within_a_limit() {
        let progress = Progress::new(2);
        for (group, messages) in [("g", 3), ("h", 1), ("i", 5), ("g", 2), ("j", 1), ("i", 1)] {
            progress.pulled("T", group, fetch(0, messages), Duration::ZERO);
        }
        let all = progress.given();
        let mut each: Vec<_> =
            all.each.iter().map(|(_, group, given)| (&**group, *given)).collect();
        each.sort_by_key(|(group, _)| *group);
        let given = |messages| Given { messages, bytes: 100 * messages };
        assert_eq!(each, [("g", given(5)), ("h", given(1))]);
        assert_eq!((all.others, all.other_count), (given(7), 2));
        progress.remove_group("g");
        progress.remove_group("i");
        progress.pulled("T", "k", fetch(0, 4), Duration::ZERO);
        let all = progress.given();
        assert_eq!((all.each.len(), all.others, all.other_count), (2, given(7), 1));
        progress.remove_topic("T");
        assert_eq!((progress.given().each.len(), progress.given().other_count), (0, 0));
    }

    /// Shows that a rate is that of the last full minute: nothing before its first ten seconds are over, the true
    /// rate after a minute, and nothing again a minute after the last pull.
    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let progress = Progress::default();
        let at = Duration::from_secs;
        for second in 0..120 {
            progress.pulled("T", "g", fetch(0, 5), at(1000 + second));
        }
        assert_eq!(progress.rate("T", "g", at(1120)), 5.0);
        assert_eq!(progress.rate("T", "g", at(1150)), 2.5);
        assert_eq!(progress.rate("T", "g", at(1200)), 0.0);
        progress.pulled("T", "h", fetch(0, 60), at(2000));
        assert_eq!(progress.rate("T", "h", at(2009)), 0.0);
        assert_eq!(progress.rate("T", "h", at(2010)), 1.0);
        assert_eq!(progress.rate("U", "g", at(2010)), 0.0);
    }
}
