//! Reading messages: from queue offsets to slices of the log.
//!
//! Records that lie next to each other become one slice of the mapped segment: nothing is copied and
//! nothing allocated per message. Whether the pages are in memory is asked once per segment touched;
//! where they are not, or the consume queue's are not, a reader thread gets them.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use env::memory::Hold;
use smallvec::SmallVec;

use crate::background::Task;
use crate::error::ReadError;
use crate::limits;
use crate::queue::{Queue, Read, Unit};
use crate::segment::Segments;
use crate::store::Inner;

/// Covering ranges up to this many bytes are asked about as a whole: `mincore` costs per page.
const ASK_AT_ONCE: u64 = 4 << 20;

/// How much a reader takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Messages.
    pub max_messages: u32,
    /// Bytes of all records; the first one is returned whatever its size.
    pub max_bytes: u32,
}

/// What a read met. The names are the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GotStatus {
    /// There are messages.
    Found,
    /// The filter took none of the messages looked at; `next` is behind them.
    NoMatchedMessage,
    /// The queue is empty and always was.
    NoMessageInQueue,
    /// No message was found up to `next`, as some of them are gone from the log.
    MessageWasRemoving,
    /// The queue has lost the file for this offset; `next` is the start of the following one.
    OffsetFoundNull,
    /// The offset lies behind the last message and the one after.
    OffsetOverflowBadly,
    /// The offset is that of the next message to come.
    OffsetOverflowOne,
    /// The offset lies before the first message; `next` is that one.
    OffsetTooSmall,
    /// The queue's file has been brought into memory: read again from `next`. Only from [`ColdGet`].
    Again,
}

/// The result of a read.
#[derive(Debug)]
pub struct Got {
    /// What was met.
    pub status: GotStatus,
    /// Queue offset to go on from.
    pub next: u64,
    /// Queue offset of the first message that the filter did not take, if it came to one.
    pub rejected: Option<u64>,
    /// Queue offset of the first message that is there.
    pub min: u64,
    /// Queue offset behind the last message that may be seen.
    pub max: u64,
    /// Number of records in the slices.
    pub messages: u32,
    /// Bytes of all slices.
    pub bytes: usize,
    /// Whole records back to back, in queue order.
    pub slices: SmallVec<[Bytes; 32]>,
    /// Set if the slices are copies; otherwise they are parts of mapped segments.
    pub copied: Option<Hold>,
}

impl Got {
    /// Nothing found yet.
    fn new(status: GotStatus, next: u64, min: u64, max: u64) -> Got {
        let (slices, rejected, copied) = (SmallVec::new(), None, None);
        Got { status, next, rejected, min, max, messages: 0, bytes: 0, slices, copied }
    }
}

/// A read that is done, or waits for the device.
#[derive(Debug)]
pub enum Get {
    /// Everything was in memory.
    Ready(Got),
    /// A reader thread is at it.
    Cold(ColdGet),
}

/// The result of a read that waits for the device.
#[derive(Debug)]
pub struct ColdGet(Task<Result<Got, ReadError>>);

impl Future for ColdGet {
    type Output = Result<Got, ReadError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = Pin::new(&mut self.get_mut().0);
        task.poll(cx).map(|result| result.unwrap_or(Err(ReadError::Closed)))
    }
}

/// A range of the log that holds whole records.
#[derive(Debug, Clone, Copy)]
struct Pick {
    at: u64,
    len: u64,
    /// Number of records.
    messages: u32,
}

/// What was chosen from the consume queue.
struct Picks {
    ranges: SmallVec<[Pick; 32]>,
    got: Got,
}

impl Inner {
    /// See [`crate::Store::get`].
    pub(crate) fn get(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        offset: u64,
        want: Want,
        filter: &dyn Fn(i64) -> bool,
    ) -> Result<Get, ReadError> {
        let (min, max) = (queue.min_offset(), queue.max_offset());
        let (status, next) = match offset {
            _ if max == 0 => (GotStatus::NoMessageInQueue, 0),
            _ if offset < min => (GotStatus::OffsetTooSmall, min),
            _ if offset == max => (GotStatus::OffsetOverflowOne, offset),
            _ if offset > max => (GotStatus::OffsetOverflowBadly, max),
            _ => (GotStatus::NoMatchedMessage, offset),
        };
        let got = Got::new(status, next, min, max);
        if status != GotStatus::NoMatchedMessage {
            return Ok(Get::Ready(got));
        }
        let mut picks = Picks { ranges: SmallVec::new(), got };
        let segments = self.log.segments();
        if !self.pick(&segments, queue, want, filter, &mut picks)? {
            return self.warm(queue, picks.got);
        }
        if self.slice(&segments, &mut picks)? {
            return Ok(Get::Ready(picks.got));
        }
        let inner = Arc::clone(self);
        let task = self.background.run(move || inner.read_picks(picks))?;
        Ok(Get::Cold(ColdGet(task)))
    }

    /// Chooses records from the consume queue and merges neighbors. Returns false when the first unit is
    /// not in memory.
    fn pick(
        &self,
        segments: &Segments,
        queue: &Queue,
        want: Want,
        filter: &dyn Fn(i64) -> bool,
        picks: &mut Picks,
    ) -> Result<bool, ReadError> {
        let Picks { ranges, got } = picks;
        let first = got.next;
        let scan_end =
            first.saturating_add(limits::UNITS_PER_GET.max(want.max_messages as usize) as u64);
        let end = got.max.min(scan_end);
        let mut units: SmallVec<[Unit; 64]> = SmallVec::new();
        while got.next < end && got.messages < want.max_messages {
            units.clear();
            let missing = (want.max_messages - got.messages).clamp(1, 64) as usize;
            let count = usize::try_from(end - got.next).unwrap_or(missing).min(missing);
            let read = queue.units(got.next, count, false, &mut units);
            match read.map_err(ReadError::io(&queue.files.dir))? {
                Read::Cold => return Ok(got.next > first),
                Read::Missing | Read::Units(0) => {
                    if got.messages == 0 {
                        got.status = GotStatus::OffsetFoundNull;
                        let file_units = self.queues.shared.files.file_units;
                        got.next = got.max.min(got.next - got.next % file_units + file_units);
                    }
                    return Ok(true);
                }
                Read::Units(_) => {}
            }
            for unit in &units {
                // Gone from the log, or a damaged unit.
                if unit.is_blank() || !segments.hold(unit.physical, unit.size.into()) {
                    if got.messages == 0 {
                        got.status = GotStatus::MessageWasRemoving;
                    }
                } else if filter(unit.tags) {
                    let size = unit.size as usize;
                    if got.messages > 0 && got.bytes + size > want.max_bytes as usize {
                        return Ok(true);
                    }
                    let len = u64::from(unit.size);
                    match ranges.last_mut() {
                        Some(last)
                            if last.at + last.len == unit.physical
                                && segments.hold(last.at, last.len + len) =>
                        {
                            last.len += len;
                            last.messages += 1;
                        }
                        _ => ranges.push(Pick { at: unit.physical, len, messages: 1 }),
                    }
                    got.messages += 1;
                    got.bytes += size;
                    got.status = GotStatus::Found;
                } else {
                    got.rejected = got.rejected.or(Some(got.next));
                }
                got.next += 1;
            }
        }
        Ok(true)
    }

    /// Takes the slices of what was picked, if all of it is in memory; otherwise takes none and returns
    /// false.
    fn slice(&self, segments: &Segments, picks: &mut Picks) -> Result<bool, ReadError> {
        let Picks { ranges, got } = picks;
        let mut rest = &ranges[..];
        while let Some(first) = rest.first() {
            let Some(segment) = segments.find(first.at) else { break };
            let inside = segment.base..segment.end();
            let inside = rest.iter().take_while(|pick| inside.contains(&pick.at)).count();
            let (here, after) = rest.split_at(inside);
            rest = after;
            let Some(map) = self.log.map(segment)? else {
                // Deleted just now; the reader thread finds what there is instead.
                got.slices.clear();
                return Ok(false);
            };
            let cover = |pick: &Pick| pick.at - segment.base..pick.at + pick.len - segment.base;
            // In the order of the log, unless the queue is damaged.
            let both = |a: Range<u64>, b: Range<u64>| a.start.min(b.start)..a.end.max(b.end);
            let whole = here.iter().map(cover).reduce(both).unwrap_or_default();
            let resident = if whole.end - whole.start <= ASK_AT_ONCE {
                map.resident(whole)
            } else {
                here.iter().all(|pick| map.resident(cover(pick)))
            };
            if !resident {
                got.slices.clear();
                return Ok(false);
            }
            // Neighbors were merged across records, never across segments.
            got.slices.extend(here.iter().map(|pick| map.slice(cover(pick))));
        }
        Ok(true)
    }

    /// Reads what was picked, waiting for the device.
    fn read_picks(&self, picks: Picks) -> Result<Got, ReadError> {
        let Picks { ranges, mut got } = picks;
        let mut hold = Hold::new(&self.env.memory.waiting);
        hold.try_set(got.bytes)?;
        got.copied = Some(hold);
        for Pick { at, len, messages } in ranges {
            match self.log.read(at, len)? {
                Some(bytes) => got.slices.push(bytes),
                // Deleted in between: it is left out, and what follows is still there.
                None => {
                    got.messages -= messages;
                    got.bytes -= len as usize;
                }
            }
        }
        if got.messages == 0 {
            got.status = GotStatus::MessageWasRemoving;
        }
        Ok(got)
    }

    /// Has the queue's units brought into memory.
    fn warm(self: &Arc<Self>, queue: &Arc<Queue>, got: Got) -> Result<Get, ReadError> {
        let queue = Arc::clone(queue);
        let task = self.background.run(move || {
            let mut units = SmallVec::new();
            let read = queue.units(got.next, 64, true, &mut units);
            read.map_err(ReadError::io(&queue.files.dir))?;
            Ok(Got { status: GotStatus::Again, ..got })
        })?;
        Ok(Get::Cold(ColdGet(task)))
    }

    /// See [`crate::Store::record`].
    pub(crate) fn record(&self, physical_offset: u64) -> Result<Option<Bytes>, ReadError> {
        const HEAD: u64 = 8;
        if physical_offset.saturating_add(HEAD) > self.visible() {
            return Ok(None);
        }
        let Some(head) = self.log.read(physical_offset, HEAD)? else { return Ok(None) };
        let size = head.first_chunk().map_or(0, |size| i32::from_be_bytes(*size));
        let Ok(size) = u64::try_from(size) else { return Ok(None) };
        if size > limits::SCANNED_RECORD_BYTES as u64 || physical_offset + size > self.visible() {
            return Ok(None);
        }
        let Some(bytes) = self.log.read(physical_offset, size)? else { return Ok(None) };
        let valid = wire::record::RecordView::parse(&bytes);
        Ok(valid.is_ok_and(|view| view.physical_offset() == physical_offset).then_some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use env::{Disk, Env};
    use wire::record::RecordView;

    use super::*;
    use crate::tests::{WANT, send};
    use crate::{Store, StoreSettings};

    /// A segment that is deleted while a reader thread gets what was picked takes its own messages along and
    /// no others.
    #[test]
    fn what_follows_a_deleted_segment_is_read() {
        let env = Env { disk: Disk::mem(), ..Env::real() };
        let store = Store::open(env, StoreSettings::test_min("/s")).unwrap();
        let queue = store.queue("t", 0);
        let places: Vec<_> = (0..30).map(|_| send(&store, &queue, &[1; 300])).collect();
        let left: Vec<u64> =
            places.iter().filter(|(_, at)| *at >= 4096).map(|(offset, _)| *offset).collect();
        let inner = &store.inner;
        let got = Got::new(GotStatus::NoMatchedMessage, 0, 0, queue.max_offset());
        let mut picks = Picks { ranges: SmallVec::new(), got };
        assert!(inner.pick(&inner.log.segments(), &queue, WANT, &|_| true, &mut picks).unwrap());
        inner.log.remove_first().unwrap();
        let got = inner.read_picks(picks).unwrap();
        assert_eq!((got.status, got.next), (GotStatus::Found, 30));
        let mut offsets = Vec::new();
        for slice in &got.slices {
            let mut rest = &slice[..];
            while let Ok(view) = RecordView::parse(rest) {
                offsets.push(view.queue_offset());
                rest = &rest[view.size()..];
            }
        }
        assert_eq!((&offsets, got.messages), (&left, left.len() as u32));
        assert_eq!(got.bytes, got.slices.iter().map(Bytes::len).sum::<usize>());
    }
}
