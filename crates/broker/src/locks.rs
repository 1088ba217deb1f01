//! Queue locks of orderly consumers (41, 42): who may consume a queue of a group in order.
//!
//! A lock is a lease: it lives for [`LEASE`] after its last renewal. Locks are memory only, as in the
//! reference: a restart frees them all and every consumer asks again within 20 s.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use wire::body::MessageQueue;

use crate::limits;

/// How long a lock lives without being renewed (`rocketmq.broker.rebalance.lockMaxLiveTime`).
pub const LEASE: Duration = Duration::from_secs(60);

/// All queue locks of this broker.
#[derive(Default)]
pub struct QueueLocks {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    groups: HashMap<String, HashMap<MessageQueue, Lock>>,
    /// What the locks take, about.
    bytes: usize,
    /// When expired locks were last forgotten.
    forgotten: Option<Duration>,
}

struct Lock {
    client_id: String,
    renewed: Duration,
}

impl Lock {
    fn is_live(&self, now: Duration) -> bool {
        now.saturating_sub(self.renewed) < LEASE
    }
}

impl QueueLocks {
    /// Locks or renews `queues` for `client_id` and returns those it owns afterwards. A queue is granted if it
    /// is free, expired or already owned by the caller, as long as there is room ([`limits::LOCK_BYTES`]). `now` is
    /// monotonic.
    pub fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: &[MessageQueue],
        now: Duration,
    ) -> Vec<MessageQueue> {
        let mut table = self.table.lock();
        let wanted: usize = queues.iter().map(|queue| size(group, queue, client_id)).sum();
        if table.bytes.saturating_add(wanted) > limits::LOCK_BYTES
            && table.forgotten.is_none_or(|last| now >= last + limits::FORGET_LOCKS)
        {
            table.forget_expired(now);
        }
        queues.iter().filter(|queue| table.lock(group, client_id, queue, now)).cloned().collect()
    }

    /// Frees those of `queues` that `client_id` owns; others stay as they are.
    pub fn unlock(&self, group: &str, client_id: &str, queues: &[MessageQueue]) {
        let mut table = self.table.lock();
        let Table { groups, bytes, .. } = &mut *table;
        let Some(locks) = groups.get_mut(group) else { return };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| lock.client_id == client_id) {
                locks.remove(queue);
                *bytes -= size(group, queue, client_id);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether any live lock of `group` exists. While one does, a message sent to the group's retry topic goes
    /// to the dead letters: an orderly consumer sends there only when it gives up.
    pub fn any_live(&self, group: &str, now: Duration) -> bool {
        let table = self.table.lock();
        table.groups.get(group).is_some_and(|locks| locks.values().any(|lock| lock.is_live(now)))
    }
}

impl Table {
    /// Whether the queue is the client's now.
    fn lock(&mut self, group: &str, client_id: &str, queue: &MessageQueue, now: Duration) -> bool {
        if let Some(known) = self.groups.get_mut(group).and_then(|locks| locks.get_mut(queue)) {
            if known.client_id == client_id {
                known.renewed = now;
                return true;
            } else if known.is_live(now) {
                return false;
            }
        }
        let bytes = self.bytes + size(group, queue, client_id);
        if bytes > limits::LOCK_BYTES {
            return false;
        }
        let lock = Lock { client_id: client_id.to_owned(), renewed: now };
        let locks = self.groups.entry(group.to_owned()).or_default();
        let replaced = locks.insert(queue.clone(), lock);
        self.bytes = bytes - replaced.map_or(0, |old| size(group, queue, &old.client_id));
        true
    }

    fn forget_expired(&mut self, now: Duration) {
        let mut left = 0;
        self.groups.retain(|group, locks| {
            locks.retain(|_, lock| lock.is_live(now));
            let sizes = locks.iter().map(|(queue, lock)| size(group, queue, &lock.client_id));
            left += sizes.sum::<usize>();
            !locks.is_empty()
        });
        self.bytes = left;
        self.forgotten = Some(now);
    }
}

/// What a lock takes, about.
fn size(group: &str, queue: &MessageQueue, client_id: &str) -> usize {
    limits::LOCK + group.len() + queue.topic.len() + queue.broker_name.len() + client_id.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(id: i32) -> MessageQueue {
        MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: id }
    }

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Shows that a live lock excludes others, that its owner may renew it, and that it can be taken over once it expired.
    #[test]
    fn a_lock_excludes_others_until_it_expires() {
        let locks = QueueLocks::default();
        assert_eq!(locks.lock("g", "a", &[queue(0), queue(1)], secs(0)).len(), 2);
        assert_eq!(locks.lock("g", "b", &[queue(0), queue(2)], secs(10)), vec![queue(2)]);
        assert_eq!(locks.lock("g", "a", &[queue(0)], secs(50)), vec![queue(0)]);
        assert!(locks.lock("g", "b", &[queue(0)], secs(109)).is_empty());
        assert_eq!(locks.lock("g", "b", &[queue(0)], secs(110)), vec![queue(0)]);
    }

    /// Shows that locks with long names are granted up to a number of bytes, that expired ones make room, and that what
    /// is freed counts no more.
    #[test]
    fn bytes_are_bounded() {
        let locks = QueueLocks::default();
        let (long, queues) = ("c".repeat(limits::LOCK_BYTES / 3), [queue(0), queue(1), queue(2)]);
        assert_eq!(locks.lock("g", &long, &queues, secs(0)), queues[..2]);
        assert!(locks.lock("h", &long, &queues, secs(59)).is_empty());
        assert_eq!(locks.lock("h", &long, &queues, secs(60)), queues[..2]);
        assert!(!locks.any_live("g", secs(60)));
        locks.unlock("h", &long, &queues);
        assert_eq!(locks.lock("g", &long, &queues[2..], secs(61)), queues[2..]);
    }

    /// Shows that only the owner frees a lock and that `any_live` follows.
    #[test]
    fn only_the_owner_unlocks() {
        let locks = QueueLocks::default();
        locks.lock("g", "a", &[queue(0)], secs(0));
        locks.unlock("g", "b", &[queue(0)]);
        assert!(locks.any_live("g", secs(1)));
        assert!(!locks.any_live("g", secs(61)));
        locks.unlock("g", "a", &[queue(0)]);
        assert!(!locks.any_live("g", secs(1)));
    }
}
