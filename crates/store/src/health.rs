//! Whether the store takes appends, and the watermarks of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::AppendError;
use crate::room::Shortage;
use crate::wait::WaitList;

/// What stands in the way of appends.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Whether anything does, so that the usual check is one load.
    troubled: AtomicBool,
    closing: AtomicBool,
    /// Whether the log failed, as opposed to being closed.
    failed: AtomicBool,
    stopped: Mutex<Option<Arc<str>>>,
    /// What is missing while the disk is full.
    full: Mutex<Option<Shortage>>,
    /// Tasks that wait for the store to stop.
    pub(crate) watchers: WaitList,
}

impl Health {
    /// Why nothing can be appended at the moment.
    pub(crate) fn check(&self) -> Result<(), AppendError> {
        if !self.troubled.load(Ordering::Acquire) {
            return Ok(());
        }
        self.check_running()?;
        self.full.lock().map_or(Ok(()), |shortage| Err(AppendError::DiskFull(shortage)))
    }

    /// Why nothing will ever be appended again.
    pub(crate) fn check_running(&self) -> Result<(), AppendError> {
        match self.reason() {
            Some(reason) => Err(AppendError::Stopped(reason)),
            None => Ok(()),
        }
    }

    /// Why the store stopped.
    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        if !self.troubled.load(Ordering::Acquire) {
            return None;
        }
        self.stopped.lock().clone()
    }

    /// Notes that the log failed.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether the log failed: what the page cache holds is unknown then.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Stops appending for good. The first reason stays. Returns whether this was the first.
    pub(crate) fn stop(&self, reason: &str) -> bool {
        let mut stopped = self.stopped.lock();
        let first = stopped.is_none();
        stopped.get_or_insert_with(|| reason.into());
        self.troubled.store(true, Ordering::Release);
        first
    }

    /// Stops appending while the disk is full, or allows it again. Returns whether it was full.
    pub(crate) fn set_full(&self, shortage: Option<Shortage>) -> bool {
        let stopped = self.stopped.lock();
        let was = std::mem::replace(&mut *self.full.lock(), shortage);
        self.troubled.store(shortage.is_some() || stopped.is_some(), Ordering::Release);
        was.is_some()
    }

    /// Tells the threads to end.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }
}

/// How far the log has got; all are log offsets. Every append writes them, so nothing else lies beside them.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Marks {
    appended: AtomicU64,
    durable: AtomicU64,
    dispatched: AtomicU64,
    /// Store timestamp of the last record.
    last_ms: AtomicI64,
    /// Records and their bytes, since the store was opened.
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Marks {
    /// Marks of a log that was recovered up to `end`.
    pub(crate) fn new(end: u64, last_ms: i64) -> Marks {
        Marks {
            appended: AtomicU64::new(end),
            durable: AtomicU64::new(end),
            dispatched: AtomicU64::new(end),
            last_ms: AtomicI64::new(last_ms),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Counts appended records; by the owner of the log's tail only.
    pub(crate) fn count(&self, records: usize, bytes: usize) {
        let add = |counter: &AtomicU64, more: usize| {
            counter.store(counter.load(Ordering::Relaxed) + more as u64, Ordering::Relaxed);
        };
        add(&self.records, records);
        add(&self.bytes, bytes);
    }

    /// Records and their bytes, since the store was opened.
    pub(crate) fn counted(&self) -> (u64, u64) {
        (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    pub(crate) fn dispatched(&self) -> u64 {
        self.dispatched.load(Ordering::Acquire)
    }

    pub(crate) fn set_dispatched(&self, end: u64) {
        self.dispatched.store(end, Ordering::Release);
    }

    pub(crate) fn last_ms(&self) -> i64 {
        self.last_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    pub(crate) fn set_appended(&self, end: u64, last_ms: i64) {
        self.last_ms.store(last_ms, Ordering::Relaxed);
        self.appended.store(end, Ordering::Release);
    }

    pub(crate) fn set_durable(&self, end: u64) {
        assert!(end >= self.durable(), "what is durable stays so");
        self.durable.store(end, Ordering::SeqCst);
    }
}

/// How far the store has got; all are log offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// First byte that is still there.
    pub min: u64,
    /// Written into the page cache.
    pub appended: u64,
    /// Synced to the device.
    pub durable: u64,
    /// Shown to readers.
    pub visible: u64,
    /// In the files of consume queues and index; what is younger is in memory, and derived anew after a
    /// crash.
    pub dispatched: u64,
}
