//! Files: the machine's, or simulated ones that lose what was not synced.
//!
//! Rules that every user relies on, whatever is inside:
//! - Everything is written with [`File::write_at`], never through a mapping: an error is a `Result`
//!   instead of a signal, and a simulated disk sees each write.
//! - A write is visible to every later read, also through a [`Map`] made before it.
//! - Content and length survive a power cut only after [`File::sync_data`]; a created, renamed or
//!   removed name only after [`Disk::sync_dir`] of its directory. Everything survives the end of the
//!   process alone.
//! - A file that may be mapped is never made shorter.

mod map;
mod real;
mod sys;

use std::io::{self, IoSlice};
use std::path::Path;

pub use map::Map;

/// A file system. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk(DiskKind);

#[derive(Clone, Debug)]
enum DiskKind {
    Real,
}

/// An open file. Clones are the same one; it is closed with the last of them.
#[derive(Clone, Debug)]
pub struct File(FileKind);

#[derive(Clone, Debug)]
enum FileKind {
    Real(real::File),
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last component of its path. Names that are not UTF-8 are not listed.
    pub name: String,
    /// Bytes of a file, 0 for a directory.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Wall time of the last change of the content, in milliseconds since 1970.
    pub modified_ms: i64,
}

/// Size of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this process may still use.
    pub free: u64,
}

/// Holds a file that [`Disk::lock`] locked, until dropped.
#[derive(Debug)]
pub struct LockGuard {
    _held: LockKind,
}

#[derive(Debug)]
#[allow(dead_code, reason = "held for its drop")]
enum LockKind {
    Real(real::Lock),
}

impl Disk {
    /// The machine's file systems.
    pub fn real() -> Disk {
        Disk(DiskKind::Real)
    }

    /// Opens an existing file for reading and writing.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        match &self.0 {
            DiskKind::Real => real::open(path).map(|file| File(FileKind::Real(file))),
        }
    }

    /// Opens a file for reading and writing, and creates it, empty, where there is none. The content of
    /// an existing file stays.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        match &self.0 {
            DiskKind::Real => real::create(path).map(|file| File(FileKind::Real(file))),
        }
    }

    /// Creates a directory and those above it. Existing ones are fine.
    pub fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        match &self.0 {
            DiskKind::Real => std::fs::create_dir_all(dir),
        }
    }

    /// Gives a file or directory another name, atomically; a file of that name is replaced.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.0 {
            DiskKind::Real => std::fs::rename(from, to),
        }
    }

    /// Removes a file or an empty directory. Open files and maps stay usable.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            DiskKind::Real => real::remove(path),
        }
    }

    /// What a directory holds, in order of names.
    pub fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        match &self.0 {
            DiskKind::Real => real::list(dir),
        }
    }

    /// Makes the names in a directory survive a power cut: its created, renamed and removed entries.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match &self.0 {
            DiskKind::Real => real::sync_dir(dir),
        }
    }

    /// Whether there is a file or directory of this name.
    pub fn exists(&self, path: &Path) -> io::Result<bool> {
        match &self.0 {
            DiskKind::Real => path.try_exists(),
        }
    }

    /// Size of the file system that holds `dir`.
    pub fn space(&self, dir: &Path) -> io::Result<Space> {
        match &self.0 {
            DiskKind::Real => real::space(dir),
        }
    }

    /// Locks a file, which is created where absent, against other processes and against this one:
    /// `fcntl(F_SETLK)`, which conflicts with the lock that Java's `FileChannel.tryLock` takes.
    /// Fails at once with [`io::ErrorKind::WouldBlock`] when someone else holds it. While the guard
    /// lives, this process must not open the file by another way: closing that would unlock it.
    pub fn lock(&self, path: &Path) -> io::Result<LockGuard> {
        match &self.0 {
            DiskKind::Real => {
                real::lock(path).map(|lock| LockGuard { _held: LockKind::Real(lock) })
            }
        }
    }

    /// Names the current run of the machine: differs after a power cut or restart of the kernel, is the
    /// same after a crash of the process.
    pub fn boot_id(&self) -> io::Result<String> {
        match &self.0 {
            DiskKind::Real => real::boot_id(),
        }
    }
}

impl File {
    /// Reads into `buf` from `offset`. Returns fewer bytes than asked only at the end of the file.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.0 {
            FileKind::Real(file) => file.read_at(buf, offset),
        }
    }

    /// Fills `buf` from `offset`, or fails with [`io::ErrorKind::UnexpectedEof`].
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.read_at(buf, offset)?;
        if read < buf.len() {
            let wanted = buf.len();
            let message = format!("file ends after {read} of {wanted} bytes at offset {offset}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(())
    }

    /// Writes all of `buf` at `offset`; the file grows as needed. After an error any part of it may
    /// have been written.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.write_at(buf, offset),
        }
    }

    /// Writes all of `bufs` one after another, with as few system calls as the system allows.
    pub fn write_vectored_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.write_vectored_at(bufs, offset),
        }
    }

    /// Reserves blocks for `0..len`, reading as zeros where nothing was written, so that writes there
    /// cannot fail for lack of space. The file is at least `len` long afterwards.
    pub fn allocate(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.allocate(len),
        }
    }

    /// Cuts the file off at `len`, or extends it with zeros. Never shorten a file that may be mapped.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.set_len(len),
        }
    }

    /// The length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "it can fail")]
    pub fn len(&self) -> io::Result<u64> {
        match &self.0 {
            FileKind::Real(file) => file.len(),
        }
    }

    /// Makes content and length survive a power cut (`fdatasync`). After an error the state of what was
    /// written since the last success is unknown for good: the kernel may have dropped it.
    pub fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.sync_data(),
        }
    }

    /// Starts to write the range to the device without waiting for it; promises nothing.
    pub fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => sys::start_writeback(file, offset, len),
        }
    }

    /// Lets the page cache forget the clean pages of the range.
    pub fn drop_cache(&self, offset: u64, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.drop_cache(offset, len),
        }
    }

    /// Reads like [`File::read_at`], but only what is in memory: `None` when it would wait for the
    /// device. May return fewer bytes than asked, where the memory ends.
    pub fn read_resident(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        match &self.0 {
            FileKind::Real(file) => file.read_resident(buf, offset),
        }
    }

    /// Maps the first `len` bytes for reading. The file must be that long, and stay so.
    pub fn map(&self, len: u64) -> io::Result<Map> {
        match &self.0 {
            FileKind::Real(file) => Map::real(file, self.len()?, len),
        }
    }
}
