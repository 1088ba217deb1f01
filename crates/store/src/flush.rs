//! The flusher: makes the log durable, off the append path.
//!
//! One thread. With synchronous flush it syncs whenever something was appended: what comes during one
//! sync shares the next. With asynchronous flush it syncs every `flushIntervalCommitLog` and tells the
//! device to start writing every 16 MiB in between. A failed sync stops the store: what the kernel
//! holds is then unknown.
//!
//! A sync's mark can only claim what earlier syncs made durable. With asynchronous flush, a sync with
//! nothing to write follows the last one, so that a log at rest claims all it has.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::mark::Mark;
use crate::queue::Queue;
use crate::store::Inner;
use crate::wait::{Signal, Ticket, WaitList};

/// The flusher's state.
#[derive(Debug)]
pub(crate) struct Flush {
    signal: Signal,
    /// Messages that become visible when they are durable, in log order; with synchronous flush only.
    pub(crate) unsynced: Mutex<VecDeque<Unsynced>>,
    /// Tasks that wait for the log to be durable up to an offset.
    waiters: WaitList,
    /// Log offset that the newest durable mark claims, with asynchronous flush.
    claimed: AtomicU64,
    /// Duration of the last sync, ms.
    last_ms: AtomicU64,
    /// When the present sync began, ms of the clock; `u64::MAX` while there is none.
    began_ms: AtomicU64,
}

/// A queue whose messages below `max` become visible when the log is durable up to `end`.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pub(crate) queue: Arc<Queue>,
    pub(crate) max: u64,
    pub(crate) end: u64,
}

impl Default for Flush {
    fn default() -> Flush {
        Flush {
            signal: Signal::default(),
            unsynced: Mutex::default(),
            waiters: WaitList::default(),
            claimed: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            began_ms: AtomicU64::new(u64::MAX),
        }
    }
}

impl Flush {
    /// Tells the flusher that there is something to do.
    pub(crate) fn wake(&self) {
        self.signal.raise();
    }

    /// Wakes those whose time may be over.
    pub(crate) fn wake_waiters(&self) {
        self.waiters.wake_all();
    }

    /// How long the last sync took, or the present one has taken, if that is longer; ms.
    pub(crate) fn sync_ms(&self, now: Duration) -> u64 {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let present = now.saturating_sub(self.began_ms.load(Ordering::Relaxed));
        present.max(self.last_ms.load(Ordering::Relaxed))
    }
}

impl Inner {
    /// Body of the flusher's thread.
    pub(crate) fn flush_until_stopped(&self) {
        let interval = Duration::from_millis(self.settings.flush_interval_ms);
        let mut last = self.env.clock.mono();
        let mut started = self.marks.durable();
        while !self.health.is_closing() {
            let waited = self.env.clock.mono().saturating_sub(last);
            self.flush.signal.wait(interval.saturating_sub(waited));
            let now = self.env.clock.mono();
            let due = now.saturating_sub(last) >= interval;
            if due {
                last = now;
            }
            if self.settings.sync() || due {
                self.sync_log();
                started = started.max(self.marks.durable());
            } else {
                started = self.start_writeback(started);
            }
        }
    }

    /// Makes everything that is appended now durable. Stops the store where that fails.
    pub(crate) fn sync_log(&self) {
        if self.health.has_failed() {
            return;
        }
        let durable = self.marks.durable();
        let mark = if self.settings.sync() {
            let mut tail = self.appender.lock();
            let checksum = std::mem::take(&mut tail.unsynced).finalize();
            let mark = Mark { durable, end: tail.position, checksum };
            drop(tail);
            self.combine();
            mark
        } else {
            Mark { durable, end: durable, checksum: 0 }
        };
        let end = if self.settings.sync() { mark.end } else { self.marks.appended() };
        let claimed = self.settings.sync() || self.flush.claimed.load(Ordering::Relaxed) == durable;
        if end == durable && claimed {
            return;
        }
        let begin = self.env.clock.mono();
        self.flush.began_ms.store(begin.as_millis() as u64, Ordering::Relaxed);
        let synced = self.sync_range(&mark, end);
        self.flush.began_ms.store(u64::MAX, Ordering::Relaxed);
        if let Err(error) = synced {
            self.stop(&format!("cannot sync the commit log: {error}"));
            return;
        }
        let took = self.env.clock.mono().saturating_sub(begin);
        self.metrics.synced(took);
        self.flush.last_ms.store(took.as_millis() as u64, Ordering::Relaxed);
        self.flush.claimed.store(durable, Ordering::Relaxed);
        self.set_durable(end);
        self.combine_waiting();
    }

    fn sync_range(&self, mark: &Mark, end: u64) -> io::Result<()> {
        let segments = self.log.segments();
        // The reference fills a segment to its last bytes: no mark may be written over its records.
        if let Some(segment) = segments.find(end - 1).filter(|s| end <= s.capacity_end()) {
            mark.write(&*segment.file.keep()?, segment.size)?;
        }
        let overlaps = |base: u64, segment_end: u64| base < end && segment_end > mark.durable;
        for segment in segments.0.iter().filter(|segment| overlaps(segment.base, segment.end())) {
            segment.file.sync_data()?;
            if segment.end() <= end {
                segment.file.close();
            }
        }
        Ok(())
    }

    /// Makes visible what waited for the device, moves the durable watermark, and wakes who waited: in
    /// this order, so that whoever sees his message durable also finds it in its queue.
    fn set_durable(&self, durable: u64) {
        let mut wakers = Vec::new();
        if self.settings.sync() {
            let mut unsynced = self.flush.unsynced.lock();
            while let Some(first) = unsynced.pop_front_if(|first| first.end <= durable) {
                first.queue.publish(first.max, &mut wakers);
            }
        }
        self.marks.set_durable(durable);
        self.flush.waiters.take(durable, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Tells the device to write what was appended since `from`; returns how far.
    fn start_writeback(&self, from: u64) -> u64 {
        let end = self.marks.appended();
        let segments = self.log.segments();
        for segment in segments.0.iter().filter(|s| s.base < end && s.end() > from) {
            let start = from.max(segment.base);
            let len = end.min(segment.end()) - start;
            if let Err(error) = segment.file.start_writeback(start - segment.base, len) {
                // Only a hint: the next sync finds out whether the disk works.
                tracing::debug!(%error, "cannot start writing the commit log");
            }
        }
        end
    }
}

/// How a wait for the device ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything up to the offset survives a power cut.
    Durable,
    /// `syncFlushTimeout` passed first. The messages are stored, and may become durable yet.
    TimedOut,
    /// The store stopped; what it had appended may be lost in a power cut.
    Stopped,
}

/// Waits until the log is durable up to an offset; see [`crate::Store::durable`].
#[derive(Debug)]
pub struct Durable {
    inner: Arc<Inner>,
    end: u64,
    deadline: Duration,
    ticket: Option<Ticket>,
}

impl Durable {
    pub(crate) fn new(inner: Arc<Inner>, end: u64) -> Durable {
        let timeout = Duration::from_millis(inner.settings.sync_flush_timeout_ms);
        let deadline = inner.env.clock.mono() + timeout;
        Durable { inner, end, deadline, ticket: None }
    }

    fn state(&self) -> Option<Durability> {
        if self.inner.marks.durable() >= self.end {
            Some(Durability::Durable)
        } else if self.inner.health.check_running().is_err() {
            Some(Durability::Stopped)
        } else if self.inner.env.clock.mono() >= self.deadline {
            Some(Durability::TimedOut)
        } else {
            None
        }
    }
}

impl Future for Durable {
    type Output = Durability;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Durability> {
        let this = self.get_mut();
        if let Some(state) = this.state() {
            return Poll::Ready(state);
        }
        this.inner.flush.waiters.register(&mut this.ticket, this.end, cx.waker());
        this.inner.waits.begun.raise();
        this.state().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            self.inner.flush.waiters.leave(ticket);
        }
    }
}
