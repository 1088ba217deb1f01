//! Deleting old segments, by the keeper and on request.
//!
//! Always the oldest, as long as there is a reason (`docs/design/disk-space.md`): past `fileReservedTime`
//! at the hours of `deleteWhen`, or at any hour when room is short; beyond `fileReservedBytes`; before
//! its time by `diskFullPolicy` when room is short, or above the reference's ratios where they are set. A
//! segment's age is that of its file's last change, and the one that is written never goes. What the log
//! loses, consume queues and index lose after it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use crate::queue::Unit;
use crate::readers::{Losses, Readers};
use crate::segment;
use crate::settings::{DiskFullPolicy, StoreSettings};
use crate::store::Inner;

/// When the keeper looks next, and what it has to know.
#[derive(Default)]
pub(crate) struct Retention {
    next: Mutex<Next>,
    /// Whether an append was refused because the log could not grow.
    pub(crate) blocked: AtomicBool,
    /// Who has consumed what.
    pub(crate) readers: OnceLock<Arc<Readers>>,
}

impl std::fmt::Debug for Retention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retention").field("next", &self.next).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Next {
    look: Duration,
    delete: Duration,
}

/// Time between looks at the disk: sends go on so soon after there is room again.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// Batches that a deletion on request is made of at most, as in the reference.
const BATCHES_ON_REQUEST: u32 = 20;

/// What a deletion is for.
#[derive(Debug, Clone, Copy)]
enum Pass {
    /// The keeper's; `hour` says whether it is one of `deleteWhen`.
    Regular { hour: bool },
    /// Someone asked for what is past its time.
    Asked,
}

/// Why a segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is past `fileReservedTime`.
    Expired,
    /// The log is longer than `fileReservedBytes`.
    Bytes,
    /// The partition is used beyond a ratio of the reference that is set.
    Ratio,
    /// There is no room, and `diskFullPolicy` lets it go.
    Room,
}

impl Retention {
    /// Makes the next look come at once.
    pub(crate) fn look_now(&self) {
        self.next.lock().look = Duration::ZERO;
    }
}

impl Inner {
    /// Looks at the disk, when it is time to.
    pub(crate) fn keep_disk(&self) {
        let now = self.env.clock.mono();
        let mut next = self.retention.next.lock();
        if now < next.look {
            return;
        }
        next.look = now + LOOK;
        if let Err(error) = self.look_after_disk(&mut next, now) {
            tracing::error!(%error, "cannot look after the disk's free space");
        }
    }

    fn look_after_disk(&self, next: &mut Next, now: Duration) -> io::Result<()> {
        let settings = self.live.load();
        // First, as others may have made room.
        self.try_again();
        let room = self.room(&settings)?;
        let mut deleted = Ok(());
        if now >= next.delete || room.tight || room.shortage.is_some() {
            next.delete = now + Duration::from_millis(settings.retention_interval_ms);
            deleted = self.delete_old(&settings);
            self.try_again();
        }
        // Whatever became of the deletion, the reserve is kept.
        self.set_full(self.room(&settings)?.shortage);
        deleted
    }

    /// Makes the segment that had no room before, if that is what stands in the way.
    fn try_again(&self) {
        if self.log.is_lacking() {
            self.prepare_spare();
        }
        if !self.log.is_lacking() {
            self.retention.blocked.store(false, Ordering::Release);
        }
    }

    /// Makes the next segment ahead of its time, if there is room.
    pub(crate) fn prepare_spare(&self) {
        match self.log.prepare_spare(&self.live.load()) {
            Ok(()) => {}
            // Known now; the next look makes room, or says that there is none.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            Err(error) => tracing::warn!(%error, "cannot create a spare commit log file"),
        }
    }

    /// Deletes segments whose time has come, one batch.
    pub(crate) fn delete_old(&self, settings: &StoreSettings) -> io::Result<()> {
        let hour = settings.delete_when.has(self.env.clock.local_hour());
        self.delete_while(settings, settings.delete_batch, Pass::Regular { hour })
    }

    /// Deletes segments past their time, whatever the hour.
    pub(crate) fn delete_expired(&self) -> io::Result<()> {
        // The keeper deletes too, and one at a time is enough.
        let _next = self.retention.next.lock();
        let settings = self.live.load();
        let most = settings.delete_batch.saturating_mul(BATCHES_ON_REQUEST);
        self.delete_while(&settings, most, Pass::Asked)
    }

    /// Deletes what refers to deleted segments only.
    pub(crate) fn clean_queues(&self) -> io::Result<()> {
        let _next = self.retention.next.lock();
        self.follow_log()
    }

    /// Why the oldest segment goes now.
    fn why(
        &self,
        settings: &StoreSettings,
        pass: Pass,
        expired: bool,
        losses: &mut Losses<'_>,
    ) -> io::Result<Option<Why>> {
        let Pass::Regular { hour } = pass else { return Ok(expired.then_some(Why::Expired)) };
        let room = self.room(settings)?;
        let above = |limit: u32| limit != 0 && room.used_percent > limit;
        if expired && (hour || room.tight || above(settings.disk_clean_percent)) {
            return Ok(Some(Why::Expired));
        }
        if settings.retention_bytes != 0 && self.log.bytes() > settings.retention_bytes {
            return Ok(Some(Why::Bytes));
        }
        if !settings.clean_forcibly {
            return Ok(None);
        }
        if above(settings.disk_force_percent) || above(settings.disk_full_percent) {
            return Ok(Some(Why::Ratio));
        }
        let lets_go = room.tight
            && match settings.disk_full_policy {
                DiskFullPolicy::DeleteOldest => true,
                DiskFullPolicy::Reject => losses.are_none(),
            };
        Ok(lets_go.then_some(Why::Room))
    }

    /// Deletes the oldest segments, `most` of them, as long as there is a reason.
    fn delete_while(&self, settings: &StoreSettings, most: u32, pass: Pass) -> io::Result<()> {
        let reserved_ms = i64::from(settings.retention_hours) * 3_600_000;
        let now = self.env.clock.wall_ms();
        let (mut deleted, mut followed) = (0, Ok(()));
        let files = self.env.disk.list(&self.log.dir)?;
        // What others put there is none of ours, and may come first.
        for entry in files.into_iter().filter(|entry| segment::is_file_name(&entry.name)) {
            let first = self.log.min_offset();
            let end = first + self.log.segment_bytes;
            if deleted == most
                || entry.name != segment::file_name(first)
                || self.marks.dispatched() < end
                || self.log.segments().0.len() < 2
            {
                break;
            }
            let mut losses = Losses::new(self, end);
            let expired = entry.modified_ms.saturating_add(reserved_ms) <= now;
            let Some(why) = self.why(settings, pass, expired, &mut losses)? else { break };
            losses.report(first);
            tracing::info!(segment = first, ?why, "deleting a commit log file");
            let removed = self.log.remove_first();
            followed = self.follow_log();
            removed?;
            deleted += 1;
        }
        followed
    }

    /// Has queues and index follow the start of the log. Goes on with the others where one fails, and returns
    /// the last error.
    fn follow_log(&self) -> io::Result<()> {
        let log_min = self.log.min_offset();
        let mut result = Ok(());
        for queue in self.queues.all() {
            let gone = |unit: Unit| unit.physical < log_min;
            // Readers are told where the queue starts before its files go.
            let followed = queue.follow_log(log_min);
            if let Err(error) = followed.and_then(|()| queue.expire(gone)) {
                let (topic, queue) = (queue.topic(), queue.id());
                tracing::error!(topic, queue, %error, "cannot delete the start of the consume queue");
                result = Err(error);
            }
        }
        let index = self.derived.index.as_ref().map_or(Ok(()), |index| index.expire(log_min));
        index.and(result)
    }
}
