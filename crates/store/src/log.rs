//! The commit log: a list of segments that grows at its end and is deleted from its start.
//!
//! Owns the list, the spare segment ahead of the end, and reading by log offset. Who writes is
//! `append`; who syncs is `flush`. Readers take a snapshot of the list and never a lock.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use env::Disk;
use parking_lot::Mutex;

use wire::record::BLANK_SIZE;

use crate::error::ReadError;
use crate::segment::{Maps, Segment, Segments};
use crate::settings::StoreSettings;

/// Files and reading of the commit log.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Disk,
    pub(crate) dir: PathBuf,
    pub(crate) segment_bytes: u64,
    segments: ArcSwap<Segments>,
    /// A created segment that follows the last one. Also held by whoever changes the list, and never over
    /// I/O: appends on the threads of connections take it.
    spare: Mutex<Option<Arc<Segment>>>,
    /// Held while a segment is created: two who make the same one would share its file. Taken before `spare`.
    making: Mutex<()>,
    maps: Maps,
    /// Whether the last file that was wanted had no room.
    lacking: AtomicBool,
}

/// Bytes of the log, or where to get them from the device.
pub(crate) enum Slice {
    Resident(Bytes),
    Cold(Arc<Segment>),
}

impl Log {
    pub(crate) fn new(disk: Disk, dir: PathBuf, segment_bytes: u64, segments: Segments) -> Log {
        let (spare, making, maps, lacking) = Default::default();
        let segments = ArcSwap::from_pointee(segments);
        Log { disk, dir, segment_bytes, segments, spare, making, maps, lacking }
    }

    /// The segments at this moment.
    pub(crate) fn segments(&self) -> arc_swap::Guard<Arc<Segments>> {
        self.segments.load()
    }

    /// Log offset of the first byte that is still there.
    pub(crate) fn min_offset(&self) -> u64 {
        self.segments.load().min_offset()
    }

    /// Whether `bytes` at the tail's `position` go into files that are there. More than a file's worth may
    /// need one more, and the first file of a log counts as there: it is made once.
    pub(crate) fn has_files(&self, position: u64, bytes: u64) -> bool {
        let segments = self.segments.load();
        let Some(last) = segments.0.last() else { return true };
        position + bytes + BLANK_SIZE as u64 <= last.capacity_end()
            || self.spare.lock().as_ref().is_some_and(|spare| spare.base == last.end())
    }

    /// The segment that starts at `base`, at the end of the list: the one there, which a failed write may
    /// have added before the tail got that far, the spare one, or a new one. Called by one thread at a
    /// time, the owner of the tail.
    pub(crate) fn extend(&self, base: u64, settings: &StoreSettings) -> io::Result<Arc<Segment>> {
        if let Some(segment) = self.segments.load().find(base) {
            return Ok(Arc::clone(segment));
        }
        if let Some(segment) = self.take_spare(base) {
            return Ok(segment);
        }
        let _making = self.making.lock();
        if let Some(segment) = self.take_spare(base) {
            return Ok(segment);
        }
        let segment = self.create(base, settings)?;
        let _changing = self.spare.lock();
        self.push(&segment);
        Ok(segment)
    }

    /// Moves the spare segment to the end of the list, if it starts at `base`.
    fn take_spare(&self, base: u64) -> Option<Arc<Segment>> {
        let mut spare = self.spare.lock();
        let segment = spare.take_if(|spare| spare.base == base)?;
        self.push(&segment);
        Some(segment)
    }

    /// Adds a segment to the list; `spare` is held.
    fn push(&self, segment: &Arc<Segment>) {
        let mut segments = Segments::clone(&self.segments.load());
        assert!(
            segments.0.last().is_none_or(|last| last.end() == segment.base),
            "segments follow each other without a gap"
        );
        segments.0.push(Arc::clone(segment));
        self.segments.store(Arc::new(segments));
    }

    /// Creates the segment after the last one, or the first, unless there is one.
    pub(crate) fn prepare_spare(&self, settings: &StoreSettings) -> io::Result<()> {
        let _making = self.making.lock();
        let base = {
            let spare = self.spare.lock();
            let base = self.segments.load().0.last().map_or(0, |last| last.end());
            if spare.as_ref().is_some_and(|spare| spare.base == base) {
                return Ok(());
            }
            base
        };
        // Without a spare one, and with `making` held, the list does not grow meanwhile.
        let segment = self.create(base, settings)?;
        *self.spare.lock() = Some(segment);
        Ok(())
    }

    /// Creates a segment, if the reserve remains.
    fn create(&self, base: u64, settings: &StoreSettings) -> io::Result<Arc<Segment>> {
        let made = crate::room::require(&self.disk, &self.dir, settings)
            .and_then(|()| Segment::create(&self.disk, &self.dir, base, self.segment_bytes));
        let full = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        };
        self.lacking.store(made.as_ref().is_err_and(full), Ordering::Release);
        made.map(Arc::new)
    }

    /// Whether the last segment that was wanted had no room.
    pub(crate) fn is_lacking(&self) -> bool {
        self.lacking.load(Ordering::Acquire)
    }

    /// Bytes of the segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.load().0.len() as u64 * self.segment_bytes
    }

    /// Removes the spare segment: a closed log ends with its last used file, as the reference's does.
    pub(crate) fn remove_spare(&self) -> io::Result<()> {
        let spare = self.spare.lock().take();
        spare.map_or(Ok(()), |spare| self.disk.remove(spare.file.path()))
    }

    /// Deletes the oldest segment, which must not be the last one. Called by one thread at a time, the one
    /// that holds the next look at the disk (`retention`).
    pub(crate) fn remove_first(&self) -> io::Result<()> {
        let segments = self.segments.load_full();
        assert!(segments.0.len() > 1, "the segment that is written is never deleted");
        // An earlier removal that a failed sync left undone must not come back after this one: a log has
        // no gaps.
        self.disk.sync_dir(&self.dir)?;
        let first = &segments.0[0];
        // The name first: while it is there, the segment is the first of the log, and is tried again.
        self.disk.remove(first.file.path())?;
        {
            // The list has two writers: the tail's owner may have added to it meanwhile.
            let _changing = self.spare.lock();
            let mut segments = Segments::clone(&self.segments.load());
            let removed = segments.0.remove(0);
            assert!(Arc::ptr_eq(&removed, first), "one thread at a time deletes");
            self.segments.store(Arc::new(segments));
        }
        self.maps.forget(first);
        self.disk.sync_dir(&self.dir)
    }

    /// `len` bytes at `offset`, which lie in one segment, without a copy if they are in memory. `None`
    /// when they are not in the log any more.
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Result<Option<Slice>, ReadError> {
        let segments = self.segments.load();
        let Some(segment) = segments.find(offset) else { return Ok(None) };
        if offset + len > segment.end() {
            return Ok(None);
        }
        let Some(map) = self.map(segment)? else { return Ok(None) };
        let start = offset - segment.base;
        if map.resident(start..start + len) {
            Ok(Some(Slice::Resident(map.slice(start..start + len))))
        } else {
            Ok(Some(Slice::Cold(Arc::clone(segment))))
        }
    }

    /// The map of a segment; `None` if it has been deleted.
    pub(crate) fn map(&self, segment: &Arc<Segment>) -> Result<Option<env::disk::Map>, ReadError> {
        unless_deleted(segment, self.maps.get(segment))
    }

    /// Reads like [`Log::slice`], but waits for the device where needed.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Result<Option<Bytes>, ReadError> {
        match self.slice(offset, len)? {
            None => Ok(None),
            Some(Slice::Resident(bytes)) => Ok(Some(bytes)),
            Some(Slice::Cold(segment)) => read_cold(&segment, offset, len),
        }
    }
}

/// Reads bytes of a segment into memory of their own, waiting for the device; `None` if it has been
/// deleted.
pub(crate) fn read_cold(
    segment: &Segment,
    offset: u64,
    len: u64,
) -> Result<Option<Bytes>, ReadError> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let read = segment.file.read_exact_at(&mut bytes, offset - segment.base);
    Ok(unless_deleted(segment, read)?.map(|()| bytes.into()))
}

/// A segment may be deleted while somebody reads who found it in an earlier list.
fn unless_deleted<T>(segment: &Segment, done: io::Result<T>) -> Result<Option<T>, ReadError> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some).map_err(ReadError::io(segment.file.path())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spare segments are made and old ones deleted while the log grows: no spare one is a file that the
    /// log already uses, and no change of the list is lost.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "the test needs threads that race")]
    fn growing_races_with_the_keeper() {
        const COUNT: usize = 300;
        let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::real());
        let log = Log::new(disk.clone(), dir.path().to_owned(), 4096, Segments::default());
        let settings = StoreSettings::test_min(dir.path());
        let grown = std::sync::atomic::AtomicBool::new(false);
        let removed = std::thread::scope(|scope| {
            let keeper = scope.spawn(|| {
                let mut removed = 0;
                while !grown.load(std::sync::atomic::Ordering::Acquire) {
                    log.prepare_spare(&settings).unwrap();
                    if log.segments().0.len() > 2 {
                        log.remove_first().unwrap();
                        removed += 1;
                    }
                }
                removed
            });
            for n in 0..COUNT as u64 {
                log.extend(n * 4096, &settings).unwrap();
            }
            grown.store(true, std::sync::atomic::Ordering::Release);
            keeper.join().unwrap()
        });
        log.remove_spare().unwrap();
        let files = disk.list(dir.path()).unwrap();
        assert_eq!(files.len(), COUNT - removed);
        assert_eq!(log.segments().0.len(), COUNT - removed);
    }
}
