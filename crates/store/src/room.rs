//! Room on the disk: what must stay free, and what it means when it does not.
//!
//! See `docs/design/disk-space.md`: an amount of bytes is kept free, whoever uses the rest; the reference's
//! shares of the partition count where they are set.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use env::Disk;
use env::disk::Space;

use crate::settings::{DiskFullPolicy, StoreSettings};
use crate::store::Inner;

/// Lower bound of the default reserve: one file of the log.
const RESERVE: u64 = 1 << 30;

/// Why the disk is too full for sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} must be free, {} are; policy {} ({key}, diskFullPolicy)", Bytes(*need), Bytes(*have), name(*policy))]
pub struct Shortage {
    /// Bytes that must be free for sends to be taken.
    pub need: u64,
    /// Bytes that are free.
    pub have: u64,
    /// What becomes of messages that nobody has consumed.
    pub policy: DiskFullPolicy,
    /// Setting that holds the limit.
    pub key: &'static str,
}

fn name(policy: DiskFullPolicy) -> String {
    env::settings::Value::render(&policy)
}

/// Bytes for a reader.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS.into_iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{:.2} {name}", self.0 as f64 / unit as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// What there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Used share of the partition, percent; of the fuller one, where log and root directory are apart.
    pub(crate) used_percent: u32,
    /// Why sends must be refused.
    pub(crate) shortage: Option<Shortage>,
    /// Whether less than the reserve is free, or the next file of the log has no room.
    pub(crate) tight: bool,
}

/// Bytes of a partition that must stay free.
fn reserve(settings: &StoreSettings, space: Space) -> u64 {
    match settings.disk_reserve_bytes {
        0 => (usable(space) / 50).max(RESERVE).min(usable(space) / 10),
        set => set,
    }
}

/// What this process could have of a partition, as `df` and the reference count: the system keeps a part.
fn usable(space: Space) -> u64 {
    space.used.saturating_add(space.free).max(1)
}

/// Fails with [`io::ErrorKind::StorageFull`] where making a file of the log would leave less than the
/// reserve.
pub(crate) fn require(disk: &Disk, log_dir: &Path, settings: &StoreSettings) -> io::Result<()> {
    let space = disk.space(log_dir)?;
    let need = reserve(settings, space).saturating_add(settings.segment_bytes);
    if space.free >= need { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}

impl Inner {
    /// Looks at the disk.
    pub(crate) fn room(&self, settings: &StoreSettings) -> io::Result<Room> {
        let mut room = Room { used_percent: 0, shortage: None, tight: false };
        // They may be different partitions (`storePathCommitLog`). The fuller one decides: queues go with
        // the segments that they lead to.
        for dir in [&self.log.dir, &self.settings.root] {
            let space = self.env.disk.space(dir)?;
            // A part of a percent is above: so the limit, which is a whole number, is exact.
            let percent = space.used.saturating_mul(100).div_ceil(usable(space));
            room.used_percent = room.used_percent.max(u32::try_from(percent).unwrap_or(100));
            let need = reserve(settings, space);
            room.tight |= space.free < need;
            let limit = u64::from(settings.disk_full_percent);
            if space.free < need {
                room.shortage = Some(self.shortage(settings, need, space.free, "diskReserveBytes"));
            } else if limit != 0 && percent > limit {
                let need = usable(space) / 100 * (100 - limit);
                let key = "diskSpaceWarningLevelRatio";
                room.shortage = Some(self.shortage(settings, need, space.free, key));
            }
        }
        if self.log.is_lacking() {
            let shortage = self.no_segment(settings);
            room.tight |= shortage.have < shortage.need;
            if self.retention.blocked.load(Ordering::Acquire) {
                room.shortage = room.shortage.or(Some(shortage));
            }
        }
        Ok(room)
    }

    /// What there is, and must be, for the next file of the log.
    fn no_segment(&self, settings: &StoreSettings) -> Shortage {
        let space = self.env.disk.space(&self.log.dir);
        let space = space.unwrap_or(Space { total: 0, used: 0, free: 0 });
        let need = reserve(settings, space).saturating_add(settings.segment_bytes);
        self.shortage(settings, need, space.free, "diskReserveBytes, mappedFileSizeCommitLog")
    }

    fn shortage(
        &self,
        settings: &StoreSettings,
        need: u64,
        have: u64,
        key: &'static str,
    ) -> Shortage {
        Shortage { need, have, policy: settings.disk_full_policy, key }
    }

    /// The log could not grow: refuses appends until the keeper has found room, or finds that there is.
    pub(crate) fn run_out(&self) -> Shortage {
        let shortage = self.no_segment(&self.live.load());
        self.retention.blocked.store(true, Ordering::Release);
        self.set_full(Some(shortage));
        self.keeper.raise();
        shortage
    }

    /// Refuses appends, or takes them again.
    pub(crate) fn set_full(&self, shortage: Option<Shortage>) {
        let was = self.health.set_full(shortage);
        let log_bytes = self.log.bytes();
        match (was, shortage) {
            (false, Some(shortage)) => {
                tracing::warn!(log_bytes, "sends are refused, the disk is full: {shortage}");
            }
            (true, None) => tracing::warn!(log_bytes, "sends are taken again, the disk has room"),
            (true, Some(_)) | (false, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default reserve is 2 %, at least 1 GiB and at most a tenth; a size that is set counts as it is.
    #[test]
    fn the_reserve_by_size() {
        const GIB: u64 = 1 << 30;
        let of = |total: u64, bytes: u64| {
            let settings = StoreSettings { disk_reserve_bytes: bytes, ..StoreSettings::default() };
            reserve(&settings, Space { total, used: total / 2, free: total - total / 2 })
        };
        let sizes = [(2 * GIB, GIB / 5), (20 * GIB, GIB), (50 * GIB, GIB), (1000 * GIB, 20 * GIB)];
        for (total, want) in sizes {
            assert_eq!(of(total, 0), want, "of {total}");
        }
        assert_eq!(of(1000 * GIB, 7), 7);
    }

    /// A shortage says what is needed, what there is, the policy and the keys.
    #[test]
    fn the_text_of_a_shortage() {
        let shortage = Shortage {
            need: 3 << 29,
            have: 1023,
            policy: DiskFullPolicy::Reject,
            key: "diskReserveBytes",
        };
        let text = "1.50 GiB must be free, 1023 bytes are; policy reject (diskReserveBytes, diskFullPolicy)";
        assert_eq!(shortage.to_string(), text);
    }
}
