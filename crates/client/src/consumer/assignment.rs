//! Which queues a member reads: brought in line with the group again and again.
//!
//! Order of steps, per topic: end the workers of queues that went to others, commit, unlock; tell the
//! brokers of a changed subscription; then lock, find the offset and start a worker for each new
//! queue. A step that fails leaves the rest for the next round, a second later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use env::Stop;
use futures_util::future::join_all;

use crate::consumer::assigned::Assigned;
use crate::consumer::group::{ConsumeFrom, Group, Model};
use crate::consumer::member::Member;
use crate::consumer::rebalance;
use crate::consumer::worker;
use crate::error::OffsetError;
use crate::queue::MessageQueue;
use crate::route::Route;

impl Member {
    /// Brings the assigned queues in line with the group. Returns whether nothing is left to do.
    pub(super) async fn rebalance(self: &Arc<Self>) -> bool {
        let mut complete = true;
        let topics: Vec<Arc<str>> = self.group.subscriptions.keys().cloned().collect();
        for topic in topics {
            complete &= self.rebalance_topic(&topic).await;
        }
        complete
    }

    async fn rebalance_topic(self: &Arc<Self>, topic: &Arc<str>) -> bool {
        let route = match self.client.route(topic).await {
            Ok(route) => route,
            // The broker creates the retry topic when it learns of the group.
            Err(error) => {
                tracing::debug!(%topic, %error, "no route to rebalance");
                return Group::is_retry(topic);
            }
        };
        let mut queues = route.read_queues(topic);
        let share = match self.group.model {
            Model::Broadcasting => queues,
            Model::Clustering => {
                let Some(mut members) = self.members(&route).await else {
                    // The broker has not heard of us, or forgot: it was restarted.
                    self.client.heartbeat_again().await;
                    return false;
                };
                let id = self.client.id();
                rebalance::allocate(self.strategy, id, &mut queues, &mut members)
            }
        };
        let share: BTreeSet<MessageQueue> = share.into_iter().collect();
        let (removed, mut complete) = self.remove_queues(topic, &share).await;
        let new: Vec<MessageQueue> = {
            let assigned = self.assigned.lock();
            share.iter().filter(|queue| !assigned.contains_key(*queue)).cloned().collect()
        };
        if removed + new.len() > 0 {
            self.settled.store(false, Ordering::Release);
            // Before the first pull: brokers refuse one whose subscription is newer than what they
            // heard.
            if let Some(subscription) = self.group.subscriptions.get(topic) {
                subscription.renew(self.clock().wall_ms());
            }
            self.client.heartbeat().await;
            let added = self.add_queues(&new, &mut complete).await;
            tracing::info!(group = %self.group.name, %topic, queues = share.len(), removed, added,
                "queues assigned");
        }
        complete
    }

    /// The group's members, as a broker of the topic knows them; `None` when no broker counts us in.
    async fn members(&self, route: &Route) -> Option<Vec<String>> {
        for broker in route.shares.keys() {
            let Some(address) = self.client.address_to_read(broker, 0) else { continue };
            match self.client.remote().members(&address, &self.group.name).await {
                Ok(members) if members.iter().any(|id| id == self.client.id()) => {
                    return Some(members);
                }
                Ok(_) => tracing::warn!(%address, "broker does not count this client in"),
                Err(error) => tracing::warn!(%error, "members of the group are not known"),
            }
        }
        None
    }

    /// Ends the workers of queues that are no longer ours, and of those that ended by themselves.
    async fn remove_queues(&self, topic: &str, share: &BTreeSet<MessageQueue>) -> (usize, bool) {
        let gone: Vec<Arc<Assigned>> = {
            let assigned = self.assigned.lock();
            let of_topic = assigned.values().filter(|one| &*one.queue.topic == topic);
            of_topic
                .filter(|one| one.stop.is_stopped() || !share.contains(&one.queue))
                .cloned()
                .collect()
        };
        let mut complete = true;
        let mut removed = 0;
        for one in gone {
            one.stop.stop();
            if self.needs_locks() && !one.has_stopped_consuming(self.clock()).await {
                // Unlocking now would let another member run into our listener.
                complete = false;
                continue;
            }
            self.release(&one).await;
            self.assigned.lock().remove(&one.queue);
            removed += 1;
        }
        (removed, complete)
    }

    /// Commits what is known of a queue and gives up its lock.
    pub(super) async fn release(&self, one: &Assigned) {
        self.commit_progress(one).await;
        if self.needs_locks() {
            one.set_released();
            self.unlock(&one.queue).await;
        }
    }

    async fn unlock(&self, queue: &MessageQueue) {
        let Some(address) = self.client.address_of_master(&queue.broker) else { return };
        let (remote, queues) = (self.client.remote(), std::slice::from_ref(queue));
        let unlocked = remote.unlock(&address, &self.group.name, self.client.id(), queues).await;
        if let Err(error) = unlocked {
            tracing::debug!(%queue, %error, "unlock failed, the lease runs out");
        }
    }

    /// Gives up the locks of queues that were not started after all.
    pub(super) async fn unlock_unstarted(&self) {
        let queues = std::mem::take(&mut *self.starting.lock());
        join_all(queues.iter().map(|queue| self.unlock(queue))).await;
    }

    async fn add_queues(self: &Arc<Self>, queues: &[MessageQueue], complete: &mut bool) -> usize {
        let mut added = 0;
        for queue in queues {
            match self.add_queue(queue).await {
                Ok(true) => added += 1,
                Ok(false) => *complete = false,
                Err(error) => {
                    tracing::warn!(%queue, %error, "queue cannot be started yet");
                    *complete = false;
                }
            }
        }
        added
    }

    /// Starts a worker. Returns false when another member still holds the queue's lock.
    async fn add_queue(self: &Arc<Self>, queue: &MessageQueue) -> Result<bool, OffsetError> {
        let mut locked = None;
        if self.needs_locks() {
            let address = self.master_of(queue)?;
            // Until it is assigned. Without an answer it may be locked too.
            self.starting.lock().insert(queue.clone());
            let (remote, queues) = (self.client.remote(), std::slice::from_ref(queue));
            let granted = remote.lock(&address, &self.group.name, self.client.id(), queues).await?;
            if !granted.contains(queue) {
                self.starting.lock().remove(queue);
                return Ok(false);
            }
            locked = Some(self.clock().mono());
        }
        let offset = match self.start_offset(queue).await {
            Ok(offset) => offset,
            Err(error) => {
                if locked.is_some() {
                    self.unlock(queue).await;
                }
                return Err(error);
            }
        };
        let assigned =
            Arc::new(Assigned::new(queue.clone(), offset, Stop::new(self.clock().clone())));
        assigned.set_locked(locked);
        // Listed first, so that a closing member, which stops what is listed, cannot miss it.
        self.assigned.lock().insert(queue.clone(), assigned.clone());
        self.starting.lock().remove(queue);
        if self.stop.is_stopped() {
            assigned.stop.stop();
        }
        self.client.spawn("queue", worker::run(self.clone(), assigned));
        Ok(true)
    }

    async fn start_offset(&self, queue: &MessageQueue) -> Result<u64, OffsetError> {
        let known = match self.group.model {
            Model::Broadcasting => self.local.get(queue),
            Model::Clustering => {
                let address = self.master_of(queue)?;
                self.client.remote().committed_offset(&address, &self.group.name, queue).await?
            }
        };
        if let Some(offset) = known {
            return Ok(offset);
        }
        let address = self.master_of(queue)?;
        let remote = self.client.remote();
        Ok(match self.group.from {
            // What was sent back before this member came must not be skipped.
            _ if Group::is_retry(&queue.topic) => remote.min_offset(&address, queue).await?,
            ConsumeFrom::Last => remote.max_offset(&address, queue).await?,
            ConsumeFrom::First => remote.min_offset(&address, queue).await?,
            ConsumeFrom::TimeMs(time) => remote.offset_at(&address, queue, time).await?,
        })
    }
}
