//! The files of one consume queue.
//!
//! Unit `n` lies at byte `n * 20` of the whole; a file is named by the first byte it holds and has its
//! full length, sparse, from creation. Units before the first real one of a queue that does not start
//! at 0 are blanks. Only the queue writer and recovery write here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use env::Disk;
use env::disk::File;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::unit::{UNIT, Unit};
use crate::limits;
use crate::segment::{file_name, is_file_name};

/// What the files of all queues have in common.
#[derive(Debug)]
pub(crate) struct FilesShared {
    pub(crate) disk: Disk,
    /// `consumequeue/`.
    pub(crate) root: PathBuf,
    /// Units of one file.
    pub(crate) file_units: u64,
    /// Most files that stay open, over all queues.
    most_open: usize,
    /// Open files, over all queues.
    open: AtomicUsize,
}

/// The files of a queue.
#[derive(Debug)]
pub(crate) struct Files {
    shared: Arc<FilesShared>,
    pub(crate) dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Index of the first unit of the first file; `None` while there is no file.
    first: Option<u64>,
    /// Open files by the index of their first unit: the one written and the one read last.
    open: SmallVec<[(u64, File); 2]>,
    /// Files written since they were last synced, by the index of their first unit.
    unsynced: SmallVec<[u64; 2]>,
}

/// What a read of units found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many units were added; fewer than wanted at the end of a file or of the queue.
    Units(usize),
    /// They are not in memory.
    Cold,
    /// Their file does not exist.
    Missing,
}

impl FilesShared {
    pub(crate) fn new(disk: Disk, root: PathBuf, file_bytes: u64) -> FilesShared {
        let file_units = file_bytes.div_ceil(UNIT);
        let most_open = limits::open_queue_files(env::limits::open_files());
        FilesShared { disk, root, file_units, most_open, open: AtomicUsize::new(0) }
    }

    /// Bytes of one file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_units * UNIT
    }

    /// Whether more files are open than should stay so.
    pub(crate) fn too_many_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > self.most_open
    }
}

impl Files {
    /// Files of a queue that has none yet, or whose first file starts with unit `first`.
    pub(crate) fn new(shared: Arc<FilesShared>, topic: &str, id: u32, first: Option<u64>) -> Files {
        let dir = shared.root.join(topic).join(id.to_string());
        Files { shared, dir, state: Mutex::new(State { first, ..State::default() }) }
    }

    /// Index of the first unit that is in a file.
    pub(crate) fn first(&self) -> Option<u64> {
        self.state.lock().first
    }

    /// Index of the first unit of the file that holds unit `index`.
    fn file_of(&self, index: u64) -> u64 {
        index - index % self.shared.file_units
    }

    pub(crate) fn path(&self, file: u64) -> PathBuf {
        self.dir.join(file_name(file * UNIT))
    }

    /// Adds at most `max` units from `index` on to `out`, which all are in one file. With `wait`, waits
    /// for the device.
    pub(crate) fn read(
        &self,
        index: u64,
        max: usize,
        wait: bool,
        out: &mut SmallVec<[Unit; 64]>,
    ) -> io::Result<Read> {
        const CHUNK: usize = 64;
        let file = self.file_of(index);
        let left = usize::try_from(file + self.shared.file_units - index).unwrap_or(CHUNK);
        let count = max.min(CHUNK).min(left);
        let Some(handle) = self.open(file)? else { return Ok(Read::Missing) };
        let mut buf = [0; CHUNK * UNIT as usize];
        let buf = &mut buf[..count * UNIT as usize];
        let at = (index - file) * UNIT;
        let read = if wait {
            handle.read_at(buf, at)?
        } else {
            match handle.read_resident(buf, at)? {
                Some(read) => read,
                None => return Ok(Read::Cold),
            }
        };
        let before = out.len();
        out.extend(buf[..read].chunks_exact(UNIT as usize).map_while(Unit::decode));
        // A part of what was asked may have been in memory, and not even one unit of it.
        let got = out.len() - before;
        Ok(if got == 0 && read < buf.len() && !wait { Read::Cold } else { Read::Units(got) })
    }

    /// Writes units from `index` on, as many as fit into one file, and returns how many.
    pub(crate) fn write(&self, index: u64, units: &[u8]) -> io::Result<usize> {
        let file = self.file_of(index);
        let handle = match self.open(file)? {
            Some(handle) => handle,
            None => self.create(file, index)?,
        };
        let at = (index - file) * UNIT;
        let fits = usize::try_from(self.shared.file_bytes() - at).unwrap_or(usize::MAX);
        let units = &units[..units.len().min(fits)];
        handle.write_at(units, at)?;
        let mut state = self.state.lock();
        if !state.unsynced.contains(&file) {
            state.unsynced.push(file);
        }
        Ok(units.len() / UNIT as usize)
    }

    /// Creates the file whose first unit is `file`, with blanks before unit `index`.
    fn create(&self, file: u64, index: u64) -> io::Result<File> {
        let disk = &self.shared.disk;
        disk.create_dir_all(&self.dir)?;
        let handle = disk.create(&self.path(file))?;
        handle.set_len(self.shared.file_bytes())?;
        let blanks: Vec<u8> = (file..index).flat_map(|_| Unit::BLANK.encode()).collect();
        handle.write_at(&blanks, 0)?;
        let mut state = self.state.lock();
        state.first = Some(state.first.map_or(file, |first| first.min(file)));
        self.keep(&mut state, file, &handle);
        Ok(handle)
    }

    fn open(&self, file: u64) -> io::Result<Option<File>> {
        let mut state = self.state.lock();
        if state.first.is_none_or(|first| file < first) {
            return Ok(None);
        }
        if let Some((_, handle)) = state.open.iter().find(|(first, _)| *first == file) {
            return Ok(Some(handle.clone()));
        }
        match self.shared.disk.open(&self.path(file)) {
            // Its creation was cut short, by a full disk: it is done again.
            Ok(handle) if handle.len()? < self.shared.file_bytes() => Ok(None),
            Ok(handle) => {
                self.keep(&mut state, file, &handle);
                Ok(Some(handle))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keep(&self, state: &mut State, file: u64, handle: &File) {
        if state.open.len() == 2 {
            // The higher one is the one that is written, mostly.
            let lower = usize::from(state.open[0].0 > state.open[1].0);
            state.open.remove(lower);
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
        }
        if !self.shared.too_many_open() {
            state.open.push((file, handle.clone()));
            self.shared.open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Closes its open files.
    pub(crate) fn close(&self) {
        let closed = std::mem::take(&mut self.state.lock().open).len();
        self.shared.open.fetch_sub(closed, Ordering::Relaxed);
    }

    /// The first unit of the first file behind the one that would hold unit `index`.
    pub(crate) fn next(&self, index: u64) -> io::Result<Option<u64>> {
        let mut files = list(&self.shared.disk, &self.dir)?.into_iter();
        Ok(files.find(|file| *file > index && *file == self.file_of(*file)))
    }

    /// Makes everything written survive a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let unsynced = std::mem::take(&mut self.state.lock().unsynced);
        for (done, file) in unsynced.iter().enumerate() {
            let synced = match self.open(*file) {
                Ok(Some(handle)) => handle.sync_data(),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = synced {
                self.state.lock().unsynced.extend_from_slice(&unsynced[done..]);
                return Err(error);
            }
        }
        if unsynced.is_empty() {
            return Ok(());
        }
        // The names too: of the file, the queue's directory, and the topic's.
        let mut up_to_root =
            self.dir.ancestors().take_while(|dir| dir.starts_with(&self.shared.root));
        up_to_root.try_for_each(|dir| self.shared.disk.sync_dir(dir))
    }

    /// Deletes files from the first on while `gone` says so of their last unit, never the file with the last
    /// unit before `end`, which must be in a file: without any file it would not be known where the queue
    /// goes on. Returns how many.
    pub(crate) fn expire(&self, end: u64, gone: impl Fn(Unit) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        while let Some(first) = self.first() {
            let next = first + self.shared.file_units;
            let mut last = SmallVec::new();
            if next >= end || self.read(next - 1, 1, true, &mut last)? == Read::Cold {
                break;
            }
            if !last.first().is_none_or(|unit| gone(*unit)) {
                break;
            }
            self.remove(first)?;
            self.state.lock().first = Some(next);
            removed += 1;
        }
        Ok(removed)
    }

    /// Cuts the queue off before unit `end`: later files go, and the rest of the file with `end`
    /// becomes zeros, durably.
    pub(crate) fn truncate(&self, end: u64) -> io::Result<()> {
        let mut files = list(&self.shared.disk, &self.dir)?;
        files.retain(|file| *file > end || (*file == end && Some(*file) != self.first()));
        for file in files.iter().rev() {
            self.remove(*file)?;
        }
        let file = self.file_of(end);
        if let Some(handle) = self.open(file)? {
            let at = (end - file) * UNIT;
            // The unit at the end goes last: as long as it is there, it is known that others follow.
            let behind = (at + UNIT).min(self.shared.file_bytes());
            zero_from(&handle, behind, self.shared.file_bytes())?;
            handle.sync_data()?;
            zero_from(&handle, at, behind)?;
            handle.sync_data()?;
        }
        if files.is_empty() { Ok(()) } else { self.shared.disk.sync_dir(&self.dir) }
    }

    /// Deletes all files, so that the queue starts anew at any unit.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for file in list(&self.shared.disk, &self.dir)? {
            self.remove(file)?;
        }
        self.state.lock().first = None;
        // A queue that was read and never written has no directory.
        if !self.shared.disk.exists(&self.dir)? {
            return Ok(());
        }
        self.shared.disk.sync_dir(&self.dir)
    }

    fn remove(&self, file: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let before = state.open.len();
        state.open.retain(|(first, _)| *first != file);
        state.unsynced.retain(|first| *first != file);
        self.shared.open.fetch_sub(before - state.open.len(), Ordering::Relaxed);
        remove_if_there(&self.shared.disk, &self.path(file))
    }
}

/// Deletes a file that somebody else may have deleted before.
pub(crate) fn remove_if_there(disk: &Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// First units of the files in a queue's directory, in order; other names are none of ours.
pub(crate) fn list(disk: &Disk, dir: &Path) -> io::Result<Vec<u64>> {
    Ok(list_with_len(disk, dir)?.into_iter().map(|(first, _)| first).collect())
}

/// First units and bytes of the files in a queue's directory, in order.
pub(crate) fn list_with_len(disk: &Disk, dir: &Path) -> io::Result<Vec<(u64, u64)>> {
    if !disk.exists(dir)? {
        return Ok(Vec::new());
    }
    let mut files = disk.list(dir)?;
    files.retain(|entry| !entry.is_dir && is_file_name(&entry.name));
    let first = |name: &str| name.parse().ok().map(|byte: u64| byte / UNIT);
    Ok(files.iter().filter_map(|entry| Some((first(&entry.name)?, entry.len))).collect())
}

/// Makes the bytes from `at` to `end` zeros, writing only where they do not read as such: zeros that a
/// failed sync lost may come back as what they were.
pub(crate) fn zero_from(file: &File, at: u64, end: u64) -> io::Result<()> {
    const STEP: usize = 1 << 20;
    let mut buf = vec![0; STEP];
    let zeros = vec![0; STEP];
    let mut at = at;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(STEP).min(STEP);
        let read = file.read_at(&mut buf[..len], at)?;
        if buf[..read] != zeros[..read] {
            file.write_at(&zeros[..read], at)?;
        }
        if read < len {
            break;
        }
        at += len as u64;
    }
    Ok(())
}
