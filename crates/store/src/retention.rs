//! Room on the disk: deleting old segments, and refusing appends before the disk is full.
//!
//! Rules of the reference (store format §21): segments past `fileReservedTime` go at the hours of
//! `deleteWhen`, or at any hour above `diskMaxUsedSpaceRatio`; above `diskSpaceCleanForciblyRatio` the
//! oldest go whatever their age; above `diskSpaceWarningLevelRatio` appends are refused. A segment's age
//! is that of its file's last change, and the one that is written never goes. What the log loses,
//! consume queues and index lose after it.

use std::io;
use std::time::Duration;

use parking_lot::Mutex;

use crate::queue::Unit;
use crate::store::Inner;

/// When the keeper looks next.
#[derive(Debug, Default)]
pub(crate) struct Retention(Mutex<Next>);

#[derive(Debug, Default)]
struct Next {
    space: Duration,
    delete: Duration,
}

/// Time between looks at the free space while appends are refused, or might have to be.
const LOOK_AT_SPACE: Duration = Duration::from_secs(1);
/// Batches that a deletion on request is made of at most, as in the reference.
const BATCHES_ON_REQUEST: u32 = 20;

impl Inner {
    /// Looks at the disk, when it is time to.
    pub(crate) fn keep_disk(&self) {
        let now = self.env.clock.mono();
        let mut next = self.retention.0.lock();
        if now < next.space {
            return;
        }
        next.space = now + LOOK_AT_SPACE;
        let kept = self.look_at_space().and_then(|used| {
            if now < next.delete && !self.health.is_full() {
                return Ok(());
            }
            next.delete = now + Duration::from_millis(self.live.load().retention_interval_ms);
            self.delete_old(used)
        });
        if let Err(error) = kept {
            tracing::error!(%error, "cannot look after the disk's free space");
        }
    }

    /// Refuses appends while the disk is too full. Returns its used share, percent.
    fn look_at_space(&self) -> io::Result<u32> {
        // They may be different disks (`storePathCommitLog`). The fuller one decides: queues go with
        // the segments that they lead to.
        let (mut used, mut none_free) = (0, false);
        for dir in [&self.log.dir, &self.settings.root] {
            let space = self.env.disk.space(dir)?;
            // Of what this process could have, as `df` and the reference count: the system keeps a part.
            let usable = space.used.saturating_add(space.free).max(1);
            let percent = space.used.saturating_mul(100) / usable;
            used = used.max(u32::try_from(percent).unwrap_or(100));
            none_free |= space.free == 0;
        }
        let limit = self.live.load().disk_full_percent;
        let full = used > limit || none_free;
        if full != self.health.is_full() {
            tracing::warn!(
                used_percent = used,
                limit_percent = limit,
                refusing = full,
                "free space of the disk"
            );
        }
        self.health.set_full(full.then_some(used), limit);
        Ok(used)
    }

    /// Deletes segments whose time has come.
    pub(crate) fn delete_old(&self, used_percent: u32) -> io::Result<()> {
        let settings = self.live.load();
        let now = self.env.clock.wall_ms();
        let hour = u32::try_from(now.rem_euclid(86_400_000) / 3_600_000).unwrap_or(0);
        let hours = settings.delete_when.split(';');
        let is_hour = hours.filter_map(|text| text.trim().parse().ok()).any(|at: u32| at == hour);
        let force = settings.clean_forcibly && used_percent > settings.disk_force_percent;
        if !is_hour && used_percent <= settings.disk_clean_percent && !force {
            return Ok(());
        }
        self.delete_first(settings.delete_batch, force)
    }

    /// Deletes segments past their time, whatever the hour.
    pub(crate) fn delete_expired(&self) -> io::Result<()> {
        // The keeper deletes too, and one at a time is enough.
        let _next = self.retention.0.lock();
        let most = self.live.load().delete_batch.saturating_mul(BATCHES_ON_REQUEST);
        self.delete_first(most, false)
    }

    /// Deletes what refers to deleted segments only.
    pub(crate) fn clean_queues(&self) -> io::Result<()> {
        let _next = self.retention.0.lock();
        self.follow_log()
    }

    /// Deletes the oldest segments, `most` of them, as long as they are past their time, or by `force`.
    fn delete_first(&self, most: u32, force: bool) -> io::Result<()> {
        let reserved_ms = i64::from(self.live.load().retention_hours) * 3_600_000;
        let now = self.env.clock.wall_ms();
        let mut deleted = 0;
        for entry in self.env.disk.list(&self.log.dir)? {
            let expired = entry.modified_ms.saturating_add(reserved_ms) <= now;
            let first = self.log.min_offset();
            let is_first = entry.name == crate::segment::file_name(first);
            if !is_first
                || !(expired || force)
                || deleted == most
                || self.marks.dispatched() < first + self.log.segment_bytes
                || self.log.segments().0.len() < 2
            {
                break;
            }
            tracing::info!(segment = first, expired, "deleting a commit log file");
            self.log.remove_first()?;
            deleted += 1;
        }
        if deleted > 0 { self.follow_log() } else { Ok(()) }
    }

    /// Deletes what refers to deleted segments only.
    fn follow_log(&self) -> io::Result<()> {
        let log_min = self.log.min_offset();
        self.queues.set_log_min(log_min);
        for queue in self.queues.all() {
            queue.files.expire(queue.next(), |unit: Unit| unit.physical < log_min)?;
        }
        self.derived.index.as_ref().map_or(Ok(()), |index| index.expire(log_min))
    }
}
