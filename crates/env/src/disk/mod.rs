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

mod fault;
mod map;
mod mem;
mod real;
pub mod suite;
mod sys;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};
use std::path::Path;

pub use fault::{FaultPlan, SECTOR};
pub use map::Map;

use crate::{Clock, Rng};

/// A file system. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk(DiskKind);

#[derive(Clone, Debug)]
enum DiskKind {
    Real,
    Mem(mem::Disk),
}

/// An open file. Clones are the same one; it is closed with the last of them.
#[derive(Clone, Debug)]
pub struct File(FileKind);

#[derive(Clone, Debug)]
enum FileKind {
    Real(real::File),
    Mem(mem::File),
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
    /// All of it. May be more than `used` and `free` together: some is kept for the system.
    pub total: u64,
    /// What is in use.
    pub used: u64,
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
    RealDir(std::fs::File),
    Mem(mem::Lock),
}

impl Disk {
    /// The machine's file systems.
    pub fn real() -> Disk {
        Disk(DiskKind::Real)
    }

    /// An empty disk in memory that never fails. Times of files are those of a clock that stands still.
    pub fn mem() -> Disk {
        Disk::mem_with(Clock::sim())
    }

    /// An empty disk in memory that fails as `plan` says and knows what a power cut leaves. Everything
    /// random about it follows from `seed`.
    pub fn fault(seed: u64, plan: FaultPlan) -> Disk {
        Disk::fault_with(Clock::sim(), Rng::seeded(seed), plan)
    }

    pub(crate) fn mem_with(clock: Clock) -> Disk {
        Disk(DiskKind::Mem(mem::Disk::new(clock, None)))
    }

    pub(crate) fn fault_with(clock: Clock, rng: Rng, plan: FaultPlan) -> Disk {
        Disk(DiskKind::Mem(mem::Disk::new(clock, Some(fault::Faults::new(rng, plan)))))
    }

    /// Changes what fails from now on.
    ///
    /// # Panics
    /// On a disk not made by [`Disk::fault`].
    pub fn set_plan(&self, plan: FaultPlan) {
        self.sim().set_plan(plan);
    }

    /// Ends the process that uses this disk, and returns the disk as the next process finds it: all that
    /// was written is there, locks are free, the boot id is the same. Every later operation on this
    /// value and its files fails.
    ///
    /// # Panics
    /// On the machine's disk.
    #[must_use]
    pub fn kill(&self) -> Disk {
        Disk(DiskKind::Mem(self.sim().kill()))
    }

    /// Cuts the power, and returns the disk as the machine finds it afterwards: with what was synced, and
    /// an arbitrary part of what was not. The boot id is another. Every later operation on this value and
    /// its files fails.
    ///
    /// # Panics
    /// On a disk not made by [`Disk::fault`].
    #[must_use]
    pub fn crash(&self) -> Disk {
        Disk(DiskKind::Mem(self.sim().crash()))
    }

    fn sim(&self) -> &mem::Disk {
        match &self.0 {
            DiskKind::Real => panic!("the machine's disk can't be killed or made to fail"),
            DiskKind::Mem(disk) => disk,
        }
    }

    /// Opens an existing file for reading and writing.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        match &self.0 {
            DiskKind::Real => real::open(path).map(|file| File(FileKind::Real(file))),
            DiskKind::Mem(disk) => disk.open(path).map(|file| File(FileKind::Mem(file))),
        }
    }

    /// Opens a file for reading and writing, and creates it, empty, where there is none. The content of
    /// an existing file stays.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        match &self.0 {
            DiskKind::Real => real::create(path).map(|file| File(FileKind::Real(file))),
            DiskKind::Mem(disk) => disk.create(path).map(|file| File(FileKind::Mem(file))),
        }
    }

    /// Creates a directory and those above it. Existing ones are fine.
    pub fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        match &self.0 {
            DiskKind::Real => std::fs::create_dir_all(dir),
            DiskKind::Mem(disk) => disk.create_dir_all(dir),
        }
    }

    /// Gives a file or directory another name, atomically; a file of that name is replaced.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match &self.0 {
            DiskKind::Real => std::fs::rename(from, to),
            DiskKind::Mem(disk) => disk.rename(from, to),
        }
    }

    /// Removes a file or an empty directory. Open files and maps stay usable.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        match &self.0 {
            DiskKind::Real => real::remove(path),
            DiskKind::Mem(disk) => disk.remove(path),
        }
    }

    /// What a directory holds, in order of names.
    pub fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        match &self.0 {
            DiskKind::Real => real::list(dir),
            DiskKind::Mem(disk) => disk.list(dir),
        }
    }

    /// Makes the names in a directory survive a power cut: its created, renamed and removed entries.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match &self.0 {
            DiskKind::Real => real::sync_dir(dir),
            DiskKind::Mem(disk) => disk.sync_dir(dir),
        }
    }

    /// Whether there is a file or directory of this name.
    pub fn exists(&self, path: &Path) -> io::Result<bool> {
        match &self.0 {
            DiskKind::Real => path.try_exists(),
            DiskKind::Mem(disk) => disk.exists(path),
        }
    }

    /// Size of the file system that holds `dir`.
    pub fn space(&self, dir: &Path) -> io::Result<Space> {
        match &self.0 {
            DiskKind::Real => real::space(dir),
            DiskKind::Mem(disk) => disk.space(),
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
            DiskKind::Mem(disk) => {
                disk.lock(path).map(|lock| LockGuard { _held: LockKind::Mem(lock) })
            }
        }
    }

    /// Locks a directory against others that lock it so: `flock`, which leaves no file in it and which
    /// Java does not see. Fails at once with [`io::ErrorKind::WouldBlock`] when someone else, also of
    /// this process, holds it, and with [`io::ErrorKind::Unsupported`] where the file system knows no
    /// such locks.
    pub fn lock_dir(&self, dir: &Path) -> io::Result<LockGuard> {
        match &self.0 {
            DiskKind::Real => {
                real::lock_dir(dir).map(|lock| LockGuard { _held: LockKind::RealDir(lock) })
            }
            DiskKind::Mem(disk) => {
                disk.lock_dir(dir).map(|lock| LockGuard { _held: LockKind::Mem(lock) })
            }
        }
    }

    /// Names the current run of the machine: differs after a power cut or restart of the kernel, is the
    /// same after a crash of the process.
    pub fn boot_id(&self) -> io::Result<String> {
        match &self.0 {
            DiskKind::Real => real::boot_id(),
            DiskKind::Mem(disk) => disk.boot_id(),
        }
    }
}

impl File {
    /// Reads into `buf` from `offset`. Returns fewer bytes than asked only at the end of the file.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.0 {
            FileKind::Real(file) => file.read_at(buf, offset),
            FileKind::Mem(file) => file.read_at(buf, offset),
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
            FileKind::Mem(file) => file.write_at(buf, offset),
        }
    }

    /// Writes all of `bufs` one after another, with as few system calls as the system allows.
    pub fn write_vectored_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.write_vectored_at(bufs, offset),
            FileKind::Mem(file) => {
                let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
                file.write_at(&bytes, offset)
            }
        }
    }

    /// Reserves blocks for `0..len`, reading as zeros where nothing was written, so that writes there
    /// cannot fail for lack of space. The file is at least `len` long afterwards.
    pub fn allocate(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.allocate(len),
            FileKind::Mem(file) => file.allocate(len),
        }
    }

    /// Makes `len` bytes from `offset` zeros, and has the next [`File::sync_data`] make them durable,
    /// also where they read as zeros already because of a sync that failed. Blocks stay reserved; the
    /// file does not grow.
    pub fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        let len = len.min(self.len()?.saturating_sub(offset));
        if len == 0 {
            return Ok(());
        }
        match &self.0 {
            FileKind::Real(file) if file.zero(offset, len)? => Ok(()),
            _ => self.write_zeros(offset, len),
        }
    }

    fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(len.min(1 << 20)).unwrap_or(1 << 20)];
        let mut done = 0;
        while done < len {
            let step = (len - done).min(zeros.len() as u64);
            self.write_at(&zeros[..step as usize], offset + done)?;
            done += step;
        }
        Ok(())
    }

    /// Cuts the file off at `len`, or extends it with zeros. Never shorten a file that may be mapped.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.set_len(len),
            FileKind::Mem(file) => file.set_len(len),
        }
    }

    /// The length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "it can fail")]
    pub fn len(&self) -> io::Result<u64> {
        match &self.0 {
            FileKind::Real(file) => file.len(),
            FileKind::Mem(file) => file.len(),
        }
    }

    /// Makes content and length survive a power cut (`fdatasync`). After an error the state of what was
    /// written since the last success is unknown for good: the kernel may have dropped it.
    pub fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.sync_data(),
            FileKind::Mem(file) => file.sync_data(),
        }
    }

    /// Starts to write the range to the device without waiting for it; promises nothing.
    pub fn start_writeback(&self, offset: u64, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => sys::start_writeback(file, offset, len),
            FileKind::Mem(_) => Ok(()),
        }
    }

    /// Lets the page cache forget the clean pages of the range.
    pub fn drop_cache(&self, offset: u64, len: u64) -> io::Result<()> {
        match &self.0 {
            FileKind::Real(file) => file.drop_cache(offset, len),
            FileKind::Mem(_) => Ok(()),
        }
    }

    /// Reads like [`File::read_at`], but only what is in memory: `None` when it would wait for the
    /// device. May return fewer bytes than asked, where the memory ends. Waits on file systems that
    /// cannot tell.
    pub fn read_resident(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        match &self.0 {
            FileKind::Real(file) => file.read_resident(buf, offset),
            FileKind::Mem(file) => file.resident().then(|| file.read_at(buf, offset)).transpose(),
        }
    }

    /// Maps the first `len` bytes for reading. The file must be that long, and stay so.
    pub fn map(&self, len: u64) -> io::Result<Map> {
        match &self.0 {
            FileKind::Real(file) => Map::real(file, self.len()?, len),
            FileKind::Mem(file) => Map::mem(file, self.len()?, len),
        }
    }
}
