//! Finding what a store directory holds: segments, consume queues, and modes that we do not read.

use std::io;
use std::path::Path;
use std::sync::Arc;

use env::Disk;
use smallvec::SmallVec;
use wire::record::RecordView;

use crate::dispatch::queue_of;
use crate::error::OpenError;
use crate::kept_file::KeptFile;
use crate::queue::files::{self, Files};
use crate::queue::{Queues, Read, Unit};
use crate::segment::{Segment, Segments};

/// Refuses directories whose data lies in RocksDB or in queue files of another kind (store format §6,
/// §17).
pub(crate) fn refuse_foreign(disk: &Disk, root: &Path) -> Result<(), OpenError> {
    const ROCKSDB: [(&str, &str); 3] = [
        ("consumequeue/CURRENT", "consume queues (storeType=defaultRocksDB)"),
        ("config/topics/CURRENT", "topics, groups and offsets (storeType=defaultRocksDB)"),
        ("config/rdb/CURRENT", "topics, groups and offsets (configManagerVersion=v2)"),
    ];
    for (name, what) in ROCKSDB {
        let path = root.join(name);
        if disk.exists(&path).map_err(OpenError::io(&path))? {
            let problem = format!(
                "this directory keeps its {what} in RocksDB, which is not supported: export them to files with the reference's `mqadmin` first"
            );
            return Err(OpenError::Foreign { path, problem });
        }
    }
    let path = root.join("batchconsumequeue");
    let has_batch_queues = disk.exists(&path).map_err(OpenError::io(&path))?
        && !disk.list(&path).map_err(OpenError::io(&path))?.is_empty();
    if has_batch_queues {
        let problem = "topics with queue.type=BatchCQ are not supported".to_owned();
        return Err(OpenError::Foreign { path, problem });
    }
    Ok(())
}

/// Opens the segments in `dir`, which must follow each other and have the configured size. Files at the end
/// whose creation was cut short are removed: empty ones, and one that did not get all its blocks.
pub(crate) fn segments(disk: &Disk, dir: &Path, size: u64) -> Result<Segments, OpenError> {
    let mut names = disk.list(dir).map_err(OpenError::io(dir))?;
    names.retain(|entry| !entry.is_dir);
    while let Some(last) = names.last() {
        let path = dir.join(&last.name);
        let is_short = last.len < size && last.name.parse::<u64>().is_ok();
        let unused = last.len == 0
            || (is_short && is_zeros(disk, &path, last.len).map_err(OpenError::io(&path))?);
        if !unused {
            break;
        }
        tracing::info!(path = %path.display(), len = last.len, "a commit log file that was never used is removed");
        disk.remove(&path).map_err(OpenError::io(&path))?;
        names.pop();
    }
    let mut segments = Segments::default();
    for entry in names {
        let path = dir.join(&entry.name);
        let base = entry.name.parse::<u64>().ok();
        // Offsets of the log are positive Java `long`s.
        let fits = |base: &u64| base.is_multiple_of(size) && *base <= i64::MAX as u64 - size;
        let base = base.filter(fits);
        if entry.len != size {
            let (len, configured, key) = (entry.len, size, "mappedFileSizeCommitLog");
            return Err(OpenError::FileSize { path, len, configured, key });
        }
        let Some(base) = base else {
            let problem =
                format!("its name is no log offset that {size} (mappedFileSizeCommitLog) divides");
            return Err(OpenError::Foreign { path, problem });
        };
        if let Some(last) = segments.0.last().filter(|last| last.end() != base) {
            let problem = format!(
                "the commit log has a gap before it, from {} on: restore the missing files, or remove the files before the gap",
                last.end()
            );
            return Err(OpenError::Foreign { path, problem });
        }
        segments.0.push(Arc::new(Segment::new(base, size, KeptFile::new(disk, path))));
    }
    Ok(segments)
}

/// Whether the first `len` bytes of a file are zeros, all of them.
fn is_zeros(disk: &Disk, path: &Path, len: u64) -> io::Result<bool> {
    let file = disk.open(path)?;
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let read = file.read_at(&mut buf, at)?;
        if read == 0 || buf[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}

/// Adds all queues that have files, each ending before its first unit whose record ends after `log_end`.
/// What follows in their files is cut off, durably. With `doubt`, a queue also ends with a unit that its
/// record in the log agrees with. Returns the log offset behind the last record that has a unit.
pub(crate) fn queues(
    disk: &Disk,
    queues: &Queues,
    segments: &Segments,
    log_end: u64,
    doubt: bool,
) -> Result<u64, OpenError> {
    let root = queues.shared.files.root.clone();
    let mut last_end = 0;
    for topic in disk.list(&root).map_err(OpenError::io(&root))?.iter().filter(|t| t.is_dir) {
        let dir = root.join(&topic.name);
        for queue in disk.list(&dir).map_err(OpenError::io(&dir))?.iter().filter(|q| q.is_dir) {
            let Ok(id) = queue.name.parse() else { continue };
            let files = Loading { disk, queues, segments, log_end, doubt };
            let end = files.queue(&topic.name, id);
            last_end = last_end.max(end.map_err(|error| match error {
                Load::Io(error) => OpenError::Io { path: dir.join(&queue.name), error },
                Load::Open(error) => error,
            })?);
        }
    }
    Ok(last_end)
}

enum Load {
    Io(io::Error),
    Open(OpenError),
}

impl From<io::Error> for Load {
    fn from(error: io::Error) -> Load {
        Load::Io(error)
    }
}

/// What the queues are loaded with.
struct Loading<'a> {
    disk: &'a Disk,
    queues: &'a Queues,
    segments: &'a Segments,
    log_end: u64,
    doubt: bool,
}

impl Loading<'_> {
    fn queue(&self, topic: &str, id: u32) -> Result<u64, Load> {
        let shared = Arc::clone(&self.queues.shared.files);
        let probe = Files::new(Arc::clone(&shared), topic, id, None);
        let mut all = files::list_with_len(self.disk, &probe.dir)?;
        let configured = shared.file_bytes();
        // Of an empty file the creation was cut short.
        if let Some((wrong, len)) = all.iter().find(|(_, len)| ![0, configured].contains(len)) {
            let (path, len, key) = (probe.path(*wrong), *len, "mappedFileSizeConsumeQueue");
            return Err(Load::Open(OpenError::FileSize { path, len, configured, key }));
        }
        while let Some((last, _)) = all.pop_if(|(_, len)| *len == 0) {
            self.disk.remove(&probe.path(last))?;
        }
        let Some((first, _)) = all.first().copied() else { return Ok(0) };
        let found = Files::new(Arc::clone(&shared), topic, id, Some(first));
        let mut end = first;
        for (file, _) in all.iter().rev() {
            end = self.end_in(&found, *file, (topic, id))?;
            if end > *file {
                break;
            }
        }
        let last = if end > first { unit(&found, end - 1)? } else { None };
        let Some(last) = last.filter(|unit| !unit.is_blank()) else {
            // No message of it is known to be complete, maybe not even its first file: what the log says of
            // the queue counts. A log that has lost its start may say nothing of a queue that goes on.
            found.clear()?;
            let next = if self.segments.min_offset() == 0 { 0 } else { end };
            self.queues.insert(topic, id, None, next);
            return Ok(0);
        };
        if all.last().is_some_and(|(last, _)| *last >= end) || unit(&found, end)?.is_some() {
            found.truncate(end)?;
        }
        found.close();
        self.queues.insert(topic, id, Some(first), end);
        Ok(last.end())
    }

    /// The first unit of a file that does not stay; `file` itself if none does.
    fn end_in(&self, files: &Files, file: u64, queue: (&str, u32)) -> io::Result<u64> {
        let stays = |index| -> io::Result<bool> {
            let unit = unit(files, index)?;
            Ok(unit.is_some_and(|unit| unit.is_blank() || unit.end() <= self.log_end))
        };
        if !stays(file)? {
            return Ok(file);
        }
        let (mut low, mut high) = (file, file + self.queues.shared.files.file_units);
        while low < high {
            let middle = low + (high - low) / 2;
            if stays(middle)? { low = middle + 1 } else { high = middle }
        }
        // Cutting off an earlier end may itself have been cut short, or lost by a failed sync: what then
        // follows the last unit is torn or from another time, and may seem to lie anywhere in the log. What is
        // before it may then not stay, and agree with the log all the same, which still has the record.
        while self.doubt
            && low > file
            && !(stays(low - 1)? && self.agrees(unit(files, low - 1)?, low - 1, queue)?)
        {
            low -= 1;
        }
        Ok(low)
    }

    /// Whether the log has the record of a unit, or does not have it any more.
    fn agrees(&self, unit: Option<Unit>, index: u64, queue: (&str, u32)) -> io::Result<bool> {
        let Some(unit) = unit else { return Ok(false) };
        if unit.is_blank() || unit.physical < self.segments.min_offset() {
            return Ok(true);
        }
        let (physical, size) = (unit.physical, unit.size as usize);
        let segment = self.segments.find(physical);
        let Some(segment) = segment.filter(|s| s.end() - physical >= size as u64) else {
            return Ok(false);
        };
        let mut bytes = vec![0; size];
        segment.file.read_exact_at(&mut bytes, physical - segment.base)?;
        Ok(RecordView::parse(&bytes).is_ok_and(|view| {
            (view.physical_offset(), view.size(), view.queue_offset()) == (physical, size, index)
                && queue_of(&view) == Some(queue)
        }))
    }
}

/// Unit `index`, if it is in a file.
fn unit(files: &Files, index: u64) -> io::Result<Option<Unit>> {
    let mut units = SmallVec::new();
    match files.read(index, 1, true, &mut units)? {
        Read::Units(_) => Ok(units.first().copied()),
        Read::Cold | Read::Missing => Ok(None),
    }
}
