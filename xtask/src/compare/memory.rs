//! Memory that behaves like a machine's own.
//!
//! A virtual machine may get its memory page by page, when it first touches it, and give free memory back
//! in blocks of 2 MiB. Where this table was first measured, a page cache page then cost 7 to 11 µs, fifty
//! times its price: more than all else that a broker does for a message, so that the figures said what the
//! host's memory had been used for a minute before. [`Backed`] touches memory once and frees all of it but
//! a page of each MiB: what is free stays in pieces too small to be given back, for both sides alike.

use std::fs::{self, File};
use std::io::Write as _;

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Where files are memory.
const SHARED_MEMORY: &str = "/dev/shm";
const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;
/// Most MiB that are touched: more than any row writes.
const MOST_MIB: u64 = 12 << 10;
/// MiB that are left alone for what runs meanwhile.
const SPARE_MIB: u64 = 4 << 10;

/// Memory of the host that stays this machine's as long as this is held; the rest of it is free.
#[derive(Debug)]
pub(crate) struct Backed(#[expect(dead_code, reason = "its pages are held by being open")] File);

impl Backed {
    /// Touches memory; none where the machine has no memory file system with room.
    pub(crate) fn new() -> Result<Option<Backed>> {
        let Ok(stats) = statvfs(SHARED_MEMORY) else { return Ok(None) };
        let room = stats.f_bavail * stats.f_frsize / MIB;
        let size = room.min(available_mib()?).saturating_sub(SPARE_MIB).min(MOST_MIB);
        if size == 0 {
            return Ok(None);
        }
        eprintln!("touching {size} MiB of memory");
        let mut file = tempfile::tempfile_in(SHARED_MEMORY)?;
        let block = vec![1; MIB as usize];
        for _ in 0..size {
            file.write_all(&block)?;
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        for number in 0..size {
            fallocate(&file, hole, number * MIB + PAGE, MIB - PAGE)?;
        }
        Ok(Some(Backed(file)))
    }
}

fn available_mib() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no MemAvailable")?;
    Ok(kib.parse::<u64>()? / 1024)
}
