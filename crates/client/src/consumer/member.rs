//! One member of a consumer group: which queues it reads, and what it tells the brokers about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use env::{Clock, Stop};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::consumer::group::{ConsumeFrom, Group, Model};
use crate::consumer::listener::Listener;
use crate::consumer::local_offsets::LocalOffsets;
use crate::consumer::rebalance::{self, Strategy};
use crate::consumer::subscription::TagFilter;
use crate::consumer::worker::{self, Assigned};
use crate::error::{OffsetError, SendError};
use crate::instance::Client;
use crate::limits;
use crate::message::Message;
use crate::producer::Envelope;
use crate::queue::MessageQueue;
use crate::received::Received;
use crate::route::Route;

/// A running push consumer.
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) group: Arc<Group>,
    pub(crate) listener: Listener,
    /// Messages per call of the listener.
    pub(crate) batch: usize,
    /// Deliveries before a message becomes a dead letter.
    pub(crate) max_reconsume: i32,
    pub(crate) strategy: Strategy,
    /// Ends the member's own tasks.
    pub(crate) stop: Stop,
    /// Listener calls that may still start.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) assigned: Mutex<BTreeMap<MessageQueue, Arc<Assigned>>>,
    /// Progress of a broadcasting member.
    pub(crate) local: LocalOffsets,
}

impl Member {
    pub(crate) fn clock(&self) -> &Clock {
        &self.client.env().clock
    }

    pub(crate) fn assigned_count(&self) -> usize {
        self.assigned.lock().len()
    }

    pub(crate) fn filter(&self, topic: &str) -> TagFilter {
        let subscription = self.group.subscriptions.get(topic);
        subscription.map_or_else(TagFilter::all, |subscription| subscription.filter.clone())
    }

    pub(crate) fn subscription_version(&self, topic: &str) -> i64 {
        self.group.subscriptions.get(topic).map_or(0, |subscription| subscription.version())
    }

    pub(crate) async fn listener_permit(&self) -> OwnedSemaphorePermit {
        let permit = self.slots.clone().acquire_owned().await;
        permit.expect("the semaphore of a member is never closed")
    }

    /// Takes part in the group until stopped.
    pub(crate) async fn run(self: Arc<Self>) {
        let rebalance = async {
            loop {
                let complete = self.rebalance().await;
                let wait = if complete { limits::REBALANCE_PERIOD } else { limits::REBALANCE_RETRY };
                tokio::select! {
                    () = self.group.rebalance.notified() => {}
                    () = self.clock().sleep(wait) => {}
                }
            }
        };
        let commit = async {
            let mut ticks = self.clock().every(limits::COMMIT_PERIOD);
            loop {
                ticks.tick().await;
                self.commit().await;
            }
        };
        let locks = async {
            let mut ticks = self.clock().every(limits::LOCK_RENEWAL);
            while self.needs_locks() {
                ticks.tick().await;
                self.renew_locks().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.stop.stopped() => {}
            () = rebalance => {}
            () = commit => {}
            () = locks => {}
        }
    }

    fn needs_locks(&self) -> bool {
        self.listener.is_ordered() && self.group.model == Model::Clustering
    }

    /// Brings the assigned queues in line with the group. Returns whether nothing is left to do.
    async fn rebalance(self: &Arc<Self>) -> bool {
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
    async fn remove_queues(
        &self,
        topic: &str,
        share: &BTreeSet<MessageQueue>,
    ) -> (usize, bool) {
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
    async fn release(&self, one: &Assigned) {
        self.commit_progress(one).await;
        if self.needs_locks()
            && let Some(address) = self.client.address_of_master(&one.queue.broker)
        {
            let queues = std::slice::from_ref(&one.queue);
            let remote = self.client.remote();
            if let Err(error) =
                remote.unlock(&address, &self.group.name, self.client.id(), queues).await
            {
                tracing::debug!(queue = %one.queue, %error, "unlock failed, the lease runs out");
            }
        }
    }

    async fn add_queues(
        self: &Arc<Self>,
        queues: &[MessageQueue],
        complete: &mut bool,
    ) -> usize {
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
            let queues = std::slice::from_ref(queue);
            let remote = self.client.remote();
            let granted =
                remote.lock(&address, &self.group.name, self.client.id(), queues).await?;
            if !granted.contains(queue) {
                return Ok(false);
            }
            locked = Some(self.clock().mono());
        }
        let offset = self.start_offset(queue).await?;
        let assigned = Arc::new(Assigned::new(queue.clone(), offset, Stop::new(self.clock().clone())));
        assigned.set_locked(locked);
        // Listed first, so that a closing member, which stops what is listed, cannot miss it.
        self.assigned.lock().insert(queue.clone(), assigned.clone());
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

    fn master_of(&self, queue: &MessageQueue) -> Result<Arc<str>, OffsetError> {
        let address = self.client.address_of_master(&queue.broker);
        address.ok_or_else(|| OffsetError::NoBroker { queue: queue.clone() })
    }

    /// Stores progress without waiting for answers.
    pub(crate) async fn commit(&self) {
        let assigned: Vec<Arc<Assigned>> = self.assigned.lock().values().cloned().collect();
        for one in assigned {
            let Some(offset) = one.uncommitted() else { continue };
            if self.group.model == Model::Broadcasting {
                self.local.set(&one.queue, offset);
            } else if let Some(address) = self.client.address_of_master(&one.queue.broker) {
                let remote = self.client.remote();
                let group = &self.group.name;
                if let Err(error) =
                    remote.commit_unanswered(&address, group, &one.queue, offset).await
                {
                    tracing::warn!(queue = %one.queue, %error, "commit failed");
                    continue;
                }
            }
            one.set_committed(offset);
        }
        if let Err(error) = self.local.save() {
            tracing::warn!(%error, "local offsets are not saved");
        }
    }

    /// Stores one queue's progress and waits for the answer.
    pub(crate) async fn commit_progress(&self, one: &Assigned) {
        let Some(offset) = one.uncommitted() else { return };
        if self.group.model == Model::Broadcasting {
            self.local.set(&one.queue, offset);
            return one.set_committed(offset);
        }
        let committed = match self.client.address_of_master(&one.queue.broker) {
            None => Err(self.client.unknown_broker("UPDATE_CONSUMER_OFFSET", &one.queue.broker)),
            Some(address) => {
                let remote = self.client.remote();
                remote.commit(&address, &self.group.name, &one.queue, offset).await
            }
        };
        match committed {
            Ok(()) => one.set_committed(offset),
            Err(error) => tracing::warn!(queue = %one.queue, %error, "commit failed"),
        }
    }

    async fn renew_locks(&self) {
        let mut by_broker: BTreeMap<Arc<str>, Vec<Arc<Assigned>>> = BTreeMap::new();
        for one in self.assigned.lock().values() {
            by_broker.entry(one.queue.broker.clone()).or_default().push(one.clone());
        }
        for (broker, held) in by_broker {
            let Some(address) = self.client.address_of_master(&broker) else { continue };
            let queues: Vec<MessageQueue> = held.iter().map(|one| one.queue.clone()).collect();
            let remote = self.client.remote();
            match remote.lock(&address, &self.group.name, self.client.id(), &queues).await {
                Ok(granted) => {
                    let now = self.clock().mono();
                    for one in held {
                        one.set_locked(granted.contains(&one.queue).then_some(now));
                    }
                }
                // The locks stay valid until they count as lost.
                Err(error) => tracing::warn!(%broker, %error, "locks are not renewed"),
            }
        }
    }

    /// Asks the broker that stored the message to deliver it again later; failing that, sends a copy
    /// to the group's retry topic.
    pub(crate) async fn send_back(&self, message: &Received) -> Result<(), SendError> {
        let broker = &message.queue().broker;
        let asked = match self.client.address_of_master(broker) {
            None => Err(self.client.unknown_broker("CONSUMER_SEND_MSG_BACK", broker)),
            Some(address) => {
                let remote = self.client.remote();
                remote.send_back(&address, &self.group.name, message, self.max_reconsume).await
            }
        };
        let Err(error) = asked else { return Ok(()) };
        tracing::warn!(queue = %message.queue(), %error, "send-back refused, sending a copy");
        self.send_to_retry(message).await
    }

    /// Sends a copy of the message to the group's retry topic.
    pub(crate) async fn send_to_retry(&self, message: &Received) -> Result<(), SendError> {
        let times = message.reconsume_times();
        let mut copy = Message::new(Group::retry_topic(&self.group.name), message.body().clone())
            .flag(message.flag());
        for (name, value) in message.properties() {
            copy = copy.with(name, value.to_owned());
        }
        let copy = copy
            .with(wire::props::names::RETRY_TOPIC, message.topic().to_owned())
            .with(wire::props::names::ORIGIN_MESSAGE_ID, message.origin_id())
            .with(wire::props::names::DELAY, (3 + times).to_string());
        let envelope = Envelope {
            reconsume_times: times.saturating_add(1),
            max_reconsume_times: Some(self.max_reconsume),
        };
        self.client.inner_producer().send_as(copy, envelope).await.map(drop)
    }

    /// Stops reading, waits for listeners, commits, and leaves the group.
    pub(crate) async fn close(&self) {
        self.stop.stop();
        let assigned: Vec<Arc<Assigned>> = self.assigned.lock().values().cloned().collect();
        assigned.iter().for_each(|one| one.stop.stop());
        let all = u32::try_from(limits::LISTENERS).unwrap_or(u32::MAX);
        let idle = self.slots.acquire_many(all);
        if self.clock().timeout(limits::CLOSE_WAIT, idle).await.is_err() {
            tracing::warn!(group = %self.group.name, "listeners still run, their messages come again");
        }
        join_all(assigned.iter().map(|one| self.release(one))).await;
        if let Err(error) = self.local.save() {
            tracing::warn!(%error, "local offsets are not saved");
        }
        self.assigned.lock().clear();
        self.client.leave(&self.group.name).await;
    }
}
