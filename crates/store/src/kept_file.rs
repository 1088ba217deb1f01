//! A file of the log or of the index: open while it is written and not synced, else opened for each use.
//!
//! A log of a terabyte has a thousand files, and few of them are used at a time: mapped ones need no open
//! file, and a read that goes to the device costs far more than opening one.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use env::Disk;
use env::disk::{File, Map};

/// One file that few of many are written or read of.
#[derive(Debug)]
pub(crate) struct KeptFile {
    disk: Disk,
    path: PathBuf,
    open: ArcSwapOption<File>,
}

impl KeptFile {
    /// A file that exists, not open yet.
    pub(crate) fn new(disk: &Disk, path: PathBuf) -> KeptFile {
        KeptFile { disk: disk.clone(), path, open: ArcSwapOption::empty() }
    }

    /// A file that was just created.
    pub(crate) fn created(disk: &Disk, path: PathBuf, file: File) -> KeptFile {
        KeptFile { open: ArcSwapOption::from_pointee(file), ..KeptFile::new(disk, path) }
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, or one that is open for this use.
    pub(crate) fn get(&self) -> io::Result<Arc<File>> {
        match self.open.load_full() {
            Some(file) => Ok(file),
            None => Ok(Arc::new(self.disk.open(&self.path)?)),
        }
    }

    /// The file, open until [`KeptFile::close`]: an error of the device while it is written is told to
    /// those who have it open.
    pub(crate) fn keep(&self) -> io::Result<Arc<File>> {
        if let Some(file) = self.open.load_full() {
            return Ok(file);
        }
        let file = Arc::new(self.disk.open(&self.path)?);
        self.open.store(Some(Arc::clone(&file)));
        Ok(file)
    }

    /// Closes it, when all of it is synced.
    pub(crate) fn close(&self) {
        self.open.store(None);
    }

    /// As [`File::write_at`].
    pub(crate) fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.keep()?.write_at(buf, offset)
    }

    /// As [`File::write_vectored_at`].
    pub(crate) fn write_vectored_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.keep()?.write_vectored_at(bufs, offset)
    }

    /// As [`File::read_at`].
    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.get()?.read_at(buf, offset)
    }

    /// As [`File::read_exact_at`].
    pub(crate) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.get()?.read_exact_at(buf, offset)
    }

    /// As [`File::sync_data`].
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.get()?.sync_data()
    }

    /// As [`File::start_writeback`].
    pub(crate) fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        self.get()?.start_writeback(offset, len)
    }

    /// As [`File::map`].
    pub(crate) fn map(&self, len: u64) -> io::Result<Map> {
        self.get()?.map(len)
    }
}
