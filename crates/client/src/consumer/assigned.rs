//! An assigned queue: what was pulled of it, where it is, whether its lock is held.
//!
//! Shared by its worker ([`super::worker`]), which fills and empties it, and by the member, which commits,
//! locks and ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use env::Stop;
use parking_lot::Mutex;
use tokio::sync::Notify;
use wire::body::ProcessQueueInfo;

use crate::consumer::process_queue::ProcessQueue;
use crate::limits;
use crate::queue::MessageQueue;
use crate::received::Received;

/// Never committed.
const NONE: u64 = u64::MAX;

/// An assigned queue.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) queue: MessageQueue,
    pub(crate) stop: Stop,
    pub(super) pending: Mutex<ProcessQueue<Received>>,
    /// Messages were pulled or put back, or the lock was renewed.
    pub(super) arrived: Notify,
    /// Messages were consumed.
    pub(super) room: Notify,
    /// Offset of the last commit.
    committed: AtomicU64,
    /// Whether nobody has said that the last commit was taken.
    unanswered: AtomicBool,
    /// When the lock at the broker was last granted, in milliseconds of the monotonic clock;
    /// negative when it is not held. Ordered consumers only.
    locked_ms: AtomicI64,
    /// The lock is given up, and must not be renewed.
    released: AtomicBool,
    /// Where an administrator moved the group; [`NONE`] if nowhere. What is pulled and consumed after
    /// that does not count.
    reset_to: AtomicU64,
    /// When a pull was last answered, in milliseconds since 1970; 0 if never.
    pub(super) pulled_ms: AtomicI64,
    /// When a listener was last called, in milliseconds since 1970; 0 if never.
    pub(super) consumed_ms: AtomicI64,
    /// Held while an ordered listener runs.
    pub(super) consuming: Arc<tokio::sync::Mutex<()>>,
}

impl Assigned {
    pub(crate) fn new(queue: MessageQueue, offset: u64, stop: Stop) -> Assigned {
        Assigned {
            queue,
            stop,
            pending: Mutex::new(ProcessQueue::new(offset)),
            arrived: Notify::new(),
            room: Notify::new(),
            committed: AtomicU64::new(NONE),
            unanswered: AtomicBool::new(false),
            locked_ms: AtomicI64::new(-1),
            released: AtomicBool::new(false),
            reset_to: AtomicU64::new(NONE),
            pulled_ms: AtomicI64::new(0),
            consumed_ms: AtomicI64::new(0),
            consuming: Arc::default(),
        }
    }

    /// The offset to commit, when it differs from the one committed last.
    pub(crate) fn uncommitted(&self) -> Option<u64> {
        let offset = self.position();
        // A reset is committed again when the queue is released: a pull that was under way may have
        // committed the old offset behind it.
        let was_reset = self.reset_to.load(Ordering::Acquire) != NONE;
        (was_reset || self.committed.load(Ordering::Acquire) != offset).then_some(offset)
    }

    /// The offset to commit when the queue is given up: also one that was committed without an answer, as
    /// whoever comes next may ask before that commit is taken.
    pub(crate) fn unsettled(&self) -> Option<u64> {
        let unanswered = self.unanswered.load(Ordering::Acquire);
        self.uncommitted().or_else(|| unanswered.then(|| self.position()))
    }

    pub(crate) fn set_committed(&self, offset: u64, answered: bool) {
        self.unanswered.store(!answered, Ordering::Release);
        self.committed.store(offset, Ordering::Release);
    }

    /// The lowest offset that is not consumed.
    pub(crate) fn position(&self) -> u64 {
        match self.reset_to.load(Ordering::Acquire) {
            NONE => self.pending.lock().commit_offset(),
            offset => offset,
        }
    }

    /// Ends the worker, and makes `offset` the one to commit.
    pub(crate) fn reset(&self, offset: u64) {
        self.reset_to.store(offset, Ordering::Release);
        self.stop.stop();
    }

    /// The queue as tools show it.
    pub(crate) fn info(&self, now: Duration) -> ProcessQueueInfo {
        let signed = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
        let held = self.pending.lock().held();
        ProcessQueueInfo {
            cached_msg_count: i32::try_from(held.messages).unwrap_or(i32::MAX),
            cached_msg_max_offset: signed(held.last),
            cached_msg_min_offset: signed(held.first),
            cached_msg_size_in_mib: i32::try_from(held.bytes >> 20).unwrap_or(i32::MAX),
            commit_offset: signed(self.position()),
            droped: self.stop.is_stopped(),
            last_consume_timestamp: self.consumed_ms.load(Ordering::Relaxed),
            last_pull_timestamp: self.pulled_ms.load(Ordering::Relaxed),
            locked: self.is_locked(now),
            ..ProcessQueueInfo::default()
        }
    }

    /// Records whether the broker granted the lock.
    pub(crate) fn set_locked(&self, now: Option<Duration>) {
        let ms = now.map_or(-1, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        self.locked_ms.store(ms, Ordering::Release);
        if ms >= 0 {
            self.arrived.notify_one();
        }
    }

    /// Before the lock is given up.
    pub(crate) fn set_released(&self) {
        self.released.store(true, Ordering::Release);
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    pub(super) fn is_locked(&self, now: Duration) -> bool {
        let granted = self.locked_ms.load(Ordering::Acquire);
        u64::try_from(granted).is_ok_and(|ms| now < Duration::from_millis(ms) + limits::LOCK_LOST)
    }

    /// Whether no ordered listener runs now, and none will start as the queue is stopped. Waits up to
    /// half a second.
    pub(crate) async fn has_stopped_consuming(&self, clock: &env::Clock) -> bool {
        let wait = Duration::from_millis(500);
        clock.timeout(wait, self.consuming.lock()).await.is_ok()
    }

    pub(super) fn take(&self, count: usize) -> Vec<Received> {
        self.pending.lock().take(count).into_iter().map(|(_, message)| message).collect()
    }

    pub(super) fn done(&self, offsets: &[u64]) {
        let mut pending = self.pending.lock();
        offsets.iter().for_each(|offset| pending.done(*offset));
        drop(pending);
        self.room.notify_one();
    }

    pub(super) fn put_back(&self, mut message: Received) {
        message.set_reconsume_times(message.reconsume_times().saturating_add(1));
        self.pending.lock().put_back(message.offset(), message);
        self.arrived.notify_one();
    }
}
