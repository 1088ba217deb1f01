//! What a process uses, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};

/// Bytes of memory of its own: resident, and not of a file.
pub fn own_memory(id: u32) -> Result<u64> {
    status(id, "RssAnon:")
}

/// Bytes of its page tables.
pub fn page_tables(id: u32) -> Result<u64> {
    status(id, "VmPTE:")
}

/// Files and sockets that it has open.
pub fn open_files(id: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{id}/fd"))?.count())
}

/// A line of `proc_pid_status(5)`, which is in KiB.
fn status(id: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let value = value.and_then(|value| value.trim().strip_suffix(" kB"));
    Ok(1024 * value.with_context(|| format!("no {name}"))?.trim().parse::<u64>()?)
}
