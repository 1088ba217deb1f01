//! One member of a consumer group: what it tells the brokers about the queues it reads. Which ones
//! these are is in [`super::assignment`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use env::{Clock, Stop};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wire::body::ProcessQueueInfo;

use crate::consumer::assigned::Assigned;
use crate::consumer::group::{Group, Model};
use crate::consumer::listener::{self, Consumed, Listener, Ordered};
use crate::consumer::local_offsets::LocalOffsets;
use crate::consumer::rebalance::Strategy;
use crate::consumer::subscription::TagFilter;
use crate::error::{OffsetError, SendError};
use crate::instance::Client;
use crate::limits;
use crate::message::Message;
use crate::producer::Envelope;
use crate::queue::MessageQueue;
use crate::received::Received;

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
    /// When the consumer was started, in milliseconds since 1970.
    pub(crate) started_ms: i64,
    /// Ends the member's own tasks.
    pub(crate) stop: Stop,
    /// Listener calls that may still start.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) assigned: Mutex<BTreeMap<MessageQueue, Arc<Assigned>>>,
    /// Queues whose locks an ordered member may hold though they are not assigned: it is about to start them,
    /// or could not.
    pub(crate) starting: Mutex<BTreeSet<MessageQueue>>,
    /// Whether `assigned` is all of this member's share.
    pub(crate) settled: AtomicBool,
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
                self.settled.store(complete, Ordering::Release);
                let wait =
                    if complete { limits::REBALANCE_PERIOD } else { limits::REBALANCE_RETRY };
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

    pub(super) fn needs_locks(&self) -> bool {
        self.listener.is_ordered() && self.group.model == Model::Clustering
    }

    pub(super) fn master_of(&self, queue: &MessageQueue) -> Result<Arc<str>, OffsetError> {
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
                one.set_committed(offset, true);
                continue;
            }
            let Some(address) = self.client.address_of_master(&one.queue.broker) else { continue };
            let remote = self.client.remote();
            let group = &self.group.name;
            match remote.commit_unanswered(&address, group, &one.queue, offset).await {
                Ok(()) => one.set_committed(offset, false),
                Err(error) => tracing::warn!(queue = %one.queue, %error, "commit failed"),
            }
        }
        if let Err(error) = self.local.save() {
            tracing::warn!(%error, "local offsets are not saved");
        }
    }

    /// Stores one queue's progress and waits for the answer.
    pub(crate) async fn commit_progress(&self, one: &Assigned) {
        let Some(offset) = one.unsettled() else { return };
        if self.group.model == Model::Broadcasting {
            self.local.set(&one.queue, offset);
            return one.set_committed(offset, true);
        }
        let committed = match self.client.address_of_master(&one.queue.broker) {
            None => Err(self.client.unknown_broker("UPDATE_CONSUMER_OFFSET", &one.queue.broker)),
            Some(address) => {
                let remote = self.client.remote();
                remote.commit(&address, &self.group.name, &one.queue, offset).await
            }
        };
        match committed {
            Ok(()) => one.set_committed(offset, true),
            Err(error) => tracing::warn!(queue = %one.queue, %error, "commit failed"),
        }
    }

    async fn renew_locks(&self) {
        let mut by_broker: BTreeMap<Arc<str>, Vec<Arc<Assigned>>> = BTreeMap::new();
        for one in self.assigned.lock().values() {
            by_broker.entry(one.queue.broker.clone()).or_default().push(one.clone());
        }
        for (broker, mut held) in by_broker {
            let Some(address) = self.client.address_of_master(&broker) else { continue };
            // Given up while another broker was asked.
            held.retain(|one| !one.is_released());
            if held.is_empty() {
                continue;
            }
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

    /// The queues that are read, each with its lowest unconsumed offset.
    pub(crate) fn positions(&self) -> Vec<(MessageQueue, u64)> {
        let assigned = self.assigned.lock();
        assigned.iter().map(|(queue, one)| (queue.clone(), one.position())).collect()
    }

    /// The queues that are read, as tools show them.
    pub(crate) fn running(&self) -> Vec<(MessageQueue, ProcessQueueInfo)> {
        let now = self.clock().mono();
        let assigned = self.assigned.lock();
        assigned.iter().map(|(queue, one)| (queue.clone(), one.info(now))).collect()
    }

    /// Goes on from other offsets in the queues that are read now: commits them, and lets the next
    /// rebalance begin there. Messages that a listener has already are not taken from it.
    pub(crate) async fn reset(&self, offsets: BTreeMap<MessageQueue, u64>) {
        let assigned: Vec<Arc<Assigned>> = self.assigned.lock().values().cloned().collect();
        for one in assigned {
            let Some(offset) = offsets.get(&one.queue) else { continue };
            tracing::info!(queue = %one.queue, offset, "offset was reset");
            one.reset(*offset);
            self.commit_progress(&one).await;
        }
        self.group.rebalance.notify_one();
    }

    /// Hands one message to the listener, out of turn. Whether it was consumed.
    pub(crate) async fn consume_now(&self, message: Received) -> bool {
        let (done, result) = oneshot::channel();
        let listener = self.listener.clone();
        self.client.spawn("consume", async move {
            let consumed = match &listener {
                Listener::Concurrent(handler) => {
                    let failed = Consumed::Later;
                    listener::call(handler, vec![message], failed).await == Consumed::Success
                }
                Listener::Ordered(handler) => {
                    let failed = Ordered::Suspend;
                    listener::call(handler, vec![message], failed).await == Ordered::Success
                }
            };
            // Whoever asked may have given up.
            let _ = done.send(consumed);
        });
        result.await.unwrap_or(false)
    }

    /// Stops reading, waits for listeners, commits, and leaves the group.
    pub(crate) async fn close(self: &Arc<Self>) {
        self.stop.stop();
        let assigned: Vec<Arc<Assigned>> = self.assigned.lock().values().cloned().collect();
        assigned.iter().for_each(|one| one.stop.stop());
        let all = u32::try_from(limits::LISTENERS).unwrap_or(u32::MAX);
        // Held to the end: no listener starts any more.
        let idle = self.clock().timeout(limits::CLOSE_WAIT, self.slots.acquire_many(all)).await;
        if idle.is_err() {
            tracing::warn!(group = %self.group.name, "listeners still run, their messages come again");
        }
        join_all(assigned.iter().map(|one| self.release(one))).await;
        self.unlock_unstarted().await;
        if let Err(error) = self.local.save() {
            tracing::warn!(%error, "local offsets are not saved");
        }
        self.assigned.lock().clear();
        self.client.leave(self);
        self.client.tell_departures().await;
    }
}
