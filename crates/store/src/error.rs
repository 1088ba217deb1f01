//! What can go wrong, one enum per operation.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config_files::ConfigError;
use crate::room::Shortage;

/// Why nothing of a batch was appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Too much is waiting already; the same batch may succeed a moment later.
    #[error("{cause}: {value} {unit}, the limit is {limit} ({key})")]
    Busy {
        /// What there is too much of.
        cause: &'static str,
        /// Measured value.
        value: u64,
        /// What it may be at most.
        limit: u64,
        /// Unit of both.
        unit: &'static str,
        /// Setting, or constant of `limits`, that holds the limit.
        key: &'static str,
    },
    /// The device takes less than is sent; the same batch may succeed a moment later.
    #[error(
        "fsync takes {sync_ms} ms, and {dirty} bytes of the log await it, the limit is {dirty_limit} (commitLogDirtyBytesMax); this send has waited {waited_ms} ms, the limit is {limit_ms} (osPageCacheBusyTimeOutMills)"
    )]
    Behind {
        /// How long the last sync took, or the present one has taken until now.
        sync_ms: u64,
        /// Bytes that are appended and not synced.
        dirty: u64,
        /// How many may be.
        dirty_limit: u64,
        /// How long the batch has waited.
        waited_ms: u64,
        /// How long it may.
        limit_ms: u64,
    },
    /// The disk has no room. Reads go on, and appends too once there is room again.
    #[error("the disk is full: {0}")]
    DiskFull(Shortage),
    /// A record, or a group that must stay together, is larger than what fits into one segment.
    #[error(
        "a record or batch of {size} bytes does not fit, the limit is {limit} (mappedFileSizeCommitLog)"
    )]
    TooLarge {
        /// Bytes of it.
        size: u64,
        /// Most bytes.
        limit: u64,
    },
    /// The log failed earlier, or is closed: nothing is appended any more.
    #[error("the store has stopped: {0}")]
    Stopped(Arc<str>),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed.
    #[error("cannot read {path}: {error}")]
    Io {
        /// File.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Too many reads wait for the disk.
    #[error("{waiting} reads wait for the disk, the limit is {limit} (limits::BACKGROUND_JOBS)")]
    Busy {
        /// Waiting reads.
        waiting: usize,
        /// Most waiting reads.
        limit: usize,
    },
    /// There is no memory for what is read.
    #[error(transparent)]
    Memory(#[from] env::memory::Full),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("cannot open {path}: {error}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process, ours or Java's, has the directory.
    #[error("{0} is in use by another process (its file `lock` is locked)")]
    Locked(PathBuf),
    /// Another server has the commit log's directory.
    #[error("{0} is in use by another server (storePathCommitLog)")]
    LogLocked(PathBuf),
    /// A file does not have the configured size.
    #[error("{path} has {len} bytes, but {key} is {configured}")]
    FileSize {
        /// File.
        path: PathBuf,
        /// Bytes of it.
        len: u64,
        /// What its size should be.
        configured: u64,
        /// Setting.
        key: &'static str,
    },
    /// Something in the directory is not what belongs there.
    #[error("{path}: {problem}")]
    Foreign {
        /// File or directory.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The list of deleted topics cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting is wrong.
    #[error("{key}: {problem}")]
    Setting {
        /// Key.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.into();
        move |error| OpenError::Io { path, error }
    }
}

impl ReadError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> ReadError {
        let path = path.into();
        move |error| ReadError::Io { path, error }
    }
}
