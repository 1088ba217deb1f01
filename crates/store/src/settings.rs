//! The store's settings, under RocketMQ's keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use env::settings::Value;

use crate::delay::DelayLevels;
use crate::error::OpenError;

env::choice! {
    /// What the answer to a send waits for (`flushDiskType`).
    pub enum FlushDiskType {
        /// The page cache: survives the end of the process, not a power cut.
        Async = "ASYNC_FLUSH",
        /// The device: survives a power cut.
        Sync = "SYNC_FLUSH",
    }
}

env::choice! {
    /// What becomes of messages that nobody has consumed when the disk is full (`diskFullPolicy`).
    pub enum DiskFullPolicy {
        /// They stay until `fileReservedTime` is over, and sends are refused.
        Reject = "reject",
        /// The oldest go.
        DeleteOldest = "delete-oldest",
    }
}

/// Hours of the day (`deleteWhen`), such as `04` or `01;13`; may be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours {
    text: String,
    hours: Vec<u32>,
}

impl Hours {
    pub(crate) fn has(&self, hour: u32) -> bool {
        self.hours.contains(&hour)
    }
}

impl Value for Hours {
    const KIND: &'static str = "hours of the day, 0 to 23, separated by ;";

    fn parse(text: &str) -> Result<Hours, String> {
        let mut hours = Vec::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.parse() {
                Ok(hour @ 0..24) => hours.push(hour),
                _ => return Err(Hours::KIND.to_owned()),
            }
        }
        Ok(Hours { text: text.trim().to_owned(), hours })
    }

    fn render(&self) -> String {
        self.text.clone()
    }
}

/// Where the commit log is (`storePathCommitLog`); empty for `commitlog` in the store's directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPath(PathBuf);

impl LogPath {
    /// A log in a directory of its own.
    pub fn new(path: impl Into<PathBuf>) -> LogPath {
        LogPath(path.into())
    }
}

impl Value for LogPath {
    const KIND: &'static str = "one directory";

    fn parse(text: &str) -> Result<LogPath, String> {
        // What the reference splits at (`MULTI_PATH_SPLITTER`).
        if text.contains(',') {
            let kind = LogPath::KIND;
            return Err(format!(
                "{kind}; a log spread over several, listed with commas, is not supported"
            ));
        }
        Ok(LogPath(PathBuf::parse(text)?))
    }

    fn render(&self) -> String {
        self.0.render()
    }
}

env::settings! {
    /// Settings of the store.
    pub struct StoreSettings in "store";
    "storePathRootDir" => root: PathBuf = PathBuf::from("./apogee-data/store"), "directory of everything stored";
    "storePathCommitLog" => log_path: LogPath = LogPath::default(), "directory of the commit log alone, which no other broker may have; empty: commitlog in storePathRootDir";
    "mappedFileSizeCommitLog" => segment_bytes: u64 = 1 << 30, range 4096..=1 << 30, "bytes of one commit log file; never change it on existing data";
    "mappedFileSizeConsumeQueue" => queue_file_bytes: u64 = 6_000_000, range 20..=1 << 30, "bytes of one consume queue file, a multiple of 20; never change it on existing data";
    "maxHashSlotNum" => index_slots: u32 = 5_000_000, range 1..=100_000_000, "hash slots of one index file; never change it on existing data";
    "maxIndexNum" => index_items: u32 = 20_000_000, range 2..=100_000_000, "items of one index file; never change it on existing data";
    "messageIndexEnable" => index: bool = true, "whether messages can be found by key";
    "flushDiskType" => flush: FlushDiskType = FlushDiskType::Async, "what the answer to a send waits for";
    "flushIntervalCommitLog" => flush_interval_ms: u64 = 500, range 1..=60_000, "milliseconds between syncs of the commit log with ASYNC_FLUSH";
    "syncFlushTimeout" => sync_flush_timeout_ms: u64 = 5000, range 1..=600_000, "milliseconds after which a send stops waiting for SYNC_FLUSH";
    "osPageCacheBusyTimeOutMills" => append_timeout_ms: u64 = 1000, range 1..=60_000, "milliseconds a send may wait for the log before it is refused as busy";
    "commitLogDirtyBytesMax" => dirty_bytes_max: u64 = 0, "bytes of the log that may await the device; 0 is 1 GiB or an eighth of the memory, whichever is less";
    "enabledAppendPropCRC" => property_crc: bool = false, "whether each record ends in a checksum of its whole content";
    "checkCRCOnRecover" => check_body_crc: bool = true, "whether recovery checks the checksum of bodies";
    "messageDelayLevel" => delay_levels: String = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h".to_owned(), "delays of the levels 1, 2, …";
    "fileReservedTime" => retention_hours: u32 = 72, range 0..=876_000, reload, "hours after which a commit log file may be deleted";
    "deleteWhen" => delete_when: Hours = Hours { text: "04".to_owned(), hours: vec![4] }, reload, "hours of the day, local time, at which old files are deleted, separated by ;";
    "fileReservedBytes" => retention_bytes: u64 = 0, reload, "bytes of the commit log above which its oldest files are deleted, whatever the hour; 0: no bound";
    "cleanResourceInterval" => retention_interval_ms: u64 = 10_000, range 10..=3_600_000, reload, "milliseconds between looks at what may be deleted";
    "deleteFileBatchMax" => delete_batch: u32 = 10, range 1..=1000, reload, "commit log files deleted in one go";
    "cleanFileForciblyEnable" => clean_forcibly: bool = true, reload, "whether files are deleted before their time when the disk runs full";
    "diskReserveBytes" => disk_reserve_bytes: u64 = 0, reload, "bytes of the disk that stay free: sends are refused before they are touched; 0 is 2 %, at least 1 GiB and at most 10 %";
    "diskFullPolicy" => disk_full_policy: DiskFullPolicy = DiskFullPolicy::Reject, reload, "what becomes of messages that groups have not consumed when the disk is full: kept, and sends are refused, or deleted, the oldest first";
    "diskMaxUsedSpaceRatio" => disk_clean_percent: u32 = 0, range 0..=100, reload, "percentage of the disk above which files past their time are deleted at any hour; 0: not looked at";
    "diskSpaceCleanForciblyRatio" => disk_force_percent: u32 = 0, range 0..=100, reload, "percentage of the disk above which the oldest files are deleted, consumed or not; 0: not looked at";
    "diskSpaceWarningLevelRatio" => disk_full_percent: u32 = 0, range 0..=100, reload, "percentage of the disk above which sends are refused too; 0: not looked at";
    unused Durability "enableDLegerCommitLog" = "false";
    unused Durability "storeType" = "default";
    unused Durability "rocksdbCQDoubleWriteEnable" = "false";
    unused Durability "enableConsumeQueueExt" = "false";
    unused Durability "forceVerifyPropCRC" = "false";
}

impl StoreSettings {
    /// The smallest values that work, so that tests meet every edge all the time: segments of 4 KiB,
    /// queue files of 8 units, index files of 7 slots and 16 items.
    pub fn test_min(root: impl Into<PathBuf>) -> StoreSettings {
        StoreSettings {
            root: root.into(),
            segment_bytes: 4096,
            queue_file_bytes: 160,
            index_slots: 7,
            index_items: 16,
            flush_interval_ms: 20,
            // However full the disk is that the tests run on.
            disk_reserve_bytes: 1,
            clean_forcibly: false,
            // Whatever the hour is that the tests run at: files of simulated disks are of another time.
            delete_when: Hours::default(),
            ..StoreSettings::default()
        }
    }

    /// The directory of the commit log.
    pub fn log_dir(&self) -> PathBuf {
        match self.log_path.0.as_os_str().is_empty() {
            true => usual_log_dir(&self.root),
            false => self.log_path.0.clone(),
        }
    }

    /// Refuses to leave a log behind: one that has files, where none are read any more.
    pub(crate) fn check_log_dir(&self, disk: &env::Disk) -> Result<(), OpenError> {
        let (dir, usual) = (self.log_dir(), usual_log_dir(&self.root));
        let has_files = |dir: &Path| -> Result<bool, OpenError> {
            let failed = OpenError::io(dir);
            let list = || Ok(disk.exists(dir)? && !disk.list(dir)?.is_empty());
            list().map_err(failed)
        };
        if dir == usual || has_files(&dir)? || !has_files(&usual)? {
            return Ok(());
        }
        let problem = format!(
            "{} has no files, but {} has: move them there, or remove this key",
            dir.display(),
            usual.display()
        );
        Err(OpenError::Setting { key: "storePathCommitLog", problem })
    }

    /// The delay levels as durations.
    ///
    /// # Errors
    /// When the text is not a list of delays; says which word is wrong.
    pub fn delays(&self) -> Result<DelayLevels, String> {
        DelayLevels::parse(&self.delay_levels)
    }

    pub(crate) fn append_timeout(&self) -> Duration {
        Duration::from_millis(self.append_timeout_ms)
    }

    pub(crate) fn sync(&self) -> bool {
        self.flush == FlushDiskType::Sync
    }
}

fn usual_log_dir(root: &Path) -> PathBuf {
    root.join("commitlog")
}
