//! Read-only maps of files.
//!
//! A real map is one shared mapping that later writes show through, owned by one `Bytes` that every
//! slice refers to: no copy, and it outlives the removal of the file. A simulated map copies from the
//! file whenever a slice is taken, so it too shows what was written after it was made.
#![allow(unsafe_code, reason = "mapping a file, and asking what of it is resident")]

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};

use super::mem;

/// The first bytes of a file, readable as memory. Clones are the same map.
#[derive(Clone, Debug)]
pub struct Map(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real(Bytes),
    Mem { file: mem::File, len: u64 },
}

/// Owns a mapping on behalf of a `Bytes`.
struct Mapping(MmapRaw);

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping is readable, `len` bytes long and lives as long as `self`. Its file is at
        // least that long and never made shorter (rule of `disk`), so no access can fault for lack of a
        // page. Bytes of it may change under this slice when the file is written: readers take slices
        // only of ranges whose writes they have seen completed, and those are not written again.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr(), self.0.len()) }
    }
}

impl Map {
    /// Maps `len` bytes of a file that has `file_len`.
    pub(super) fn real(file: &impl AsFd, file_len: u64, len: u64) -> io::Result<Map> {
        check_len(file_len, len)?;
        let Ok(len) = usize::try_from(len) else { return Err(io::ErrorKind::OutOfMemory.into()) };
        if len == 0 {
            return Ok(Map(Kind::Real(Bytes::new())));
        }
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file.as_fd());
        let mapping = MmapOptions::new().len(len).map_raw_read_only(fd)?;
        Ok(Map(Kind::Real(Bytes::from_owner(Mapping(mapping)))))
    }

    pub(super) fn mem(file: &mem::File, file_len: u64, len: u64) -> io::Result<Map> {
        check_len(file_len, len)?;
        Ok(Map(Kind::Mem { file: file.clone(), len }))
    }

    /// The bytes of `range`: of a real map without a copy.
    ///
    /// # Panics
    /// When the range leaves the map.
    pub fn slice(&self, range: Range<u64>) -> Bytes {
        match &self.0 {
            Kind::Real(bytes) => bytes.slice(in_memory(range)),
            Kind::Mem { file, len } => {
                assert!(range.end <= *len, "{range:?} leaves a map of {len} bytes");
                file.mapped(in_memory(range))
            }
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Real(bytes) => bytes.len() as u64,
            Kind::Mem { len, .. } => *len,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all of `range` is in memory, so that reading it waits for no device.
    ///
    /// # Panics
    /// When the range leaves the map.
    pub fn resident(&self, range: Range<u64>) -> bool {
        match &self.0 {
            Kind::Real(bytes) => pages_resident(&bytes[in_memory(range)]),
            Kind::Mem { file, len } => {
                assert!(range.end <= *len, "{range:?} leaves a map of {len} bytes");
                file.resident()
            }
        }
    }
}

fn check_len(file_len: u64, len: u64) -> io::Result<()> {
    if len <= file_len {
        return Ok(());
    }
    let message = format!("cannot map {len} bytes of a file of {file_len}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// A range of a map, which has at most `usize::MAX` bytes, as indices.
fn in_memory(range: Range<u64>) -> Range<usize> {
    let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
    index(range.start)..index(range.end)
}

/// `mincore(2)` in steps of a fixed buffer; an error counts as "not resident".
fn pages_resident(bytes: &[u8]) -> bool {
    const PAGES: usize = 256;
    if bytes.is_empty() {
        return true;
    }
    let page = rustix::param::page_size();
    let start = bytes.as_ptr().addr();
    let end = start + bytes.len();
    let mut at = start - start % page;
    let mut flags = [0u8; PAGES];
    while at < end {
        let len = (end - at).min(PAGES * page);
        let pages = len.div_ceil(page);
        // SAFETY: `at` is a multiple of the page size inside a mapping that `bytes` keeps alive (the
        // kernel only looks the range up), and `flags` has room for one byte per page.
        let result = unsafe {
            let address = bytes.as_ptr().with_addr(at).cast_mut().cast();
            libc::mincore(address, len, flags.as_mut_ptr())
        };
        if result != 0 || flags[..pages].iter().any(|flag| flag & 1 == 0) {
            return false;
        }
        at += len;
    }
    true
}
