//! What groups have pulled: how far in each queue, and how fast (208, 317). Memory only, as in the reference: after a
//! restart a group's progress is what it commits.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;

use crate::limits;
use crate::stats::{Amount, Windows};

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
    /// What it was answered with.
    pub got: Amount,
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
    /// How many windows there are.
    windows: usize,
}

#[derive(Default)]
struct Pulled {
    /// Offset behind the last message pulled, by queue.
    next: BTreeMap<i32, i64>,
    /// Messages that it got; missing before the first.
    got: Option<Box<Windows>>,
    /// Messages that it sent back; missing before the first.
    sent_back: Option<Box<Windows>>,
    /// All that it got. Absent beyond the limit.
    given: Option<Given>,
}

/// What of a group in a topic is counted over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Messages that it got.
    Got,
    /// Messages that it sent back.
    SentBack,
}

impl Pulled {
    fn windows(&mut self, counted: Counted) -> &mut Option<Box<Windows>> {
        match counted {
            Counted::Got => &mut self.got,
            Counted::SentBack => &mut self.sent_back,
        }
    }

    /// Counts, unless this would be one more than the limit of the windows that there are.
    fn add(&mut self, counted: Counted, amount: Amount, now: Duration, windows: &mut usize) {
        let slot = self.windows(counted);
        if amount.messages == 0 || (slot.is_none() && *windows >= limits::WINDOWS) {
            return;
        }
        *windows += usize::from(slot.is_none());
        slot.get_or_insert_default().add(now, amount);
    }

    /// How many windows it has.
    fn count(&self) -> usize {
        usize::from(self.got.is_some()) + usize::from(self.sent_back.is_some())
    }
}

impl Given {
    fn add(&mut self, got: Amount) {
        self.messages += got.messages;
        self.bytes += got.bytes;
    }
}

impl Progress {
    /// An empty table that counts so many topics and groups by themselves.
    pub fn new(counted_max: usize) -> Progress {
        Progress { counted_max, ..Progress::default() }
    }

    /// `group` has been answered a pull.
    pub fn pulled(&self, topic: &str, group: &str, fetch: Fetch, now: Duration) {
        let Fetch { queue, next, got } = fetch;
        let table = &mut *self.table.lock();
        let groups = table.topics.get_mut(topic);
        let Some(pulled) = groups.and_then(|groups| groups.get_mut(group)) else {
            return self.begin(table, topic, group, fetch, now);
        };
        pulled.given.as_mut().unwrap_or(&mut table.others).add(got);
        pulled.add(Counted::Got, got, now, &mut table.windows);
        if let Some(known) = pulled.next.get_mut(&queue) {
            *known = next;
        } else if table.queues < limits::OFFSETS {
            table.queues += 1;
            pulled.next.insert(queue, next);
        }
    }

    /// The first pull of a group and topic.
    fn begin(&self, table: &mut Table, topic: &str, group: &str, fetch: Fetch, now: Duration) {
        // Beyond the limit a group's progress is what it commits.
        if table.queues >= limits::OFFSETS {
            table.others.add(fetch.got);
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
        pulled.given.as_mut().unwrap_or(&mut table.others).add(fetch.got);
        pulled.add(Counted::Got, fetch.got, now, &mut table.windows);
        pulled.next.insert(fetch.queue, fetch.next);
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

    /// `group` has sent messages of `topic` back; one that never pulled here is not counted.
    pub fn sent_back(&self, topic: &str, group: &str, amount: Amount, now: Duration) {
        let Table { topics, windows, .. } = &mut *self.table.lock();
        if let Some(pulled) = topics.get_mut(topic).and_then(|groups| groups.get_mut(group)) {
            pulled.add(Counted::SentBack, amount, now, windows);
        }
    }

    /// Messages of the topic that the group pulled a second, over the last minute.
    pub fn rate(&self, topic: &str, group: &str, now: Duration) -> f64 {
        self.view(topic, group, Counted::Got, |windows| windows.per_second(now)).unwrap_or(0.0)
    }

    /// What `look` sees of what is counted; `None` if there was nothing to count.
    pub fn view<T>(
        &self,
        topic: &str,
        group: &str,
        counted: Counted,
        look: impl FnOnce(&mut Windows) -> T,
    ) -> Option<T> {
        let mut table = self.table.lock();
        let pulled = table.topics.get_mut(topic)?.get_mut(group)?;
        pulled.windows(counted).as_mut().map(|windows| look(windows))
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
        self.windows -= pulled.count();
        match pulled.given {
            Some(_) => self.counted -= 1,
            None => self.other_count -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(messages: u64) -> Amount {
        Amount { times: 1, messages, bytes: 100 * messages }
    }

    fn fetch(next: i64, messages: u64) -> Fetch {
        Fetch { queue: 0, next, got: amount(messages) }
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
        let table = progress.table.lock();
        assert_eq!((table.queues, table.windows), (0, 0));
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

    /// Shows that what a group got and what it sent back are counted apart, and that pulls without messages, and
    /// groups that never pulled, leave nothing.
    #[test]
    fn messages_are_counted_by_what_became_of_them() {
        let progress = Progress::default();
        let (start, later) = (Duration::from_secs(1000), Duration::from_secs(1060));
        let sum = |group, counted| {
            let look =
                |windows: &mut Windows| windows.view(later, |amount| amount.messages).stats_day.sum;
            progress.view("T", group, counted, look)
        };
        progress.pulled("T", "g", fetch(0, 0), start);
        assert_eq!(sum("g", Counted::Got), None);
        progress.pulled("T", "g", fetch(3, 3), start);
        progress.pulled("T", "g", fetch(6, 3), start);
        progress.sent_back("T", "g", amount(2), start);
        progress.sent_back("T", "never-pulled", amount(1), start);
        assert_eq!((sum("g", Counted::Got), sum("g", Counted::SentBack)), (Some(6), Some(2)));
        assert_eq!(sum("never-pulled", Counted::SentBack), None);
        assert_eq!(progress.rate("T", "g", later), 0.1);
        assert_eq!(progress.rate("T", "h", later), 0.0);
    }
}
