//! The store: its parts, its threads, and what callers may do with it.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use env::Env;
use env::disk::LockGuard;
use env::tasks::ThreadHandle;
use parking_lot::Mutex;

use crate::append::{Append, Appender};
use crate::background::{Background, Task};
use crate::batch::Batch;
use crate::config_files::ConfigFiles;
use crate::delay::DelayLevels;
use crate::deleted::Deleted;
use crate::dispatch::Derived;
use crate::error::{AppendError, OpenError, ReadError};
use crate::flush::{Durable, Flush};
use crate::health::{Health, Marks, Watermarks};
use crate::index::Lookup;
use crate::limits;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::persist::Persist;
use crate::queue::{Queue, Queues};
use crate::read::{Get, Want};
use crate::readers::Readers;
use crate::refuse::Waits;
use crate::retention::{self, Retention};
use crate::search::Bound;
use crate::settings::StoreSettings;
use crate::wait::{Signal, Ticket};

/// The log and what is derived from it. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    running: Arc<Running>,
}

/// What all parts of the store share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) env: Env,
    /// As it was opened. Those that may change while running are read from `live`.
    pub(crate) settings: StoreSettings,
    /// As they are now.
    pub(crate) live: ArcSwap<StoreSettings>,
    pub(crate) delays: DelayLevels,
    pub(crate) config: ConfigFiles,
    pub(crate) log: Log,
    pub(crate) queues: Queues,
    pub(crate) derived: Derived,
    pub(crate) appender: Appender,
    pub(crate) marks: Marks,
    pub(crate) flush: Flush,
    pub(crate) persist: Persist,
    pub(crate) deleted: Deleted,
    /// Whether the directory was left by us, and not closed.
    pub(crate) crashed: bool,
    pub(crate) lost_power: bool,
    pub(crate) retention: Retention,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) background: Background,
    /// Wakes the keeper: a spare segment is wanted.
    pub(crate) keeper: Signal,
    /// Wakes the thread that ends waits.
    pub(crate) waits: Waits,
    /// Most bytes of the log that may await the device.
    pub(crate) dirty_limit: u64,
    /// Of the root directory, and of the log's.
    pub(crate) _locks: (LockGuard, Option<LockGuard>),
}

/// The threads. Dropped without [`Store::close`], they end without writing anything more, as in a crash.
#[derive(Debug)]
struct Running {
    inner: Arc<Inner>,
    threads: Mutex<Vec<ThreadHandle>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inner.tell_threads_to_end();
    }
}

impl Store {
    /// Opens the directory of the settings, recovers what it holds, and starts the store's threads.
    ///
    /// # Errors
    /// When the directory is in use, does not belong to this store's settings, or cannot be read.
    pub fn open(env: Env, settings: StoreSettings) -> Result<Store, OpenError> {
        let inner = Arc::new(crate::open::open(env, settings)?);
        let tasks = inner.env.tasks.clone();
        let thread = |name, body: fn(&Inner)| {
            let inner = Arc::clone(&inner);
            tasks.thread(name, move |_stop| body(&inner))
        };
        let mut threads = vec![
            thread("store-flush", |inner| inner.flush_until_stopped()),
            thread("store-queues", |inner| inner.write_derived_until_stopped()),
            thread("store-keeper", |inner| inner.keep_until_stopped()),
            thread("store-waits", |inner| inner.end_waits_until_stopped()),
        ];
        for _ in 0..limits::READER_THREADS {
            threads.push(thread("store-read", |inner| inner.background.work_until_closed()));
        }
        let running = Arc::new(Running { inner: Arc::clone(&inner), threads: Mutex::new(threads) });
        Ok(Store { inner, running })
    }

    /// The queue `id` of a topic; created empty, in memory, where it does not exist. Its file is made with
    /// its first message.
    pub fn queue(&self, topic: &str, id: u32) -> Arc<Queue> {
        self.inner.queues.get(topic, id)
    }

    /// The queue `id` of a topic, if it was written or asked for before.
    pub fn find_queue(&self, topic: &str, id: u32) -> Option<Arc<Queue>> {
        self.inner.queues.find(topic, id)
    }

    /// All queues, in no order.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        self.inner.queues.all()
    }

    /// Appends a batch: on the spot when nobody else is appending, else by whoever is. The order of
    /// calls of one thread is the order in the log. See [`Append::now`].
    ///
    /// # Panics
    /// If the batch is empty.
    pub fn append(&self, batch: Batch) -> Append {
        self.inner.append(batch)
    }

    /// Waits until the log is durable up to `end`, at most `syncFlushTimeout`.
    pub fn durable(&self, end: u64) -> Durable {
        Durable::new(Arc::clone(&self.inner), end)
    }

    /// Reads from `offset` on what `filter` takes by its tags code, at most what is wanted, and looking at
    /// 800 messages or `max_messages` at most. Never waits for the device.
    ///
    /// # Errors
    /// When the disk fails, or too many reads wait for it.
    pub fn get(
        &self,
        queue: &Arc<Queue>,
        offset: u64,
        want: Want,
        filter: &dyn Fn(i64) -> bool,
    ) -> Result<Get, ReadError> {
        self.inner.get(queue, offset, want, filter)
    }

    /// The record at a log offset; `None` where none starts or it cannot be seen. May wait for the device:
    /// from a task, call it through [`Store::background`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn record(&self, physical_offset: u64) -> Result<Option<Bytes>, ReadError> {
        self.inner.record(physical_offset)
    }

    /// Records with a key or tag, newest first, stored from `begin_ms` to `end_ms`; at most `max`, and
    /// never more than 64. May wait for the device, as [`Store::record`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn query(
        &self,
        topic: &str,
        lookup: Lookup<'_>,
        stored_ms: RangeInclusive<i64>,
        max: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        self.inner.query(topic, lookup, stored_ms, max)
    }

    /// Offset in a queue by store time: with [`Bound::Lower`] that of the first message stored at
    /// `stored_ms` or later, the max offset if there is none; with [`Bound::Upper`] that of the last
    /// message stored at `stored_ms` or before, the min offset if there is none. May wait for the device.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn search_time(
        &self,
        queue: &Queue,
        stored_ms: i64,
        bound: Bound,
    ) -> Result<u64, ReadError> {
        self.inner.search_time(queue, stored_ms, bound)
    }

    /// Forgets every message of a topic, durably: its queues become empty, and go on counting where they
    /// were, so that an offset never means two messages. The log keeps the records until they expire.
    /// Waits for the device, and no append ends meanwhile: call it through [`Store::background`].
    ///
    /// # Errors
    /// When the disk fails; after a crash the messages may be there again then.
    pub fn delete_topic(&self, topic: &str) -> io::Result<()> {
        let mut next = BTreeMap::new();
        let (emptied, below) = {
            let tail = self.inner.appender.lock();
            let all = self.queues();
            let emptied = all.iter().filter(|queue| queue.topic() == topic).try_for_each(|queue| {
                next.insert(queue.id(), queue.next());
                self.inner.queues.restart(queue, queue.next())
            });
            (emptied, tail.position)
        };
        // What was sent meanwhile waits, also where this has failed.
        self.inner.combine();
        emptied?;
        next.retain(|_, next| *next > 0);
        match next.is_empty() {
            true => Ok(()),
            false => self.inner.deleted.note(topic, below, next, self.inner.log.min_offset()),
        }
    }

    /// Whether it was not closed the last time, and no other program has been here since: there may be
    /// messages, accepted moments before that end, of whose topics no file knows.
    pub fn was_crashed(&self) -> bool {
        self.inner.crashed
    }

    /// Whether messages that were acknowledged may be lost: the machine ended before the store was closed, and
    /// answers did not wait for the device.
    pub fn may_have_lost(&self) -> bool {
        self.inner.lost_power && !self.inner.settings.sync()
    }

    /// Runs something that may wait for the device on one of the store's reader threads.
    ///
    /// # Errors
    /// When too much waits already, or the store is closed.
    pub fn background<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<Task<T>, ReadError> {
        let store = self.clone();
        self.inner.background.run(move || job(&store))
    }

    /// The configuration files of the directory.
    pub fn config(&self) -> ConfigFiles {
        self.inner.config.clone()
    }

    /// How far the store has got.
    pub fn watermarks(&self) -> Watermarks {
        let inner = &self.inner;
        Watermarks {
            min: inner.log.min_offset(),
            appended: inner.marks.appended(),
            durable: inner.marks.durable(),
            visible: inner.visible(),
            dispatched: inner.marks.dispatched(),
        }
    }

    /// Why appends are refused at the moment, if they are.
    pub fn refusal(&self) -> Option<AppendError> {
        self.inner.refusal().err()
    }

    /// Waits until the store fails for good, and returns why: the process should end then.
    pub async fn failed(&self) -> Arc<str> {
        let mut ticket: Option<Ticket> = None;
        let health = &self.inner.health;
        std::future::poll_fn(|cx| {
            health.watchers.register(&mut ticket, u64::MAX, cx.waker());
            match health.reason() {
                Some(reason) => std::task::Poll::Ready(reason),
                None => std::task::Poll::Pending,
            }
        })
        .await
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &StoreSettings {
        &self.inner.settings
    }

    /// The settings in effect: as it was opened, and what was changed since.
    pub fn live_settings(&self) -> Arc<StoreSettings> {
        self.inner.live.load_full()
    }

    /// Takes over those of the settings that may change while running, from the next look at the disk on.
    pub fn change_settings(&self, settings: StoreSettings) {
        self.inner.live.store(Arc::new(settings));
    }

    /// Tells the store who consumes: a segment whose messages are not consumed stays while the disk is full,
    /// unless `diskFullPolicy` is `delete-oldest`, and if it goes the log says who loses what. Until then
    /// nothing counts as consumed. Only the first call counts.
    pub fn set_readers(&self, readers: Arc<Readers>) {
        // A second one has nothing to add: there is one broker.
        let _ = self.inner.retention.readers.set(readers);
    }

    /// Deletes log files past their time now, whatever the hour, and what refers to them. May wait for
    /// the device: from a task, call it through [`Store::background`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn delete_expired(&self) -> io::Result<()> {
        self.inner.delete_expired()
    }

    /// Deletes queue and index files that refer to deleted log files only. May wait for the device, as
    /// [`Store::delete_expired`].
    ///
    /// # Errors
    /// When the disk fails.
    pub fn clean_queues(&self) -> io::Result<()> {
        self.inner.clean_queues()
    }

    /// The delays of the delay levels.
    pub fn delays(&self) -> &DelayLevels {
        &self.inner.delays
    }

    /// Stops appends, writes and syncs everything, and ends the threads; blocks until that is done. Other
    /// clones can still read what is in memory.
    pub fn close(self) {
        self.end();
    }

    /// The same where nobody has used it: if it was not closed before ([`Store::was_crashed`]), it is not now
    /// either. Who opens it next has to see to what the crash left.
    pub fn close_unused(self) {
        if self.inner.crashed {
            self.inner.health.fail();
        }
        self.end();
    }

    fn end(&self) {
        let inner = &self.inner;
        inner.health.stop("it is being closed");
        inner.refuse_all_pending();
        inner.tell_threads_to_end();
        let threads = std::mem::take(&mut *self.running.threads.lock());
        threads.into_iter().for_each(ThreadHandle::join);
        inner.finish();
    }
}

impl Inner {
    /// Log offset up to which records may be seen.
    pub(crate) fn visible(&self) -> u64 {
        if self.settings.sync() { self.marks.durable() } else { self.marks.appended() }
    }

    fn tell_threads_to_end(&self) {
        self.health.close();
        self.flush.wake();
        self.queues.shared.backlog.wake();
        self.keeper.raise();
        self.waits.ending.raise();
        self.waits.begun.raise();
        self.background.close();
    }

    /// Stops the store for good: nothing is appended any more.
    pub(crate) fn stop(&self, reason: &str) {
        self.health.fail();
        if self.health.stop(reason) {
            tracing::error!(reason, "the store stops");
        }
        self.health.watchers.wake_all();
        self.flush.wake_waiters();
        self.refuse_all_pending();
    }

    /// What a failed write of the log means: a full disk passes, anything else does not.
    pub(crate) fn write_failed(&self, error: &std::io::Error) -> AppendError {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        if matches!(error.kind(), StorageFull | QuotaExceeded) {
            return AppendError::DiskFull(self.run_out());
        }
        let reason = format!("cannot write the commit log: {error}");
        self.stop(&reason);
        AppendError::Stopped(reason.into())
    }

    /// Body of the keeper's thread: the spare segment, what waits for it, and the disk's room.
    fn keep_until_stopped(&self) {
        while !self.health.is_closing() {
            let raised = self.keeper.wait(retention::LOOK);
            if raised && !self.health.is_closing() {
                self.prepare_spare();
                // Where there is no spare one, the append tries again and is told why.
                self.combine_waiting();
                if self.log.is_lacking() {
                    self.retention.look_now();
                }
            }
            self.keep_disk();
        }
    }
}
