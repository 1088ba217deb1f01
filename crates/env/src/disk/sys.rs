//! The one system call that no safe wrapper offers.
#![allow(unsafe_code, reason = "rustix has no sync_file_range")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `sync_file_range(SYNC_FILE_RANGE_WRITE)`: starts write-back of the dirty pages of the range. A
/// length of 0 means up to the end of the file.
pub(super) fn start_writeback(file: &impl AsFd, offset: u64, len: u64) -> io::Result<()> {
    let (Ok(offset), Ok(len)) = (i64::try_from(offset), i64::try_from(len)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the call takes no pointer, and `file` keeps the descriptor open during it.
    let result = unsafe { libc::sync_file_range(fd, offset, len, libc::SYNC_FILE_RANGE_WRITE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
