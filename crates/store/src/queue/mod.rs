//! Consume queues: for each topic and queue id, where its messages lie in the log.
//!
//! A queue's newest units are in memory, in its tail; the queue writer moves them to its files soon
//! after. Readers look into the tail first. Invariants: unit `n` belongs to the record with queue
//! offset `n`; units are dense; `visible <= next`; nothing from `visible` on is ever shown.

pub(crate) mod files;
mod table;
pub(crate) mod unit;
mod writer;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use smallvec::SmallVec;

pub(crate) use self::files::Read;
use self::files::{Files, FilesShared};
pub(crate) use self::table::Queues;
pub(crate) use self::unit::Unit;
use self::writer::Backlog;
use crate::index;
use crate::wait::{Ticket, WaitList};

/// One queue of one topic.
#[derive(Debug)]
pub struct Queue {
    topic: Box<str>,
    /// See [`index::key_prefix`].
    key_prefix: i32,
    id: u32,
    /// Queue offset of the next message. Changed by the owner of the log's tail only.
    next: AtomicU64,
    /// Queue offset up to which messages may be seen.
    visible: AtomicU64,
    tail: Mutex<Tail>,
    pub(crate) files: Files,
    arrivals: WaitList,
    /// Queue offset of the first message that was still there when the keeper looked last.
    min: AtomicU64,
    /// Whether it is on the writer's list.
    listed: AtomicBool,
    shared: Arc<Shared>,
}

/// What all queues have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) files: Arc<FilesShared>,
    pub(crate) backlog: Backlog,
}

/// Units that are not in a file yet.
#[derive(Debug)]
struct Tail {
    /// Queue offset of the first of them.
    base: u64,
    units: VecDeque<Unit>,
}

impl Queue {
    fn new(shared: Arc<Shared>, topic: &str, id: u32, first: Option<u64>, next: u64) -> Queue {
        Queue {
            topic: topic.into(),
            key_prefix: index::key_prefix(topic),
            id,
            next: AtomicU64::new(next),
            visible: AtomicU64::new(next),
            tail: Mutex::new(Tail { base: next, units: VecDeque::new() }),
            files: Files::new(Arc::clone(&shared.files), topic, id, first),
            arrivals: WaitList::default(),
            min: AtomicU64::new(first.unwrap_or(next)),
            listed: AtomicBool::new(false),
            shared,
        }
    }

    /// Topic that it belongs to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Hash of what all keys of its messages begin with.
    pub(crate) fn key_prefix(&self) -> i32 {
        self.key_prefix
    }

    /// Number of the queue within its topic.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Queue offset behind the last message that may be seen: with synchronous flush, the last durable
    /// one.
    pub fn max_offset(&self) -> u64 {
        self.visible.load(Ordering::SeqCst)
    }

    /// Queue offset of the first message that is still there; equals [`Queue::max_offset`] when there is
    /// none. Rises a moment after the log has lost its oldest segment.
    pub fn min_offset(&self) -> u64 {
        self.min.load(Ordering::Acquire)
    }

    /// Looks up the lowest offset, as the log starts at `log_min` now. Waits for the device.
    pub(crate) fn follow_log(&self, log_min: u64) -> io::Result<()> {
        // What can be seen has its unit; an offset that was just assigned may have none yet.
        let end = self.max_offset();
        let start = self.first().max(self.min_offset());
        let min = self.partition(start, end, |unit| unit.physical < log_min)?;
        // A topic may be deleted at the same time, which makes it higher.
        self.min.fetch_max(min, Ordering::AcqRel);
        Ok(())
    }

    /// Queue offset of the first unit, real or blank, that exists.
    pub(crate) fn first(&self) -> u64 {
        // The tail first: the writer makes the first file before it moves the tail's units there, so that a
        // base read before finding no file is that of units still in memory.
        let base = self.tail.lock().base;
        self.files.first().unwrap_or(base)
    }

    /// The first offset in `start..end` whose unit is not `before`, by bisection; `end` if all are. Blank and
    /// missing units are passed over: those behind damage say nothing of the units before them. Reads the device
    /// where needed.
    pub(crate) fn partition(
        &self,
        start: u64,
        end: u64,
        before: impl Fn(Unit) -> bool,
    ) -> io::Result<u64> {
        let (mut low, mut high) = (start, end);
        while low < high {
            // The first probe is the start: mostly nothing has to be skipped.
            let middle = if low == start && high == end { low } else { low + (high - low) / 2 };
            match self.first_real(middle, high)? {
                Some((at, unit)) if before(unit) => low = at + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(self.first_real(low, end)?.map_or(end, |(at, _)| at))
    }

    /// The first unit in `start..end` that stands for a message, and its offset.
    fn first_real(&self, start: u64, end: u64) -> io::Result<Option<(u64, Unit)>> {
        const CHUNK: u64 = 64;
        let mut at = start;
        while at < end {
            let mut units: SmallVec<[Unit; CHUNK as usize]> = SmallVec::new();
            let read = self.units(at, CHUNK.min(end - at) as usize, true, &mut units)?;
            if let Some(real) = units.iter().position(|unit| !unit.is_blank()) {
                return Ok(Some((at + real as u64, units[real])));
            }
            at = match read {
                // Without a unit here there is none up to the next file; behind the last are those in memory.
                Read::Missing | Read::Units(0) => {
                    self.files.next(at)?.unwrap_or_else(|| self.tail.lock().base).max(at + 1)
                }
                Read::Units(_) | Read::Cold => at + units.len() as u64,
            };
        }
        Ok(None)
    }

    /// Deletes files whose units are all `gone`, of those that are in files: what the newest file lacks is in
    /// memory yet. Waits for the device.
    pub(crate) fn expire(&self, gone: impl Fn(Unit) -> bool) -> io::Result<usize> {
        let in_files = self.tail.lock().base;
        self.files.expire(in_files, gone)
    }

    /// Completes when a message with offset `offset` or a later one can be seen.
    pub fn arrived(self: &Arc<Self>, offset: u64) -> Arrived {
        Arrived { queue: Arc::clone(self), need: offset.saturating_add(1), ticket: None }
    }

    /// Queue offset of the next message.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Takes the next offset; by the owner of the log's tail only.
    pub(crate) fn assign(&self) -> u64 {
        let offset = self.next();
        self.next.store(offset + 1, Ordering::Relaxed);
        offset
    }

    /// Gives the offset that was taken last back; by the owner of the log's tail only.
    pub(crate) fn unassign(&self) {
        self.next.store(self.next() - 1, Ordering::Relaxed);
    }

    /// Adds the unit of `offset`, which must be the next one.
    pub(crate) fn push(self: &Arc<Self>, offset: u64, unit: Unit) {
        self.shared.backlog.count();
        {
            let mut tail = self.tail.lock();
            assert_eq!(offset, tail.base + tail.units.len() as u64, "consume queues are dense");
            tail.units.push_back(unit);
        }
        self.shared.backlog.list(self);
    }

    /// Makes messages below `max` visible and moves the wakers of those who waited for one to `wakers`.
    pub(crate) fn publish(&self, max: u64, wakers: &mut Vec<Waker>) {
        // The queue of a topic that was deleted meanwhile ends higher.
        self.visible.fetch_max(max, Ordering::SeqCst);
        self.arrivals.take(max, wakers);
    }

    /// Adds units from `index` on to `out`, at most `max`; may add fewer.
    pub(crate) fn units(
        &self,
        index: u64,
        max: usize,
        wait: bool,
        out: &mut SmallVec<[Unit; 64]>,
    ) -> io::Result<Read> {
        let in_files = {
            let tail = self.tail.lock();
            if let Some(skip) = index.checked_sub(tail.base) {
                let before = out.len();
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                out.extend(tail.units.iter().skip(skip).take(max).copied());
                return Ok(Read::Units(out.len() - before));
            }
            usize::try_from(tail.base - index).unwrap_or(usize::MAX)
        };
        self.files.read(index, max.min(in_files), wait, out)
    }

    /// Sets where the queue ends; in recovery, before anything is appended.
    pub(crate) fn reset(&self, next: u64) {
        let mut tail = self.tail.lock();
        assert!(tail.units.is_empty(), "a queue is reset before anything is added");
        tail.base = next;
        self.next.store(next, Ordering::Relaxed);
        self.visible.store(next, Ordering::SeqCst);
        self.min.store(next, Ordering::Release);
    }
}

/// Completes when a message has arrived; see [`Queue::arrived`]. May be dropped at any time.
#[derive(Debug)]
pub struct Arrived {
    queue: Arc<Queue>,
    need: u64,
    ticket: Option<Ticket>,
}

impl Future for Arrived {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.queue.max_offset() >= this.need {
            return Poll::Ready(());
        }
        this.queue.arrivals.register(&mut this.ticket, this.need, cx.waker());
        if this.queue.max_offset() >= this.need { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            self.queue.arrivals.leave(ticket);
        }
    }
}
