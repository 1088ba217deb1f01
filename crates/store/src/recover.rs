//! Recovery: where the log ends, and everything derived from it.
//!
//! 1. Choose where to start reading: where the derived files were known to be complete. Our own
//!    `apogee/state` says it exactly; without it the reference's files do, roughly (store format §20).
//! 2. Load the consume queues up to there, and derive the rest from the log, record by record.
//! 3. The log ends before the first thing that is not a valid record. After a crash of the process every
//!    valid record stays, except one whose write was cut short. After a power cut only what a sync is known to have covered (`mark`), or what
//!    its own checksum property proves: a checksum of the body does not cover the rest of a record.
//! 4. What follows the end becomes zeros, durably, so that it is never read as records later.
//! 5. A queue that lacks messages in between is derived again from the log.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use env::Disk;
use wire::record::RecordView;

use crate::delay::DelayLevels;
use crate::deleted::Deleted;
use crate::dispatch::{Derivation, Derived, queue_of};
use crate::error::OpenError;
use crate::limits;
use crate::mark::Mark;
use crate::queue::{Queue, Queues, Unit};
use crate::scan::{Found, Scan};
use crate::segment::{Segment, Segments};
use crate::state::{Checkpoint, State};

/// How the directory was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// By us, closed.
    Closed,
    /// By us, while the machine went on: the page cache survived.
    Crashed,
    /// By us, and the machine started anew since.
    PowerCut,
    /// By the reference, closed.
    ReferenceClosed,
    /// By the reference, running.
    ReferenceCrashed,
}

/// What recovery works with.
pub(crate) struct Recovery<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) root: &'a Path,
    pub(crate) log_dir: &'a Path,
    pub(crate) segments: &'a mut Segments,
    pub(crate) queues: &'a Queues,
    pub(crate) derived: &'a Derived,
    pub(crate) deleted: &'a Deleted,
    pub(crate) delays: &'a DelayLevels,
    /// Whether to check the checksums of bodies.
    pub(crate) check_bodies: bool,
}

/// How a directory is recovered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) left: Left,
    /// Log offset up to which everything was derived.
    pub(crate) start: u64,
    /// Log offset up to which the log was synced for certain.
    synced: u64,
    /// Log offset up to which records are kept without a checksum of their own.
    trusted: u64,
    /// Digest of the queues, where they were closed.
    queues: Option<u64>,
}

/// What recovery found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Where the log goes on.
    pub(crate) end: u64,
    /// Store timestamp of the last message that was read; 0 if none was.
    pub(crate) last_ms: i64,
}

/// How a directory was left, by the state file, the reference's `checkpoint` and the mark `abort`.
pub(crate) fn how_left(
    state: Option<&State>,
    checkpoint: &Checkpoint,
    aborted: bool,
    boot_id: &str,
) -> Left {
    match state {
        Some(state) if state.wrote(checkpoint) => {
            match (state.closed && !aborted, state.boot_id == boot_id) {
                (true, _) => Left::Closed,
                (false, true) => Left::Crashed,
                (false, false) => Left::PowerCut,
            }
        }
        _ if aborted => Left::ReferenceCrashed,
        _ => Left::ReferenceClosed,
    }
}

impl Recovery<'_> {
    /// Where to start reading, and up to which log offset records need no proof of their own.
    pub(crate) fn plan(
        &self,
        left: Left,
        state: Option<&State>,
        checkpoint: &Checkpoint,
    ) -> io::Result<Plan> {
        let min = self.segments.min_offset();
        let end = self.segments.0.last().map_or(min, |last| last.end());
        let known = |offset: fn(&State) -> u64| state.map_or(min, offset).clamp(min, end);
        let synced = known(|state| state.synced);
        Ok(match left {
            // From what is synced, not from what is written: a later checkpoint syncs only the files
            // that its own process has written.
            Left::Closed | Left::Crashed => Plan {
                left,
                start: synced,
                synced,
                trusted: u64::MAX,
                queues: state.filter(|state| state.closed).map(|state| state.queues),
            },
            Left::PowerCut => {
                let trusted = self.last_durable(synced)?;
                Plan { left, start: synced, synced, trusted, queues: None }
            }
            Left::ReferenceCrashed => {
                let start = self.segment_before(checkpoint.safe_ms())?;
                Plan { left, start, synced: start, trusted: u64::MAX, queues: None }
            }
            Left::ReferenceClosed => {
                Plan { left, start: end, synced: end, trusted: u64::MAX, queues: None }
            }
        })
    }

    /// Recovers the directory.
    pub(crate) fn run(mut self, plan: Plan) -> Result<Recovered, OpenError> {
        let Plan { left, mut start, synced, trusted, queues } = plan;
        // Closed, all of it was synced.
        let doubt = left != Left::Closed;
        let queues_end = crate::load::queues(self.disk, self.queues, self.segments, start, doubt)?;
        for (topic, id, next) in self.deleted.queues() {
            let queue = self.queues.get(&topic, id);
            if queue.files.first().is_none() && queue.next() < next {
                queue.reset(next);
            }
        }
        if left == Left::ReferenceClosed {
            // Not from the start of its segment: what has no unit there is of topics that were deleted.
            start = queues_end.max(self.segments.min_offset());
        }
        let digest_before = self.queues.digest();
        tracing::info!(?left, start, queues = self.queues.all().len(), "recovering the store");
        let failed = OpenError::io(self.root);
        let recovered = self.derive_from(start, synced.min(start), trusted, left);
        let recovered = recovered.map_err(failed)?;
        // Someone has removed files: of a queue, since the store was closed, or all of them.
        let changed = left == Left::Closed && queues.is_some_and(|digest| digest != digest_before);
        if changed || (queues_end == 0 && start > self.segments.min_offset()) {
            self.restore_queues(recovered.end).map_err(OpenError::io(self.root))?;
        }
        for queue in self.queues.all() {
            queue.publish(queue.next(), &mut Vec::new());
            if let Err(error) = queue.follow_log(self.segments.min_offset()) {
                let (topic, queue) = (queue.topic(), queue.id());
                tracing::warn!(topic, queue, %error, "cannot look up the lowest offset");
            }
            queue.files.close();
        }
        Ok(recovered)
    }

    fn derive_from(
        &mut self,
        start: u64,
        synced: u64,
        trusted: u64,
        left: Left,
    ) -> io::Result<Recovered> {
        let (recovered, gaps) = self.replay(start, trusted, left)?;
        self.cut(recovered.end, synced, left)?;
        self.claim(recovered.end)?;
        self.fill_gaps(gaps, recovered.end)?;
        self.queues.write_out()?;
        if let Some(index) = &self.derived.index {
            index.write_out()?;
        }
        Ok(recovered)
    }

    /// Start of the last segment whose first message was stored before `safe_ms`.
    fn segment_before(&self, safe_ms: i64) -> io::Result<u64> {
        for segment in self.segments.0.iter().rev() {
            let mut scan = Scan::new(self.segments, segment.base);
            if let Found::Record(view) = scan.next()?
                && view.store_timestamp() <= safe_ms
            {
                return Ok(segment.base);
            }
        }
        Ok(self.segments.min_offset())
    }

    /// The highest log offset that a mark proves to be durable.
    fn last_durable(&self, synced: u64) -> io::Result<u64> {
        let mut durable = synced;
        for segment in self.segments.0.iter().filter(|segment| segment.end() > synced) {
            for mark in Mark::read(&*segment.file.get()?, segment.size)? {
                // It may claim no more than the file before: the first one that a file gets does, with
                // asynchronous flush.
                if mark.end <= segment.end() && mark.durable <= mark.end {
                    durable = durable.max(mark.durable);
                    if mark.end > durable && self.checksum(&mark)? == Some(mark.checksum) {
                        durable = mark.end;
                    }
                }
            }
        }
        Ok(durable)
    }

    /// Checksum of what lies between the two offsets of a mark; `None` if that is not whole records.
    fn checksum(&self, mark: &Mark) -> io::Result<Option<u32>> {
        let mut hasher = crc32fast::Hasher::new();
        let mut scan = Scan::new(self.segments, mark.durable);
        while scan.at < mark.end {
            match scan.next()? {
                Found::Record(view) => hasher.update(view.as_bytes()),
                Found::Filler(head) => hasher.update(head),
                Found::Nothing | Found::Bad(_) => return Ok(None),
            }
        }
        Ok((scan.at == mark.end).then(|| hasher.finalize()))
    }

    /// Derives from every record from `start` on. Returns where the log ends, and the queues that lack
    /// messages.
    fn replay(&mut self, start: u64, trusted: u64, left: Left) -> io::Result<(Recovered, Gaps)> {
        let mut scan = Scan::new(self.segments, start);
        let mut gaps = Gaps::default();
        let mut hashes = Vec::new();
        let mut recovered = Recovered { end: start, last_ms: 0 };
        loop {
            let bad = match scan.next()? {
                Found::Filler(_) => None,
                Found::Nothing => Some("nothing".to_owned()),
                Found::Bad(what) => Some(what),
                Found::Record(view) => match self.doubt(&view, trusted, left) {
                    Some(doubt) => Some(doubt),
                    None => {
                        recovered.last_ms = view.store_timestamp();
                        self.derive(&view, &mut gaps, &mut hashes)?;
                        None
                    }
                },
            };
            let Some(bad) = bad else {
                recovered.end = scan.at;
                continue;
            };
            match self.next_written_segment(recovered.end, trusted)? {
                Some(next) => {
                    tracing::error!(from = recovered.end, to = next, found = %bad, "a part of the commit log is damaged and skipped");
                    scan = Scan::new(self.segments, next);
                    recovered.end = next;
                }
                None => {
                    tracing::info!(end = recovered.end, found = %bad, "end of the commit log");
                    return Ok((recovered, gaps));
                }
            }
        }
    }

    /// Why a record is not kept.
    fn doubt(&self, view: &RecordView<'_>, trusted: u64, left: Left) -> Option<String> {
        let end = view.physical_offset() + view.size() as u64;
        if end > trusted && view.verify_property_crc().is_err() {
            return Some(format!(
                "a record that no sync is known to have covered, {trusted} is the last"
            ));
        }
        if left == Left::Crashed && is_cut_short(view) {
            return Some("a record whose write was cut short".to_owned());
        }
        if !self.check_bodies {
            return None;
        }
        view.verify_body().err().map(|error| error.to_string())
    }

    /// The start of the first segment after `at`, and below `trusted`, that begins with a valid record:
    /// there the log goes on, whatever is at `at`. Beyond `trusted` a power cut may keep a later segment
    /// and lose an earlier one, which is no damage but the end of the log.
    fn next_written_segment(&self, at: u64, trusted: u64) -> io::Result<Option<u64>> {
        let after = |segment: &&Arc<Segment>| segment.base > at && segment.base < trusted;
        for segment in self.segments.0.iter().filter(after) {
            if let Found::Record(view) = Scan::new(self.segments, segment.base).next()?
                && view.verify_body().is_ok()
            {
                return Ok(Some(segment.base));
            }
        }
        Ok(None)
    }

    fn derive(
        &self,
        view: &RecordView<'_>,
        gaps: &mut Gaps,
        hashes: &mut Vec<u32>,
    ) -> io::Result<()> {
        let Some((topic, id)) = queue_of(view) else {
            tracing::error!(
                offset = view.physical_offset(),
                "a record has no usable queue; it is skipped"
            );
            return Ok(());
        };
        if self.deleted.has(topic, view.physical_offset()) {
            return Ok(());
        }
        let queue = self.queues.get(topic, id);
        let mut derivation = Derivation::of(view, &queue, self.delays, hashes);
        if derivation.queued {
            // A power cut may keep a later file of the queue and lose the name of the first: what is left
            // starts too late. All that follows is read again too, so the queue starts anew here.
            if derivation.queue_offset < queue.first() {
                self.queues.restart(&queue, derivation.queue_offset)?;
            }
            let next = queue.next();
            // Below: the unit is there already. Above: messages are missing, see `fill_gaps`.
            derivation.queued = derivation.queue_offset == next;
            if derivation.queue_offset > next {
                gaps.0.insert((topic.to_owned(), id));
            }
            if derivation.queued {
                queue.assign();
            }
        }
        self.derived.begin().step(&derivation);
        self.derived.write_out_if_much(self.queues)
    }

    /// Makes what follows the end zeros, and removes the segments behind it.
    fn cut(&mut self, end: u64, synced: u64, left: Left) -> io::Result<()> {
        // An empty log keeps its one file: its name says where the log goes on.
        while self.segments.0.len() > 1
            && let Some(last) = self.segments.0.pop_if(|last| last.base >= end)
        {
            self.disk.remove(last.file.path())?;
            // One by one: a power cut may undo any of several, and leave a gap.
            self.disk.sync_dir(self.log_dir)?;
        }
        // None where the log ends with a full segment.
        if let Some(segment) = self.segments.find(end) {
            clear_behind(segment, end - segment.base, left)?;
        }
        let mut unsynced = self.segments.0.iter().filter(|segment| segment.end() > synced);
        if left == Left::Crashed {
            // A sync that failed may have made pages clean without writing them: only what is written
            // anew is written by the next sync.
            let rewrite = |segment: &Arc<Segment>| rewrite(segment, synced, end);
            unsynced.clone().try_for_each(rewrite)?;
        }
        unsynced.try_for_each(|segment| segment.file.sync_data())?;
        self.disk.sync_dir(self.log_dir)
    }

    /// Says in the log that all of it is durable now: readers see it from here on, and a power cut before
    /// the first sync must not take it back.
    fn claim(&self, end: u64) -> io::Result<()> {
        match end.checked_sub(1).and_then(|last| self.segments.find(last)) {
            // The reference fills a segment to its last bytes: no mark may be written over its records.
            Some(segment) if end <= segment.capacity_end() => {
                // Where a sync has failed, the newest mark may be in the page cache only. The new one goes
                // over the other, which is then all that the disk has: the newest is made durable first.
                rewrite(segment, segment.capacity_end(), segment.end())?;
                segment.file.sync_data()?;
                Mark { durable: end, end, checksum: 0 }
                    .write(&*segment.file.keep()?, segment.size)?;
                segment.file.sync_data()
            }
            _ => Ok(()),
        }
    }

    /// Derives queues again that lack messages, from where they end. Where the log does not have the
    /// messages any more, blanks stand for them.
    fn fill_gaps(&self, gaps: Gaps, end: u64) -> io::Result<()> {
        if gaps.0.is_empty() {
            return Ok(());
        }
        self.queues.write_out()?;
        let mut start = end;
        for (topic, id) in &gaps.0 {
            let queue = self.queues.get(topic, *id);
            start = start.min(queue_end(&queue)?);
        }
        let start = start.max(self.segments.min_offset());
        tracing::warn!(
            queues = gaps.0.len(),
            start,
            end,
            "consume queues lack messages and are derived again"
        );
        let lacking = |topic: &str, id| gaps.0.contains(&(topic.to_owned(), id));
        self.derive_missing(start, end, &lacking, false)?;
        self.queues.write_out()
    }

    /// Derives queues again that are not as they were left, up to the end of the log, which stays.
    fn restore_queues(&self, end: u64) -> io::Result<()> {
        tracing::warn!("consume queues are not as they were left, and are derived again");
        self.derive_missing(self.segments.min_offset(), end, &|_, _| true, true)?;
        self.queues.write_out()
    }

    /// Derives what the queues lack that are `wanted`, from the records between two log offsets; with
    /// `starts`, also what they lack before their first unit.
    fn derive_missing(
        &self,
        start: u64,
        end: u64,
        wanted: &dyn Fn(&str, u32) -> bool,
        starts: bool,
    ) -> io::Result<()> {
        let mut scan = Scan::new(self.segments, self.segments.find(start).map_or(end, |s| s.base));
        let mut hashes = Vec::new();
        while scan.at < end {
            let view = match scan.next()? {
                Found::Record(view) => view,
                Found::Filler(_) => continue,
                Found::Nothing | Found::Bad(_) => {
                    let Some(next) = self.next_written_segment(scan.at, end)? else { break };
                    scan = Scan::new(self.segments, next);
                    continue;
                }
            };
            let Some((topic, id)) = queue_of(&view) else { continue };
            if !wanted(topic, id) || self.deleted.has(topic, view.physical_offset()) {
                continue;
            }
            if self.check_bodies && view.verify_body().is_err() {
                let (queue, offset) = (view.queue_id(), view.queue_offset());
                tracing::error!(topic, queue, offset, "a damaged message is left out");
                continue;
            }
            let queue = self.queues.get(topic, id);
            let derivation = Derivation::of(&view, &queue, self.delays, &mut hashes);
            if starts && derivation.queued && derivation.queue_offset < queue.first() {
                self.queues.restart(&queue, derivation.queue_offset)?;
            }
            if derivation.queued && derivation.queue_offset >= queue.next() {
                self.queues.skip_to(&queue, derivation.queue_offset)?;
                queue.assign();
                queue.push(derivation.queue_offset, derivation.unit);
            }
            if self.queues.shared.backlog.is_much() {
                self.queues.write_out()?;
            }
        }
        Ok(())
    }
}

/// Whether a record of ours ends in the zeros that were there before it: the process ended, or the disk
/// failed, in the middle of the write. The checksum of the body does not cover what follows it, but
/// topics hold no zeros and property blocks end in 0x02.
fn is_cut_short(view: &RecordView<'_>) -> bool {
    view.topic().contains(&0) || view.properties().last() == Some(&0)
}

/// Writes what a segment holds of the log between two offsets once more.
fn rewrite(segment: &Segment, from: u64, to: u64) -> io::Result<()> {
    const STEP: u64 = 1 << 20;
    let mut buf = vec![0; STEP as usize];
    let (mut at, end) = (from.max(segment.base), to.min(segment.end()));
    while at < end {
        let bytes = &mut buf[..STEP.min(end - at) as usize];
        segment.file.read_exact_at(bytes, at - segment.base)?;
        segment.file.write_at(bytes, at - segment.base)?;
        at += STEP;
    }
    Ok(())
}

/// Makes what lies behind `from` in the last segment zeros.
fn clear_behind(segment: &Segment, from: u64, left: Left) -> io::Result<()> {
    // While the page cache lives, at most one unfinished write lies behind the end.
    let near = from + limits::RECORD_BYTES as u64 + limits::PENDING_BYTES as u64;
    let marks = segment.size - limits::MARK_BYTES;
    let to = match left {
        Left::Closed => from,
        Left::Crashed => near.min(marks),
        Left::PowerCut => marks,
        Left::ReferenceClosed | Left::ReferenceCrashed => segment.size,
    };
    // Whatever they read as: zeros that a failed sync lost are not on the disk.
    segment.file.keep()?.zero(from, to.saturating_sub(from))
}

/// Queues whose next message in the log is not the next one of the queue.
#[derive(Debug, Default)]
struct Gaps(BTreeSet<(String, u32)>);

/// Log offset behind the last message of a queue; 0 if it has none.
fn queue_end(queue: &Queue) -> io::Result<u64> {
    let Some(last) = queue.next().checked_sub(1) else { return Ok(0) };
    let mut units = smallvec::SmallVec::new();
    queue.units(last, 1, true, &mut units)?;
    Ok(units.first().filter(|unit| !unit.is_blank()).map_or(0, Unit::end))
}
