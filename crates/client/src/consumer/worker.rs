//! Reads one assigned queue: pulls messages ahead, hands them to the listener, knows what to commit.
//!
//! One task per queue. Two loops run in it side by side: one pulls while there is room, the other
//! hands out. Listeners run in tasks of their own, so that ending the worker (the queue went to
//! another member) never cuts a listener off half-way; what such a listener reports afterwards is
//! simply not committed any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use wire::reply_codes;

use crate::consumer::assigned::Assigned;
use crate::consumer::group::Model;
use crate::consumer::listener::{self, Consumed, Listener, Ordered};
use crate::consumer::member::Member;
use crate::consumer::process_queue::{Bounds, ProcessQueue};
use crate::consumer::pull::{PullRequest, PullStatus, Pulled};
use crate::error::CallError;
use crate::limits;
use crate::received::Received;

/// Answers to a pull that say that the broker does not know the group's subscription: it missed a
/// heartbeat, or was restarted.
const HEARTBEAT_HELPS: [i32; 3] = [
    reply_codes::SUBSCRIPTION_NOT_EXIST,
    reply_codes::SUBSCRIPTION_NOT_LATEST,
    reply_codes::SUBSCRIPTION_GROUP_NOT_EXIST,
];

/// Runs until the queue is taken away, or its offset turns out to be illegal.
pub(crate) async fn run(member: Arc<Member>, assigned: Arc<Assigned>) {
    let stop = assigned.stop.clone();
    let hand_out = async {
        match &member.listener {
            Listener::Concurrent(_) => hand_out(&member, &assigned).await,
            Listener::Ordered(_) => hand_out_in_order(&member, &assigned).await,
        }
    };
    tokio::select! {
        biased;
        () = stop.stopped() => {}
        () = pull_ahead(&member, &assigned) => {}
        () = hand_out => {}
    }
    stop.stop();
}

/// Pulls while there is room. Returns when the queue must be started afresh at another offset.
async fn pull_ahead(member: &Arc<Member>, assigned: &Arc<Assigned>) {
    let mut suggested = 0;
    let mut failing = false;
    loop {
        while assigned.pending.lock().is_full(&member.bounds()) {
            assigned.room.notified().await;
        }
        let pause = match pull(member, assigned, suggested).await {
            Ok(pulled) if pulled.status == PullStatus::Moved => {
                return restart(member, assigned, pulled.next).await;
            }
            Ok(pulled) => {
                suggested = pulled.suggested_broker;
                failing = false;
                accept(member, assigned, pulled);
                continue;
            }
            Err(error) => {
                // Once per outage, not once per second and queue.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(queue = %assigned.queue, %error, "pull failed, trying again");
                }
                match error.code() {
                    Some(reply_codes::FLOW_CONTROL) => limits::PULL_FLOW_RETRY,
                    Some(code) if HEARTBEAT_HELPS.contains(&code) => {
                        member.client.heartbeat_again().await;
                        limits::PULL_RETRY
                    }
                    _ => limits::PULL_RETRY,
                }
            }
        };
        member.clock().sleep(pause).await;
    }
}

async fn pull(
    member: &Arc<Member>,
    assigned: &Assigned,
    suggested: u64,
) -> Result<Pulled, CallError> {
    let queue = &assigned.queue;
    let Some(address) = member.client.address_to_read(&queue.broker, suggested) else {
        return Err(member.client.unknown_broker("PULL_MESSAGE", &queue.broker));
    };
    let master = member.client.address_of_master(&queue.broker);
    let (offset, position) = {
        let pending = assigned.pending.lock();
        (pending.next(), pending.commit_offset())
    };
    // Without its lock the queue may be another member's, which is further on.
    let is_ours = !member.needs_locks() || assigned.is_locked(member.clock().mono());
    let commit = member.group.model == Model::Clustering && is_ours && position > 0;
    let request = PullRequest {
        group: &member.group.name,
        queue,
        offset,
        commit: (commit && master.as_ref() == Some(&address)).then_some(position),
        hold: limits::PULL_SUSPEND,
        filter: None,
        version: member.subscription_version(&queue.topic),
    };
    member.client.remote().pull(&address, &request).await
}

fn accept(member: &Member, assigned: &Assigned, pulled: Pulled) {
    assigned.pulled_ms.store(member.clock().wall_ms(), Ordering::Relaxed);
    let filter = member.filter(&assigned.queue.topic);
    let wanted = pulled.messages.into_iter().filter(|message| filter.matches(message.tag()));
    let slots = wanted.map(|message| (message.offset(), message.held_bytes(), message));
    let waiting = {
        let mut pending = assigned.pending.lock();
        pending.extend(slots, pulled.next);
        pending.has_waiting()
    };
    if waiting {
        assigned.arrived.notify_one();
    }
}

/// The broker says where the queue goes on: commit that, and let the next rebalance begin there.
async fn restart(member: &Arc<Member>, assigned: &Assigned, next: u64) {
    tracing::warn!(queue = %assigned.queue, next, "offset is outside the queue or was reset");
    *assigned.pending.lock() = ProcessQueue::new(next);
    member.commit_progress(assigned).await;
    member.group.rebalance.notify_one();
}

async fn hand_out(member: &Arc<Member>, assigned: &Arc<Assigned>) {
    let Listener::Concurrent(handler) = &member.listener else { return };
    loop {
        if !assigned.pending.lock().has_waiting() {
            assigned.arrived.notified().await;
            continue;
        }
        let permit = member.listener_permit().await;
        if assigned.stop.is_stopped() {
            return;
        }
        let batch = assigned.take(member.batch);
        if batch.is_empty() {
            // The queue begins anew at another offset.
            continue;
        }
        assigned.consumed_ms.store(member.clock().wall_ms(), Ordering::Relaxed);
        let (member, assigned, handler) = (member.clone(), assigned.clone(), handler.clone());
        member.client.clone().spawn("consume", async move {
            let outcome = listener::call(&handler, batch.clone(), Consumed::Later).await;
            finish(&member, &assigned, batch, outcome, permit).await;
        });
    }
}

async fn finish(
    member: &Arc<Member>,
    assigned: &Assigned,
    batch: Vec<Received>,
    outcome: Consumed,
    permit: OwnedSemaphorePermit,
) {
    if outcome == Consumed::Success || member.group.model == Model::Broadcasting {
        // A broadcast message has no second chance: there is no retry queue of one member.
        return assigned.done(&batch.iter().map(Received::offset).collect::<Vec<_>>());
    }
    let mut kept = Vec::new();
    for message in batch {
        match member.send_back(&message).await {
            Ok(()) => assigned.done(&[message.offset()]),
            Err(error) => {
                tracing::warn!(queue = %assigned.queue, offset = message.offset(), %error,
                    "message could not be sent back, it is retried here");
                kept.push(message);
            }
        }
    }
    drop(permit);
    if !kept.is_empty() {
        tokio::select! {
            () = member.clock().sleep(limits::LOCAL_RETRY) => {}
            () = assigned.stop.stopped() => {}
        }
        kept.into_iter().for_each(|message| assigned.put_back(message));
    }
}

async fn hand_out_in_order(member: &Arc<Member>, assigned: &Arc<Assigned>) {
    let Listener::Ordered(handler) = &member.listener else { return };
    let is_ours = || !member.needs_locks() || assigned.is_locked(member.clock().mono());
    loop {
        if !is_ours() || !assigned.pending.lock().has_waiting() {
            // A renewed lock notifies too.
            assigned.arrived.notified().await;
            continue;
        }
        let permit = member.listener_permit().await;
        let consuming = assigned.consuming.clone().lock_owned().await;
        // Whoever takes the queue away stops it first and waits for `consuming` then: from here on
        // either it waits for this call, or there is none.
        if assigned.stop.is_stopped() {
            return;
        }
        // Either wait may have been long: the lock may be lost, or the queue begin anew at another offset.
        if !is_ours() {
            continue;
        }
        let batch = assigned.take(member.batch);
        if batch.is_empty() {
            continue;
        }
        assigned.consumed_ms.store(member.clock().wall_ms(), Ordering::Relaxed);
        let (task_member, task_assigned) = (member.clone(), assigned.clone());
        let handler = handler.clone();
        let task = member.client.spawn("consume", async move {
            let outcome = listener::call(&handler, batch.clone(), Ordered::Suspend).await;
            finish_in_order(&task_member, &task_assigned, batch, outcome, permit).await;
            drop(consuming);
        });
        task.join().await;
    }
}

async fn finish_in_order(
    member: &Arc<Member>,
    assigned: &Assigned,
    batch: Vec<Received>,
    outcome: Ordered,
    permit: OwnedSemaphorePermit,
) {
    if outcome == Ordered::Success {
        return assigned.done(&batch.iter().map(Received::offset).collect::<Vec<_>>());
    }
    let mut kept = Vec::new();
    for message in batch {
        let exhausted = message.reconsume_times() >= member.max_reconsume
            && member.group.model == Model::Clustering;
        // The broker diverts it to the dead letters, because the group holds queue locks.
        if exhausted && member.send_to_retry(&message).await.is_ok() {
            assigned.done(&[message.offset()]);
        } else {
            kept.push(message);
        }
    }
    drop(permit);
    if !kept.is_empty() {
        tokio::select! {
            () = member.clock().sleep(limits::SUSPEND_QUEUE) => {}
            () = assigned.stop.stopped() => {}
        }
        kept.into_iter().for_each(|message| assigned.put_back(message));
    }
}

impl Member {
    /// What one queue may hold: its own bounds, and its share of the member's byte budget.
    fn bounds(&self) -> Bounds {
        let share = limits::MEMBER_BYTES / self.assigned_count().max(1);
        Bounds {
            messages: limits::QUEUE_MESSAGES,
            bytes: limits::QUEUE_BYTES.min(share.max(1)),
            span: limits::QUEUE_SPAN,
        }
    }
}
