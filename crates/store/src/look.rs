//! Looking in from outside: counters, what waits, free space, single messages of a queue. For operators'
//! tools; nothing here is on the path of a message.

use std::io;
use std::time::Duration;

use env::disk::Space;
use smallvec::SmallVec;

use crate::error::ReadError;
use crate::limits;
use crate::metrics::Metrics;
use crate::queue::{Queue, Read, Unit};
use crate::store::Store;

/// What was appended since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What waits at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Batches that wait to be appended.
    pub appends: usize,
    /// How many may.
    pub appends_max: usize,
    /// How long the first of them has waited.
    pub append_age: Duration,
    /// Reads that wait for a thread.
    pub reads: usize,
    /// How many may.
    pub reads_max: usize,
    /// How long the first of them has waited.
    pub read_age: Duration,
}

/// The file systems that the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spaces {
    /// That of the log.
    pub log: Space,
    /// That of everything else.
    pub root: Space,
}

/// One unit of a consume queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueUnit {
    /// Log offset of the record.
    pub physical: u64,
    /// Bytes of the record.
    pub size: u32,
    /// Hash of the tag, or the delivery time.
    pub tags: i64,
}

impl Store {
    /// What was appended since the store was opened.
    pub fn counters(&self) -> Counters {
        let (records, bytes) = self.inner.marks.counted();
        Counters { records, bytes }
    }

    /// Histograms of appends and syncs.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Most bytes of the log that may await the device.
    pub fn dirty_limit(&self) -> u64 {
        self.inner.dirty_limit
    }

    /// Segments of the log, and their bytes.
    pub fn log_files(&self) -> (usize, u64) {
        let segments = self.inner.log.segments();
        let bytes = segments.0.iter().map(|segment| segment.size).sum();
        (segments.0.len(), bytes)
    }

    /// What waits at the moment.
    pub fn waiting(&self) -> Waiting {
        let (appends, appends_since) = self.inner.appender.waiting();
        let (reads, reads_since) = self.inner.background.waiting();
        let now = self.inner.env.clock.mono();
        let age =
            |since: Option<Duration>| since.map_or(Duration::ZERO, |at| now.saturating_sub(at));
        Waiting {
            appends,
            appends_max: limits::PENDING_BATCHES,
            append_age: age(appends_since),
            reads,
            reads_max: limits::BACKGROUND_JOBS,
            read_age: age(reads_since),
        }
    }

    /// Size and free space of the file systems.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn spaces(&self) -> io::Result<Spaces> {
        let inner = &self.inner;
        let space = |dir| inner.env.disk.space(dir);
        Ok(Spaces { log: space(&inner.log.dir)?, root: space(&inner.settings.root)? })
    }

    /// When the message at `offset` of a queue was stored; `None` where none can be seen. May wait for the
    /// device.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn stored_ms(&self, queue: &Queue, offset: u64) -> Result<Option<i64>, ReadError> {
        let units = self.look_up(queue, offset, 1)?;
        Ok(units.first().and_then(|unit| self.inner.stored_ms(*unit)))
    }

    /// Units of a queue from `offset` on, at most `max`. May wait for the device.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn units(
        &self,
        queue: &Queue,
        offset: u64,
        max: usize,
    ) -> Result<Vec<QueueUnit>, ReadError> {
        let units = self.look_up(queue, offset, max)?;
        let public =
            |unit: &Unit| QueueUnit { physical: unit.physical, size: unit.size, tags: unit.tags };
        Ok(units.iter().filter(|unit| !unit.is_blank()).map(public).collect())
    }

    fn look_up(
        &self,
        queue: &Queue,
        offset: u64,
        max: usize,
    ) -> Result<SmallVec<[Unit; 64]>, ReadError> {
        let mut units = SmallVec::new();
        let seen = queue.min_offset()..queue.max_offset();
        if !seen.contains(&offset) {
            return Ok(units);
        }
        let max = max.min(usize::try_from(seen.end - offset).unwrap_or(usize::MAX));
        while units.len() < max {
            let at = offset + units.len() as u64;
            let read = queue.units(at, max - units.len(), true, &mut units);
            match read.map_err(ReadError::io(&queue.files.dir))? {
                Read::Units(added) if added > 0 => {}
                Read::Units(_) | Read::Cold | Read::Missing => break,
            }
        }
        Ok(units)
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{open, send};

    /// Shows that appends are counted, that a message's time and unit are found by its offset, and that
    /// there is nothing in front of the first and behind the last.
    #[test]
    fn what_is_appended_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let queue = store.queue("T", 0);
        let sent: Vec<_> = (1..=20).map(|len| send(&store, &queue, &vec![b'x'; len])).collect();
        let counted = store.counters();
        let appended = store.watermarks().appended;
        assert_eq!(counted.records, 20);
        assert!(counted.bytes > 0 && counted.bytes <= appended, "{counted:?} of {appended}");
        let units = store.units(&queue, 3, 100).unwrap();
        assert_eq!(units.len(), 17);
        assert!(
            units.iter().zip(&sent[3..]).all(|(unit, (_, physical))| unit.physical == *physical)
        );
        assert_eq!(store.units(&queue, 3, 2).unwrap(), units[..2]);
        assert!(store.stored_ms(&queue, 19).unwrap().is_some_and(|ms| ms > 0));
        assert_eq!(store.stored_ms(&queue, 20).unwrap(), None);
        assert_eq!(store.units(&queue, 20, 5).unwrap(), []);
        assert_eq!((store.waiting().appends, store.waiting().reads), (0, 0));
        let spaces = store.spaces().unwrap();
        assert!(spaces.log.total > 0 && spaces.root.total > 0);
    }
}
