//! Appending by flat combining: whoever holds the tail appends what the others have queued.
//!
//! [`Inner::append`] never waits for the tail's lock. With the lock free and nobody queued, it writes its
//! batch on the spot; otherwise the batch joins the queue, and the holder of the lock, or the next one,
//! appends it in the same write as its own. A batch whose file is not there yet waits in the queue too: the
//! keeper makes the file. Under the lock: queue offsets, the patching of three fields
//! per record, one write per segment touched, the derived units, and the watermarks. Wakers are woken
//! after the lock is released.
//!
//! Nothing of a batch is visible unless all of it was written. What a failed write may have left behind
//! the tail is made zeros before the next write, so that it is never taken for records.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use wire::record::{self, BLANK_SIZE, Stamp};

use crate::batch::{Appended, Batch, Entry};
use crate::dispatch::Derivation;
use crate::error::AppendError;
use crate::flush::Unsynced;
use crate::limits;
use crate::queue::{Unit, files::zero_from};
use crate::segment::Segment;
use crate::store::Inner;
use crate::wait::Slot;

/// Where the result of a waiting batch appears.
pub(crate) type BatchSlot = Slot<Result<Appended, AppendError>>;

/// The two locks of appending. Order: `tail`, then `pending`, then that of the log's list of files; `pending`
/// is held for a push or pop only.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) pending: Mutex<Pending>,
    tail: Mutex<Tail>,
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) batches: VecDeque<Waiting>,
    pub(crate) bytes: usize,
}

/// A batch that waits for the holder of the tail.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) batch: Batch,
    pub(crate) slot: Arc<BatchSlot>,
    pub(crate) since: Duration,
}

/// The end of the log, owned by one thread at a time.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Log offset of the next record.
    pub(crate) position: u64,
    /// The segment that was written last.
    segment: Option<Arc<Segment>>,
    /// End of what a failed write may have left behind `position`.
    scrub: Option<u64>,
    /// Checksum of what was appended since the last sync began, with synchronous flush.
    pub(crate) unsynced: crc32fast::Hasher,
    /// Batches of the present round; empty between rounds.
    round: Vec<Batch>,
    slots: Vec<Arc<BatchSlot>>,
    /// Since when each of them has waited.
    since: Vec<Duration>,
    wakers: Vec<Waker>,
}

#[cfg(test)]
impl Tail {
    /// Whether a failed write may have left something behind the end.
    pub(crate) fn is_to_be_cleared(&self) -> bool {
        self.scrub.is_some()
    }
}

/// Whose thread appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// One that others depend on: it never waits for the device.
    Caller,
    /// One of the store's.
    Store,
}

/// Where a round crosses into the next segment.
struct Cut {
    /// The record that opens the next segment: its batch, and its first byte there.
    batch: usize,
    byte: usize,
    /// Log offset of the filler.
    filler: u64,
}

/// Where the records of a round go.
struct Plan {
    cuts: SmallVec<[Cut; 4]>,
    end: u64,
}

/// The result of [`crate::Store::append`]: there at once, or when the thread that has the tail has
/// appended the batch. Dropping it changes nothing: the batch is appended all the same.
#[derive(Debug)]
pub struct Append(State);

#[derive(Debug)]
enum State {
    Ready(Option<Result<Appended, AppendError>>),
    Waiting(Arc<BatchSlot>),
}

impl Append {
    fn ready(result: Result<Appended, AppendError>) -> Append {
        Append(State::Ready(Some(result)))
    }

    /// The result if it is there already, else the future itself.
    ///
    /// # Errors
    /// With the future that has to be awaited.
    pub fn now(self) -> Result<Result<Appended, AppendError>, Append> {
        let result = match &self.0 {
            State::Ready(_) => None,
            State::Waiting(slot) => slot.take(),
        };
        match (self.0, result) {
            (State::Ready(Some(result)), _) | (State::Waiting(_), Some(result)) => Ok(result),
            (state, None) => Err(Append(state)),
            (State::Ready(None), Some(_)) => unreachable!("a ready result has no slot"),
        }
    }
}

impl Future for Append {
    type Output = Result<Appended, AppendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            State::Ready(result) => {
                Poll::Ready(result.take().expect("a future is not polled after it was ready"))
            }
            State::Waiting(slot) => slot.poll(cx).map(|result| {
                result.expect("the store fills the slot of every batch that it took")
            }),
        }
    }
}

impl Appender {
    pub(crate) fn new(position: u64, segment: Option<Arc<Segment>>) -> Appender {
        let tail = Tail {
            position,
            segment,
            scrub: None,
            unsynced: crc32fast::Hasher::new(),
            round: Vec::new(),
            slots: Vec::new(),
            since: Vec::new(),
            wakers: Vec::new(),
        };
        Appender { pending: Mutex::default(), tail: Mutex::new(tail) }
    }

    /// Batches that wait for the holder of the tail, and since when the first of them does.
    pub(crate) fn waiting(&self) -> (usize, Option<Duration>) {
        let pending = self.pending.lock();
        (pending.batches.len(), pending.batches.front().map(|first| first.since))
    }

    /// Waits for the tail; for threads of the store only.
    pub(crate) fn lock(&self) -> parking_lot::MutexGuard<'_, Tail> {
        self.tail.lock()
    }
}

impl Inner {
    /// See [`crate::Store::append`].
    pub(crate) fn append(&self, batch: Batch) -> Append {
        if let Err(error) = self.admit(&batch) {
            return Append::ready(Err(error));
        }
        if let Some(mut tail) = self.appender.tail.try_lock()
            && self.appender.pending.lock().batches.is_empty()
            && self.may_append(&tail, batch.bytes(), Thread::Caller)
        {
            tail.round.push(batch);
            let outcome = self.run(&mut tail);
            let batch = tail.round.pop().expect("a round keeps its batches");
            let result =
                outcome.map(|(store_timestamp, end)| Appended { batch, store_timestamp, end });
            self.metrics.append_waited(Duration::ZERO);
            self.unlock(tail);
            self.combine();
            return Append::ready(result);
        }
        let slot = Arc::new(BatchSlot::default());
        let queued = self.enqueue(batch, &slot);
        // Also where there was no place: whoever has the tail may not have seen it free, because we tried it.
        self.combine();
        match queued {
            Ok(()) => Append(State::Waiting(slot)),
            Err(error) => Append::ready(Err(error)),
        }
    }

    /// Refuses what cannot be appended whatever happens, or not now.
    fn admit(&self, batch: &Batch) -> Result<(), AppendError> {
        assert!(!batch.is_empty(), "a batch has at least one record");
        self.refusal()?;
        let limit =
            (self.log.segment_bytes - limits::MARK_BYTES - BLANK_SIZE as u64).min(i32::MAX as u64);
        let mut at = 0;
        while at < batch.len() {
            let group = batch.group(at);
            let size = (batch.range(group.end - 1).end - batch.range(at).start) as u64;
            if size > limit {
                return Err(AppendError::TooLarge { size, limit });
            }
            at = group.end;
        }
        Ok(())
    }

    /// Whether everything is refused now, and why.
    pub(crate) fn refusal(&self) -> Result<(), AppendError> {
        self.health.check()?;
        let units = self.queues.shared.backlog.units();
        if units > limits::UNITS_IN_MEMORY {
            return Err(AppendError::Busy {
                cause: "consume queues cannot be written as fast as messages arrive",
                value: units as u64,
                limit: limits::UNITS_IN_MEMORY as u64,
                unit: "entries",
                key: "limits::UNITS_IN_MEMORY",
            });
        }
        Ok(())
    }

    /// Whether so many bytes can be appended now: they may await the device, and nothing has to be waited for
    /// before, a file to be made or what a failed write left to be cleared, or the thread may.
    fn may_append(&self, tail: &Tail, bytes: usize, thread: Thread) -> bool {
        let (bytes, dirty) = (bytes as u64, tail.position.saturating_sub(self.marks.durable()));
        if dirty > 0 && dirty + bytes > self.dirty_limit {
            return false;
        }
        let goes = thread == Thread::Store
            || (tail.scrub.is_none() && self.log.has_files(tail.position, bytes));
        if !goes {
            // It makes the file, clears, and appends what waits.
            self.keeper.raise();
        }
        goes
    }

    fn enqueue(&self, batch: Batch, slot: &Arc<BatchSlot>) -> Result<(), AppendError> {
        let busy = |value: usize, limit: usize, unit, key| AppendError::Busy {
            cause: "too much waits to be appended",
            value: value as u64,
            limit: limit as u64,
            unit,
            key,
        };
        let mut pending = self.appender.pending.lock();
        let (count, bytes) = (pending.batches.len() + 1, pending.bytes + batch.bytes());
        if count > limits::PENDING_BATCHES {
            return Err(busy(count, limits::PENDING_BATCHES, "batches", "limits::PENDING_BATCHES"));
        }
        if bytes > limits::PENDING_BYTES && count > 1 {
            return Err(busy(bytes, limits::PENDING_BYTES, "bytes", "limits::PENDING_BYTES"));
        }
        pending.bytes = bytes;
        let (slot, since) = (Arc::clone(slot), self.env.clock.mono());
        pending.batches.push_back(Waiting { batch, slot, since });
        drop(pending);
        self.waits.begun.raise();
        Ok(())
    }

    /// Appends what is queued, unless another thread has the tail: then that one does it.
    pub(crate) fn combine(&self) {
        loop {
            // Pairs with the same fence on the other side: either we see its batch, or it sees the
            // tail free.
            fence(Ordering::SeqCst);
            if self.appender.pending.lock().batches.is_empty() {
                return;
            }
            fence(Ordering::SeqCst);
            let Some(mut tail) = self.appender.tail.try_lock() else { return };
            let progress = self.drain(&mut tail, Thread::Caller);
            self.unlock(tail);
            if !progress {
                return;
            }
        }
    }

    /// Appends what is queued, waiting for the tail and for files of the log; for threads of the store, when
    /// the budget has grown or a file is wanted.
    pub(crate) fn combine_waiting(&self) {
        if !self.appender.pending.lock().batches.is_empty() {
            let mut tail = self.appender.tail.lock();
            self.drain(&mut tail, Thread::Store);
            self.unlock(tail);
            self.combine();
        }
    }

    /// Appends queued batches in one round, as far as the budget goes. Returns whether there were any.
    fn drain(&self, tail: &mut Tail, thread: Thread) -> bool {
        {
            let mut pending = self.appender.pending.lock();
            let mut bytes = 0;
            while let Some(next) = pending.batches.front() {
                if bytes > limits::PENDING_BYTES
                    || !self.may_append(tail, bytes + next.batch.bytes(), thread)
                {
                    break;
                }
                let next = pending.batches.pop_front().expect("there is a front");
                pending.bytes -= next.batch.bytes();
                bytes += next.batch.bytes();
                tail.round.push(next.batch);
                tail.slots.push(next.slot);
                tail.since.push(next.since);
            }
        }
        if tail.round.is_empty() {
            return false;
        }
        let outcome = self.run(tail);
        let now = self.env.clock.mono();
        let Tail { round, slots, since, wakers, .. } = tail;
        since.drain(..).for_each(|at| self.metrics.append_waited(now.saturating_sub(at)));
        for (batch, slot) in round.drain(..).zip(slots.drain(..)) {
            let end = batch.entries.last().map(|last| last.physical_offset);
            let size = batch.range(batch.len() - 1).len() as u64;
            let result = outcome.clone().map(|(store_timestamp, _)| Appended {
                batch,
                store_timestamp,
                end: end.unwrap_or(0) + size,
            });
            slot.fill(result, wakers);
        }
        true
    }

    /// Releases the tail, then wakes who waited for what was appended.
    fn unlock(&self, mut tail: parking_lot::MutexGuard<'_, Tail>) {
        if tail.wakers.is_empty() {
            return;
        }
        let mut wakers = std::mem::take(&mut tail.wakers);
        drop(tail);
        wakers.drain(..).for_each(Waker::wake);
        if let Some(mut tail) = self.appender.tail.try_lock()
            && tail.wakers.capacity() == 0
        {
            tail.wakers = wakers;
        }
    }

    /// Appends the batches of the round. Returns their store timestamp and the new end of the log.
    fn run(&self, tail: &mut Tail) -> Result<(i64, u64), AppendError> {
        self.health.check()?;
        let store_timestamp = self.env.clock.wall_ms();
        let start = tail.position;
        let plan = stamp(&mut tail.round, start, self.log.segment_bytes, store_timestamp);
        if let Err(error) = self.write(tail, &plan) {
            for batch in &tail.round {
                let queued = (0..batch.len()).filter(|index| batch.entries[*index].queued);
                queued.for_each(|index| batch.queue_of(index).unassign());
            }
            tail.scrub = Some(tail.scrub.unwrap_or(0).max(plan.end));
            return Err(self.write_failed(&error));
        }
        tail.position = plan.end;
        self.derive(tail, store_timestamp);
        self.marks.set_appended(plan.end, store_timestamp);
        let (records, bytes) = tail
            .round
            .iter()
            .fold((0, 0), |(records, bytes), batch| (records + batch.len(), bytes + batch.bytes()));
        self.marks.count(records, bytes);
        if self.settings.sync()
            || plan.end / limits::WRITEBACK_STEP != start / limits::WRITEBACK_STEP
        {
            self.flush.wake();
        }
        if !plan.cuts.is_empty() {
            // However small the segments are, few of them may be ahead of what is derived: after a crash
            // the reference derives from its last ten at most.
            self.queues.shared.backlog.wake();
        }
        if !plan.cuts.is_empty() || crossed_spare_mark(start, plan.end, self.log.segment_bytes) {
            self.keeper.raise();
        }
        Ok((store_timestamp, plan.end))
    }

    /// Writes the round, a segment at a time.
    fn write(&self, tail: &mut Tail, plan: &Plan) -> io::Result<()> {
        self.scrub(tail)?;
        let Tail { round, segment, unsynced, position, .. } = tail;
        let sync = self.settings.sync();
        // Taken over when all is written: a round that failed is not part of what a sync covers.
        let mut checksum = unsynced.clone();
        // All files first: of a round that the disk has no room for, nothing is written.
        if !plan.cuts.is_empty() {
            let bytes = self.log.segment_bytes;
            let fillers = plan.cuts.iter().map(|cut| cut.filler - cut.filler % bytes + bytes);
            for base in std::iter::once(*position - *position % bytes).chain(fillers) {
                self.log.extend(base, &self.live.load())?;
            }
        }
        let (mut batch, mut byte, mut at) = (0, 0, *position);
        for cut in plan.cuts.iter().map(Some).chain([None]) {
            let (last, last_byte) = cut.map_or((round.len(), 0), |cut| (cut.batch, cut.byte));
            let filler = cut.map(|cut| blank(cut.filler, self.log.segment_bytes));
            let mut slices: SmallVec<[IoSlice<'_>; 16]> = SmallVec::new();
            while batch < last {
                slices.push(IoSlice::new(&round[batch].buf[byte..]));
                (batch, byte) = (batch + 1, 0);
            }
            if last_byte > byte {
                slices.push(IoSlice::new(&round[batch].buf[byte..last_byte]));
                byte = last_byte;
            }
            slices.extend(filler.iter().map(|filler| IoSlice::new(filler)));
            if slices.is_empty() {
                continue;
            }
            let base = at - at % self.log.segment_bytes;
            let target = match segment {
                Some(segment) if segment.base == base => segment,
                _ => segment.insert(self.log.extend(base, &self.live.load())?),
            };
            match &*slices {
                [one] => target.file.write_at(one, at - base)?,
                many => target.file.write_vectored_at(many, at - base)?,
            }
            if sync {
                slices.iter().for_each(|slice| checksum.update(slice));
            }
            at = base + self.log.segment_bytes;
        }
        *unsynced = checksum;
        Ok(())
    }

    /// Makes zeros of what a failed write left behind the tail. Durably, else a power cut may keep what is
    /// written next in one file and bring back what was left in another. The last file first, else, if the
    /// process ends meanwhile, it would be taken for what goes on behind a damage.
    pub(crate) fn scrub(&self, tail: &mut Tail) -> io::Result<()> {
        let Some(end) = tail.scrub else { return Ok(()) };
        let segments = self.log.segments();
        for segment in segments.0.iter().rev().filter(|segment| segment.end() > tail.position) {
            let from = tail.position.saturating_sub(segment.base);
            // The marks behind it are not the write's.
            let to =
                end.min(segment.end() - limits::MARK_BYTES).saturating_sub(segment.base).max(from);
            let file = segment.file.keep()?;
            zero_from(&file, from, to)?;
            file.sync_data()?;
        }
        tail.scrub = None;
        Ok(())
    }

    /// Derives from the round's records and makes them visible, or notes that a sync will.
    fn derive(&self, tail: &mut Tail, store_timestamp: i64) {
        let mut unsynced = self.settings.sync().then(|| self.flush.unsynced.lock());
        let mut deriving = self.derived.begin();
        for batch in &tail.round {
            for (index, entry) in batch.entries.iter().enumerate() {
                let size = batch.range(index).len() as u32;
                let queue = batch.queue_of(index);
                let tags = entry.tags.resolve(&self.delays, store_timestamp);
                let unit = Unit { physical: entry.physical_offset, size, tags };
                deriving.step(&Derivation {
                    queue,
                    queued: entry.queued,
                    queue_offset: entry.queue_offset,
                    unit,
                    store_timestamp,
                    hashes: batch.hashes_of(index),
                });
                let follows = |next: &Entry| next.queued && next.queue == entry.queue;
                if !entry.queued || batch.entries.get(index + 1).is_some_and(follows) {
                    continue;
                }
                match &mut unsynced {
                    None => queue.publish(entry.queue_offset + 1, &mut tail.wakers),
                    Some(list) => list.push_back(Unsynced {
                        queue: Arc::clone(queue),
                        max: entry.queue_offset + 1,
                        end: unit.end(),
                    }),
                }
            }
        }
    }
}

/// Gives every record its place and fills it in. Groups stay in one segment.
fn stamp(round: &mut [Batch], start: u64, segment_bytes: u64, store_timestamp: i64) -> Plan {
    let mut at = start;
    let mut plan = Plan { cuts: SmallVec::new(), end: start };
    for (index, batch) in round.iter_mut().enumerate() {
        let mut next = 0;
        while next < batch.len() {
            let group = batch.group(next);
            let bytes = batch.range(next).start..batch.range(group.end - 1).end;
            let segment_end = at - at % segment_bytes + segment_bytes;
            let needed = (bytes.len() + BLANK_SIZE) as u64;
            if at + needed > segment_end - limits::MARK_BYTES {
                plan.cuts.push(Cut { batch: index, byte: bytes.start, filler: at });
                at = segment_end;
            }
            for record in group {
                let range = batch.range(record);
                let entry = &mut batch.entries[record];
                entry.physical_offset = at;
                let queue = &batch.queues[entry.queue as usize];
                entry.queue_offset = if entry.queued { queue.assign() } else { 0 };
                let stamp = Stamp {
                    queue_offset: entry.queue_offset,
                    physical_offset: at,
                    store_timestamp,
                };
                at += range.len() as u64;
                let checksum = entry.checksum;
                record::patch(&mut batch.buf[range.clone()], &stamp);
                if checksum {
                    record::patch_property_crc(&mut batch.buf[range]);
                }
                next = record + 1;
            }
        }
    }
    plan.end = at;
    plan
}

/// The head of the filler at `at`.
fn blank(at: u64, segment_bytes: u64) -> [u8; BLANK_SIZE] {
    let remaining = segment_bytes - at % segment_bytes;
    let size = i32::try_from(remaining).expect("a segment has at most 1 GiB");
    let mut head = [0; BLANK_SIZE];
    head[..4].copy_from_slice(&size.to_be_bytes());
    head[4..].copy_from_slice(&record::MAGIC_BLANK.to_be_bytes());
    head
}

/// Whether appending went past three quarters of a segment: time for a spare one.
fn crossed_spare_mark(start: u64, end: u64, segment_bytes: u64) -> bool {
    let mark = segment_bytes / 4 * 3;
    start % segment_bytes < mark && end % segment_bytes >= mark
}
