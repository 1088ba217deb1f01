//! What callers hand to the log: records encoded back to back, and what the log must know of each.
//!
//! A batch is encoded, hashed and sized in the caller's thread; under the append lock its records are
//! only patched and written. It is handed back with the result, so that its buffers are used again.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use smallvec::SmallVec;
use wire::flags::message;
use wire::record;

use crate::dispatch::Tags;
use crate::index::{self, Keys};
use crate::limits;
use crate::queue::Queue;

/// Records to append together. Either all of them are appended, in their order, or none.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) buf: BytesMut,
    pub(crate) entries: Vec<Entry>,
    /// Queues that the entries name by their place here: a reference counted per record, by several
    /// threads at a time, costs more than finding it among the few of a batch.
    pub(crate) queues: Vec<Arc<Queue>>,
    /// Key hashes of all records, back to back.
    pub(crate) hashes: Vec<u32>,
}

/// What is known of a record besides its bytes.
#[derive(Debug)]
pub struct NewRecord<'a> {
    /// Queue that it goes to.
    pub queue: &'a Arc<Queue>,
    /// What its consume queue unit carries.
    pub tags: Tags,
    /// What it can be found by.
    pub keys: Keys<'a>,
    /// Whether it stays in one segment with the record before it (request 320).
    pub with_previous: bool,
}

/// One record of a batch.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where its bytes end in the buffer; they start where those of the one before end.
    pub(crate) end: u32,
    /// Where its hashes end, likewise.
    pub(crate) hashes_end: u32,
    /// Place of its queue in [`Batch::queues`].
    pub(crate) queue: u32,
    pub(crate) tags: Tags,
    pub(crate) with_previous: bool,
    /// Whether its last property is a checksum to fill in.
    pub(crate) checksum: bool,
    /// Whether it gets a consume queue unit.
    pub(crate) queued: bool,
    /// Filled by the append.
    pub(crate) queue_offset: u64,
    /// Filled by the append.
    pub(crate) physical_offset: u64,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a record. `encode` appends exactly one to the buffer with [`wire::record`]; where it fails,
    /// the batch stays as it was.
    ///
    /// # Errors
    /// Those of `encode`.
    ///
    /// # Panics
    /// If `encode` succeeds without leaving one whole record, or the batch exceeds 4 GiB.
    pub fn push<E>(
        &mut self,
        new: NewRecord<'_>,
        encode: impl FnOnce(&mut BytesMut) -> Result<usize, E>,
    ) -> Result<(), E> {
        let start = self.buf.len();
        if let Err(error) = encode(&mut self.buf) {
            self.buf.truncate(start);
            return Err(error);
        }
        let record = &self.buf[start..];
        assert_eq!(record::size_of(record), Some(record.len()), "an encoder leaves one record");
        debug_assert!(
            record::RecordView::parse(record).is_ok(),
            "an encoder leaves a valid record"
        );
        let checksum = record.ends_with(b"__CRC32#\x010000000000\x02");
        let transaction = record::sys_flag_of(record) & message::TRANSACTION;
        let queued = is_queued(transaction);
        if transaction != message::ROLLBACK {
            index::hash_keys(&new.keys, new.queue.key_prefix(), &mut self.hashes);
        }
        let queue = self.place_of(new.queue);
        self.entries.push(Entry {
            end: u32::try_from(self.buf.len()).expect("a batch is far below 4 GiB"),
            hashes_end: u32::try_from(self.hashes.len()).expect("fewer hashes than bytes"),
            queue,
            tags: new.tags,
            with_previous: new.with_previous,
            checksum,
            queued,
            queue_offset: 0,
            physical_offset: 0,
        });
        Ok(())
    }

    fn place_of(&mut self, queue: &Arc<Queue>) -> u32 {
        let from = self.queues.len().saturating_sub(limits::QUEUES_SEARCHED);
        let known = self.queues[from..].iter().position(|known| Arc::ptr_eq(known, queue));
        let place = known.map_or(self.queues.len(), |place| from + place);
        if known.is_none() {
            self.queues.push(Arc::clone(queue));
        }
        u32::try_from(place).expect("fewer queues than records")
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all records.
    pub fn bytes(&self) -> usize {
        self.buf.len()
    }

    /// Bytes of memory that it holds, about.
    pub fn held(&self) -> usize {
        self.buf.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Empties it and keeps its buffers, unless they are larger than most batches need.
    pub fn clear(&mut self) {
        if self.held() > limits::SPARE_BATCH_BYTES {
            *self = Batch::default();
        }
        self.buf.clear();
        self.entries.clear();
        self.queues.clear();
        self.hashes.clear();
    }

    /// Takes off every record from the one with number `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.entries.len() {
            let start = self.range(len).start;
            let before = len.checked_sub(1).map(|last| self.entries[last].hashes_end);
            self.entries.truncate(len);
            self.buf.truncate(start);
            self.hashes.truncate(before.unwrap_or(0) as usize);
        }
    }

    /// Queue of record `index`.
    pub(crate) fn queue_of(&self, index: usize) -> &Arc<Queue> {
        &self.queues[self.entries[index].queue as usize]
    }

    /// Bytes of record `index`.
    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].end as usize);
        start..self.entries[index].end as usize
    }

    /// Key hashes of record `index`.
    pub(crate) fn hashes_of(&self, index: usize) -> &[u32] {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].hashes_end);
        &self.hashes[start as usize..self.entries[index].hashes_end as usize]
    }

    /// Records `from..` up to the end of the group that `from` starts.
    pub(crate) fn group(&self, from: usize) -> Range<usize> {
        let more = self.entries[from + 1..].iter().take_while(|entry| entry.with_previous).count();
        from..from + 1 + more
    }
}

/// Whether a record with these transaction bits gets a consume queue unit: half and rolled back
/// messages do not.
pub(crate) fn is_queued(transaction: i32) -> bool {
    transaction == 0 || transaction == message::COMMIT
}

/// A batch that is in the log.
#[derive(Debug)]
pub struct Appended {
    pub(crate) batch: Batch,
    /// Store timestamp of all its records, ms since the epoch.
    pub store_timestamp: i64,
    /// Log offset behind its last record: what [`crate::Store::durable`] takes.
    pub end: u64,
}

impl Appended {
    /// Queue offset and log offset of each record, in the order of the batch.
    pub fn offsets(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.batch.entries.iter().map(|entry| (entry.queue_offset, entry.physical_offset))
    }

    /// What went into each queue: the queue, records, bytes.
    pub fn amounts(&self) -> SmallVec<[(&Queue, u64, u64); 16]> {
        let mut amounts: SmallVec<[_; 16]> =
            self.batch.queues.iter().map(|queue| (&**queue, 0, 0)).collect();
        let mut start = 0;
        for entry in &self.batch.entries {
            let (_, records, bytes) = &mut amounts[entry.queue as usize];
            *records += 1;
            *bytes += u64::from(entry.end - start);
            start = entry.end;
        }
        amounts
    }

    /// The batch, emptied, to be filled again.
    pub fn into_batch(self) -> Batch {
        let mut batch = self.batch;
        batch.clear();
        batch
    }
}
