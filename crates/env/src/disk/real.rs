//! The machine's files, by positioned reads and writes.

use std::collections::BTreeSet;
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, fadvise, fallocate, fcntl_lock, flock};
use rustix::io::{Errno, ReadWriteFlags};

use super::{Entry, Space};

/// Buffers in one `pwritev`: `IOV_MAX` of Linux.
const MAX_VECTORS: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct File(Arc<std::fs::File>);

pub(super) fn open(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new().read(true).write(true).open(path).map(|f| File(Arc::new(f)))
}

pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map(|f| File(Arc::new(f)))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        std::fs::remove_dir(path)
    } else {
        std::fs::remove_file(path)
    }
}

pub(super) fn list(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let metadata = match std::fs::metadata(entry.path()) {
            // Removed since it was listed, or a dangling link.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let is_dir = metadata.is_dir();
        entries.push(Entry {
            name,
            len: if is_dir { 0 } else { metadata.len() },
            is_dir,
            modified_ms: metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000,
        });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

pub(super) fn space(dir: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(dir)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
    Ok(Space { total: bytes(stat.f_blocks), used, free: bytes(stat.f_bavail) })
}

pub(super) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl File {
    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    pub(super) fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    pub(super) fn write_vectored_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut offset = offset;
        for bufs in bufs.chunks(MAX_VECTORS) {
            let mut written = loop {
                match rustix::io::pwritev(&self.0, bufs, offset) {
                    Err(Errno::INTR) => {}
                    other => break other?,
                }
            };
            // A short write is rare (a full disk, a signal): the rest goes buffer by buffer.
            for buf in bufs {
                let done = written.min(buf.len());
                written -= done;
                self.0.write_all_at(&buf[done..], offset + done as u64)?;
                offset += buf.len() as u64;
            }
        }
        Ok(())
    }

    pub(super) fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        loop {
            match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                // Some network file systems can't reserve; then space is found, or not, on writing.
                Err(Errno::OPNOTSUPP) if self.len()? < len => return self.set_len(len),
                Err(Errno::OPNOTSUPP) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes a range zeros without writing it; `false` where the file system cannot.
    pub(super) fn zero(&self, offset: u64, len: u64) -> io::Result<bool> {
        loop {
            match fallocate(&self.0, FallocateFlags::ZERO_RANGE, offset, len) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    pub(super) fn drop_cache(&self, offset: u64, len: u64) -> io::Result<()> {
        // A length of 0 means "to the end" to the kernel.
        let Some(len) = NonZero::new(len) else { return Ok(()) };
        Ok(fadvise(&self.0, offset, Some(len), Advice::DontNeed)?)
    }

    pub(super) fn read_resident(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        loop {
            let mut bufs = [IoSliceMut::new(buf)];
            match rustix::io::preadv2(&self.0, &mut bufs, offset, ReadWriteFlags::NOWAIT) {
                Ok(read) => return Ok(Some(read)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                // The file system does not know the flag, as tmpfs: were nothing ever resident there,
                // whoever reads it in and looks again would do so forever.
                Err(Errno::OPNOTSUPP) => return self.read_at(buf, offset).map(Some),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Files that this process holds locked, by device and inode: the kernel's record locks belong to the
/// process, so it would grant the same lock to it twice.
static LOCKED: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

#[derive(Debug)]
pub(super) struct Lock {
    /// Closing it ends the kernel's lock. Taken only when dropped.
    file: Option<File>,
    inode: (u64, u64),
}

pub(super) fn lock(path: &Path) -> io::Result<Lock> {
    let mut locked = LOCKED.lock();
    // Looked at before opening: closing a second descriptor would release the lock of the first.
    if let Ok(metadata) = std::fs::metadata(path)
        && locked.contains(&(metadata.dev(), metadata.ino()))
    {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let file = create(path)?;
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        Errno::ACCESS | Errno::AGAIN => io::ErrorKind::WouldBlock.into(),
        other => io::Error::from(other),
    })?;
    let metadata = file.0.metadata()?;
    let inode = (metadata.dev(), metadata.ino());
    locked.insert(inode);
    Ok(Lock { file: Some(file), inode })
}

pub(super) fn lock_dir(dir: &Path) -> io::Result<std::fs::File> {
    let dir = std::fs::File::open(dir)?;
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(dir),
        Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        // Network file systems make record locks of these, which a directory cannot have.
        Err(Errno::BADF | Errno::NOLCK | Errno::OPNOTSUPP | Errno::INVAL) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        Err(other) => Err(other.into()),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closed before anyone in this process may lock it again: closing later would end that lock too.
        let mut locked = LOCKED.lock();
        drop(self.file.take());
        locked.remove(&self.inode);
    }
}
