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
    groups: Mutex<HashMap<String, HashMap<MessageQueue, Lock>>>,
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
    /// is free, expired or already owned by the caller. `now` is monotonic.
    pub fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: &[MessageQueue],
        now: Duration,
    ) -> Vec<MessageQueue> {
        let mut groups = self.groups.lock();
        if !groups.contains_key(group) && groups.len() >= limits::LOCKED_GROUPS {
            groups.retain(|_, locks| locks.values().any(|lock| lock.is_live(now)));
            if groups.len() >= limits::LOCKED_GROUPS {
                return Vec::new();
            }
        }
        let locks = groups.entry(group.to_owned()).or_default();
        let mut owned = Vec::new();
        for queue in queues {
            let free = match locks.get(queue) {
                Some(lock) => lock.client_id == client_id || !lock.is_live(now),
                None => locks.len() < limits::LOCKS_PER_GROUP,
            };
            if free {
                locks.insert(queue.clone(), Lock { client_id: client_id.to_owned(), renewed: now });
                owned.push(queue.clone());
            }
        }
        owned
    }

    /// Frees those of `queues` that `client_id` owns; others stay as they are.
    pub fn unlock(&self, group: &str, client_id: &str, queues: &[MessageQueue]) {
        let mut groups = self.groups.lock();
        let Some(locks) = groups.get_mut(group) else { return };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| lock.client_id == client_id) {
                locks.remove(queue);
            }
        }
        if locks.is_empty() {
            groups.remove(group);
        }
    }

    /// Whether any live lock of `group` exists. While one does, a message sent to the group's retry topic goes
    /// to the dead letters: an orderly consumer sends there only when it gives up.
    pub fn any_live(&self, group: &str, now: Duration) -> bool {
        self.groups
            .lock()
            .get(group)
            .is_some_and(|locks| locks.values().any(|lock| lock.is_live(now)))
    }
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
