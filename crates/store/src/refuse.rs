//! Ending waits: batches that nobody could append in time, and tasks that wait for the device.
//!
//! One thread does nothing else and never waits for the device: that the device hangs is what most of them wait for.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::append::Waiting;
use crate::batch::Batch;
use crate::error::AppendError;
use crate::limits;
use crate::store::Inner;
use crate::wait::Signal;

/// What wakes the thread.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Somebody waits now.
    pub(crate) begun: Signal,
    /// The store ends.
    pub(crate) ending: Signal,
}

impl Inner {
    /// Body of the thread.
    pub(crate) fn end_waits_until_stopped(&self) {
        while !self.health.is_closing() {
            // Nobody waits, mostly: then no thread wakes up for it either.
            self.waits.begun.wait_raised();
            self.waits.ending.wait(limits::LOOK);
            self.flush.wake_waiters();
            self.expire_pending();
            if self.appender.waiting().0 > 0 {
                self.waits.begun.raise();
            }
        }
    }

    /// Refuses batches that have waited too long for the budget, a file or the tail.
    fn expire_pending(&self) {
        let limit = self.settings.append_timeout();
        self.refuse_pending(limit, |batch, waited| {
            let appended = self.marks.appended();
            let dirty = appended.saturating_sub(self.marks.durable());
            let (waited_ms, limit_ms) = (waited.as_millis() as u64, limit.as_millis() as u64);
            let lacks_file = !self.log.has_files(appended, batch.bytes() as u64);
            if lacks_file || dirty <= self.dirty_limit / 2 {
                return AppendError::Busy {
                    cause: match lacks_file {
                        true => "the next file of the log is not there, its fsync takes long",
                        false => "another append holds the log, its write takes long",
                    },
                    value: waited_ms,
                    limit: limit_ms,
                    unit: "ms of waiting",
                    key: "osPageCacheBusyTimeOutMills",
                };
            }
            let sync_ms = self.flush.sync_ms(self.env.clock.mono());
            let dirty_limit = self.dirty_limit;
            AppendError::Behind { sync_ms, dirty, dirty_limit, waited_ms, limit_ms }
        });
    }

    /// Refuses what still waits, because the store has stopped.
    pub(crate) fn refuse_all_pending(&self) {
        if let Some(reason) = self.health.reason() {
            self.refuse_pending(Duration::ZERO, |_, _| AppendError::Stopped(Arc::clone(&reason)));
        }
    }

    /// Refuses batches that have waited at least so long.
    fn refuse_pending(&self, min: Duration, error: impl Fn(&Batch, Duration) -> AppendError) {
        let now = self.env.clock.mono();
        let mut wakers = Vec::new();
        loop {
            let mut pending = self.appender.pending.lock();
            let waited = |first: &Waiting| now.saturating_sub(first.since);
            if pending.batches.front().is_none_or(|first| waited(first) < min) {
                break;
            }
            let first = pending.batches.pop_front().expect("there is a front");
            pending.bytes -= first.batch.bytes();
            drop(pending);
            self.metrics.append_waited(waited(&first));
            first.slot.fill(Err(error(&first.batch, waited(&first))), &mut wakers);
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}
