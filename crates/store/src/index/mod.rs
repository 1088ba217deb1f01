//! The key index: which records have a key, in the reference's index files (store format §9).
//!
//! Appending only adds hashes to a bounded list in memory; a worker writes them. Where the list is full,
//! or files are missing, the worker reads the missing part back from the log. The reference touches a
//! random slot of the file per key; here the slots of the newest file are in memory and written when
//! it is full or closed, and after a crash they are made again from its items.

mod file;
mod keys;
mod slots;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use env::{Clock, Disk};
use parking_lot::{Mutex, MutexGuard};

pub(crate) use self::file::IndexFile;
pub use self::keys::{Keys, Lookup};
pub(crate) use self::keys::{hash_keys, hash_lookup, key_prefix};
use crate::limits;
use crate::queue::files::remove_if_there;

/// Sizes of an index file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) slots: u32,
    pub(crate) items: u32,
}

impl Layout {
    /// Bytes of a file.
    pub(crate) fn file_bytes(self) -> u64 {
        file::file_bytes(self)
    }
}

/// The key index.
#[derive(Debug)]
pub(crate) struct Index {
    disk: Disk,
    clock: Clock,
    dir: PathBuf,
    layout: Layout,
    staged: Mutex<Staged>,
    /// Oldest first; items are added to the last one.
    files: Mutex<VecDeque<IndexFile>>,
    /// Log offset of the last record that was in the files when they were opened. Recovery may derive it
    /// again, and the files cannot tell one more key of it from one that is there.
    opened_with: Option<u64>,
}

/// Items that are not in a file yet.
#[derive(Debug, Default)]
struct Staged {
    items: Vec<Item>,
    lost: Option<Lost>,
}

/// A part of the log whose keys have to be read back from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Log offset where it starts.
    pub(crate) from: u64,
    /// Log offset of the last record of it.
    pub(crate) last: u64,
}

/// One key of one record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) hash: u32,
    pub(crate) physical: u64,
    pub(crate) store_timestamp: i64,
}

impl Index {
    /// Opens the files. Items of records from `log_end` on are dropped: they will be added again. With
    /// `slots_valid`, the newest file was closed and its slots can be used.
    pub(crate) fn open(
        disk: Disk,
        clock: Clock,
        dir: PathBuf,
        layout: Layout,
        log: OpenAt,
    ) -> io::Result<Index> {
        disk.create_dir_all(&dir)?;
        let mut files = VecDeque::new();
        let mut names: Vec<String> = disk.list(&dir)?.into_iter().map(|entry| entry.name).collect();
        names.retain(|name| is_name(name));
        let newest = names.last().cloned();
        for name in names {
            if files.back().is_some_and(IndexFile::is_open_ended) {
                // All its items lie behind the end of the log, as those of the file before in part did.
                disk.remove(&dir.join(&name))?;
                continue;
            }
            let valid = log.slots_valid || Some(&name) != newest.as_ref();
            match IndexFile::open(&disk, dir.join(&name), layout, valid, log.end)? {
                Some(mut file) => {
                    if file.is_empty() {
                        // Its header may be damaged, and no item says what it should be.
                        file.restart(files.back().map(IndexFile::ends))?;
                    }
                    files.push_back(file);
                }
                None => tracing::warn!(file = name, "an index file is unusable and is made again"),
            }
        }
        let lost = (files.is_empty() && log.end > log.min)
            .then(|| Lost { from: log.min, last: log.end - 1 });
        let used = |file: &&IndexFile| !file.is_empty();
        let opened_with = files.iter().rev().find(used).map(IndexFile::end_offset);
        let staged = Mutex::new(Staged { items: Vec::new(), lost });
        Ok(Index { disk, clock, dir, layout, staged, files: Mutex::new(files), opened_with })
    }

    /// Lets keys of records be added; never waits for the disk.
    pub(crate) fn staging(&self) -> Staging<'_> {
        Staging(self.staged.lock())
    }

    /// Writes what is staged. What cannot be written is read back from the log later.
    pub(crate) fn write_out(&self) -> io::Result<()> {
        let mut files = self.files.lock();
        let items = std::mem::take(&mut self.staged.lock().items);
        let mut result = Ok(());
        for (done, item) in items.iter().enumerate() {
            if let Err(error) = self.put(&mut files, *item) {
                self.staged.lock().lose(items[done].physical, items[items.len() - 1].physical);
                result = Err(error);
                break;
            }
        }
        if let Some(file) = files.back_mut() { file.flush().and(result) } else { result }
    }

    /// Writes before too much is staged: where a pass takes long, and in recovery, which has none.
    pub(crate) fn write_out_if_much(&self) -> io::Result<()> {
        if self.staged.lock().items.len() > limits::INDEX_WAKE { self.write_out() } else { Ok(()) }
    }

    /// The part of the log that has to be read back.
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.staged.lock().lost
    }

    /// Adds an item that was read back from the log.
    pub(crate) fn put_back(&self, item: Item) -> io::Result<()> {
        self.put(&mut self.files.lock(), item)
    }

    /// Says that the log was read back up to `end`. Returns whether nothing is missing any more.
    pub(crate) fn restored(&self, end: u64) -> bool {
        let mut staged = self.staged.lock();
        match &mut staged.lost {
            Some(lost) if lost.last >= end => {
                lost.from = end;
                false
            }
            _ => {
                staged.lost = None;
                true
            }
        }
    }

    fn put(&self, files: &mut VecDeque<IndexFile>, item: Item) -> io::Result<()> {
        if self.opened_with.is_some_and(|known| item.physical <= known) {
            return Ok(());
        }
        if files.back().is_none_or(IndexFile::is_full) {
            let before = match files.back_mut() {
                Some(full) => {
                    full.close()?;
                    Some(full.ends())
                }
                None => None,
            };
            let newest = files.back().map(|file| file.name().to_owned());
            let name = file::name_at(self.clock.wall_ms(), newest.as_deref());
            let file = IndexFile::create(&self.disk, self.dir.join(name), self.layout, before)?;
            self.disk.sync_dir(&self.dir)?;
            files.push_back(file);
        }
        let last = files.back_mut().expect("a file was added where there was none");
        last.put(item)
    }

    /// Log offsets of records that may have the key with this hash and were stored between the two times,
    /// newest first; `each` says whether to go on. Records of other keys may be among them.
    pub(crate) fn find(
        &self,
        hash: u32,
        stored_ms: std::ops::RangeInclusive<i64>,
        mut each: impl FnMut(u64) -> bool,
    ) -> io::Result<()> {
        self.write_out()?;
        let mut files = self.files.lock();
        for file in files.iter_mut().rev() {
            if !file.find(hash, &stored_ms, &mut each)? || file.begins_before(*stored_ms.start()) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Deletes files whose records are all gone from the log, never the newest.
    pub(crate) fn expire(&self, log_min: u64) -> io::Result<()> {
        let mut files = self.files.lock();
        while files.len() > 1
            && let Some(file) = files.front().filter(|file| file.end_offset() < log_min)
        {
            remove_if_there(&self.disk, file.path())?;
            files.pop_front();
        }
        Ok(())
    }

    /// Makes what was written survive a power cut. After a failure it fails for good.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files.lock().back_mut().map_or(Ok(()), IndexFile::sync)
    }

    /// Items that are in memory only.
    #[cfg(test)]
    pub(crate) fn staged(&self) -> usize {
        self.staged.lock().items.len()
    }

    /// Whether a sync failed, of a checkpoint or where a file was full.
    pub(crate) fn has_failed(&self) -> bool {
        self.files.lock().back().is_some_and(IndexFile::has_failed)
    }

    /// Writes the slots of the newest file, so that it can be used as it is.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.write_out()?;
        self.files.lock().back_mut().map_or(Ok(()), IndexFile::close)
    }

    /// Store timestamp of the last message in the last full file.
    pub(crate) fn full_ms(&self) -> i64 {
        let files = self.files.lock();
        files.iter().rev().nth(1).map_or(0, |file| file.ends().1)
    }
}

/// Whether a file in the directory is one of the index; others are left alone.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() == 17 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Takes keys of records over, holding the list of them.
#[derive(Debug)]
pub(crate) struct Staging<'a>(MutexGuard<'a, Staged>);

impl Staging<'_> {
    /// Takes the keys of a record over.
    pub(crate) fn add(&mut self, physical: u64, store_timestamp: i64, hashes: &[u32]) {
        if let Some(lost) = &mut self.0.lost_with(hashes.len(), physical) {
            lost.last = physical;
            return;
        }
        let item = |hash: &u32| Item { hash: *hash, physical, store_timestamp };
        self.0.items.extend(hashes.iter().map(item));
    }
}

/// What the log is like when the index is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenAt {
    /// Log offset of its first byte.
    pub(crate) min: u64,
    /// Log offset up to which everything was derived.
    pub(crate) end: u64,
    /// Whether the newest file was closed and its slots can be used.
    pub(crate) slots_valid: bool,
}

impl Staged {
    /// The lost part that a record at `physical` belongs to: once something is lost, what follows is too.
    fn lost_with(&mut self, hashes: usize, physical: u64) -> &mut Option<Lost> {
        if self.lost.is_none() && self.items.len() + hashes > limits::INDEX_QUEUE {
            self.lost = Some(Lost { from: physical, last: physical });
        }
        &mut self.lost
    }

    fn lose(&mut self, from: u64, last: u64) {
        let known = self.lost.unwrap_or(Lost { from, last });
        self.lost = Some(Lost { from: known.from.min(from), last: known.last.max(last) });
        // They follow, and are read back with the rest.
        if let Some(item) = self.items.last() {
            let last = known.last.max(item.physical);
            self.lost = Some(Lost { from: known.from.min(from), last });
            self.items.clear();
        }
    }
}

#[cfg(test)]
mod tests;
