//! Segments: the files of the commit log, each of the configured size, named by its first offset.
//!
//! Every file has its full length from creation (store format §2): its blocks are reserved before it is
//! used, so that an append cannot run out of space. A file is written with `write_at` only and never
//! made shorter, therefore it can be mapped for reading at any time.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use env::Disk;
use env::disk::Map;

use crate::kept_file::KeptFile;
use crate::limits;

/// One file of the commit log.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Log offset of its first byte.
    pub(crate) base: u64,
    /// Its bytes.
    pub(crate) size: u64,
    /// The file.
    pub(crate) file: KeptFile,
    map: ArcSwapOption<Map>,
    /// Tick of the last use of the map.
    used: AtomicU64,
}

/// Name of the segment file that starts at `base`.
pub(crate) fn file_name(base: u64) -> String {
    format!("{base:020}")
}

/// Whether a file may be a segment, by its name.
pub(crate) fn is_file_name(name: &str) -> bool {
    name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())
}

impl Segment {
    /// A segment whose file exists.
    pub(crate) fn new(base: u64, size: u64, file: KeptFile) -> Segment {
        Segment { base, size, file, map: ArcSwapOption::empty(), used: AtomicU64::new(0) }
    }

    /// Creates the file of a segment, with all its blocks, durably.
    pub(crate) fn create(disk: &Disk, dir: &Path, base: u64, size: u64) -> io::Result<Segment> {
        let path = dir.join(file_name(base));
        let file = disk.create(&path)?;
        // From nothing, also where an attempt that failed could not take its file away: after a sync that
        // failed, a length that is there need not be on the disk, and the next sync does not write it.
        let emptied = if file.len()? > 0 { file.set_len(0) } else { Ok(()) };
        let ready = emptied.and_then(|()| file.allocate(size)).and_then(|()| file.sync_data());
        if let Err(error) = ready.and_then(|()| disk.sync_dir(dir)) {
            // Best effort: the caller reports the first error, and opening copes with what is left.
            let _ = disk.remove(&path);
            return Err(error);
        }
        Ok(Segment::new(base, size, KeptFile::created(disk, path, file)))
    }

    /// Log offset up to which records of ours go: behind it lie the durable marks.
    pub(crate) fn capacity_end(&self) -> u64 {
        self.end() - limits::MARK_BYTES
    }

    /// Log offset behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.size
    }
}

/// The segments of a log at one moment, in order and without gaps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segments(pub(crate) Vec<Arc<Segment>>);

impl Segments {
    /// The segment that holds the offset.
    pub(crate) fn find(&self, offset: u64) -> Option<&Arc<Segment>> {
        let first = self.0.first()?;
        let index = offset.checked_sub(first.base)? / first.size;
        self.0.get(usize::try_from(index).ok()?)
    }

    /// Whether a segment holds all of these bytes: a record never lies in two.
    pub(crate) fn hold(&self, offset: u64, len: u64) -> bool {
        self.find(offset).is_some_and(|segment| segment.end() - offset >= len)
    }

    /// Log offset of the first byte that is still there.
    pub(crate) fn min_offset(&self) -> u64 {
        self.0.first().map_or(0, |segment| segment.base)
    }
}

/// Decides which segments are mapped: at most [`limits::MAPPED_SEGMENTS`], the least recently used one
/// goes first.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    tick: AtomicU64,
    mapped: parking_lot::Mutex<Vec<Arc<Segment>>>,
}

impl Maps {
    /// The map of a segment, made on first use.
    pub(crate) fn get(&self, segment: &Arc<Segment>) -> io::Result<Map> {
        segment.used.store(self.tick.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if let Some(map) = &*segment.map.load() {
            return Ok(Map::clone(map));
        }
        let mut mapped = self.mapped.lock();
        if let Some(map) = &*segment.map.load() {
            return Ok(Map::clone(map));
        }
        let map = segment.file.map(segment.size)?;
        if mapped.len() >= limits::MAPPED_SEGMENTS {
            let used = |segment: &Arc<Segment>| segment.used.load(Ordering::Relaxed);
            let oldest = (0..mapped.len()).min_by_key(|index| used(&mapped[*index]));
            if let Some(oldest) = oldest {
                mapped.swap_remove(oldest).map.store(None);
            }
        }
        segment.map.store(Some(Arc::new(map.clone())));
        mapped.push(Arc::clone(segment));
        Ok(map)
    }

    /// Drops the map of a segment that was deleted.
    pub(crate) fn forget(&self, segment: &Arc<Segment>) {
        self.mapped.lock().retain(|mapped| !Arc::ptr_eq(mapped, segment));
        segment.map.store(None);
    }
}

#[cfg(test)]
mod tests {
    use env::disk::FaultPlan;

    use super::*;

    /// A file that an attempt left whose sync failed has its length on the disk when the next has made it.
    #[test]
    fn is_made_from_nothing() {
        const SIZE: u64 = 8192;
        let dir = Path::new("/log");
        for seed in 0..16 {
            let disk = Disk::fault(seed, FaultPlan::default());
            disk.create_dir_all(dir).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            let left = disk.create(&dir.join(file_name(SIZE))).unwrap();
            left.allocate(SIZE).unwrap();
            disk.set_plan(FaultPlan { sync_error: 1, ..FaultPlan::default() });
            left.sync_data().unwrap_err();
            disk.set_plan(FaultPlan::default());
            Segment::create(&disk, dir, SIZE, SIZE).unwrap();
            let found = disk.crash().list(dir).unwrap();
            assert_eq!(found.iter().map(|entry| entry.len).collect::<Vec<_>>(), [SIZE], "{seed}");
        }
    }
}
