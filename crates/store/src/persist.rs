//! Writing what is derived: consume queues, index, and how far both have got.
//!
//! One thread. Each pass moves what is in memory to the files and then notes in `apogee/state` how far
//! that is. From time to time the files are synced and a checkpoint is made: where recovery starts, after
//! a power cut and also after a crash of the process, since a checkpoint of the next process syncs only
//! what that one has written.

use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use wire::record::RecordView;

use crate::dispatch::Derivation;
use crate::index::{Index, Item, Lost};
use crate::limits;
use crate::scan::{Found, Scan};
use crate::segment::Segments;
use crate::state::{Checkpoint, State, StateFile, remove_abort};
use crate::store::Inner;

/// The files that say how far the store has got.
#[derive(Debug)]
pub(crate) struct Persist(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    file: StateFile,
    state: State,
    checkpoint: Checkpoint,
    /// When the last checkpoint was made.
    made: Duration,
    /// End and last store timestamp of the log at the last checkpoint: durable by the next one.
    before: (u64, i64),
    /// Whether keys are being read back from the log.
    restoring: bool,
}

impl Persist {
    pub(crate) fn new(file: StateFile, state: State, checkpoint: Checkpoint) -> Persist {
        let (made, before) = (Duration::ZERO, (0, checkpoint.log_ms));
        let restoring = false;
        Persist(Mutex::new(Progress { file, state, checkpoint, made, before, restoring }))
    }
}

impl Inner {
    /// Body of the thread that writes consume queues and index.
    pub(crate) fn write_derived_until_stopped(&self) {
        while !self.health.is_closing() {
            self.queues.shared.backlog.wait();
            match self.write_derived().map(|()| self.checkpoint_if_due()) {
                Ok(Ok(())) => {}
                Err(error) if !self.derived.index.as_ref().is_some_and(Index::has_failed) => {
                    tracing::error!(%error, "cannot write what is derived from the log; trying again");
                }
                // After a failed sync the next one may succeed without what this one did not write: there
                // must be none, it would claim that too.
                Err(error) | Ok(Err(error)) => {
                    self.stop(&format!("cannot sync what is derived from the log: {error}"));
                    return;
                }
            }
        }
    }

    /// Moves what is in memory now to the files.
    pub(crate) fn write_derived(&self) -> io::Result<()> {
        // Read first: what was appended up to here is in memory, or written already.
        let mut reached = self.marks.appended();
        self.queues.write_out()?;
        if let Some(index) = &self.derived.index {
            index.write_out()?;
            if let Some(lost) = index.lost() {
                self.restore_index(index, lost)?;
            }
            reached = index.lost().map_or(reached, |lost| reached.min(lost.from));
        }
        let mut progress = self.persist.0.lock();
        let Progress { file, state, .. } = &mut *progress;
        if state.written < reached {
            state.written = reached;
            file.write(state, false)?;
            self.marks.set_dispatched(reached);
        }
        Ok(())
    }

    /// Reads keys back from the log, a part of it: what is appended meanwhile has to be written too. The
    /// next pass goes on.
    fn restore_index(&self, index: &Index, lost: Lost) -> io::Result<()> {
        if !std::mem::replace(&mut self.persist.0.lock().restoring, true) {
            tracing::warn!(from = lost.from, "keys are read back from the log");
        }
        // First, so that the segments have all of it, and no part is read before it is written.
        let end = self.marks.appended();
        let segments = self.log.segments();
        let mut at = lost.from.max(segments.min_offset());
        let read = self.restore_part(index, &segments, &mut at, end);
        // Also where it failed: what was put back must not be put back again.
        let complete = index.restored(at);
        if complete {
            self.persist.0.lock().restoring = false;
            tracing::info!("all keys are read back from the log");
        } else if read.is_ok() && at < end {
            self.queues.shared.backlog.wake();
        }
        read.and_then(|()| index.write_out())
    }

    /// Reads keys back from `at` on, which it moves, up to `end` at most.
    fn restore_part(
        &self,
        index: &Index,
        segments: &Segments,
        at: &mut u64,
        end: u64,
    ) -> io::Result<()> {
        let mut scan = Scan::new(segments, *at);
        let mut hashes = Vec::new();
        for _ in 0..limits::RECORDS_RESTORED {
            if *at >= end || self.health.is_closing() {
                break;
            }
            match scan.next()? {
                Found::Record(view) => self.restore_keys(index, &view, &mut hashes)?,
                Found::Filler(_) => {}
                Found::Nothing | Found::Bad(_) => {
                    let next = segments.find(*at).map_or(end, |segment| segment.end());
                    scan.at = next.min(end);
                }
            }
            *at = scan.at;
        }
        Ok(())
    }

    fn restore_keys(
        &self,
        index: &Index,
        view: &RecordView<'_>,
        hashes: &mut Vec<u32>,
    ) -> io::Result<()> {
        let Ok(topic) = std::str::from_utf8(view.topic()) else { return Ok(()) };
        let Ok(id) = u32::try_from(view.queue_id()) else { return Ok(()) };
        let queue = self.queues.get(topic, id);
        let record = Derivation::of(view, &queue, &self.delays, hashes);
        let (physical, store_timestamp) = (record.unit.physical, record.store_timestamp);
        let mut items =
            record.hashes.iter().map(|hash| Item { hash: *hash, physical, store_timestamp });
        items.try_for_each(|item| index.put_back(item))
    }

    fn checkpoint_if_due(&self) -> io::Result<()> {
        let due = {
            let progress = self.persist.0.lock();
            let age = self.env.clock.mono().saturating_sub(progress.made);
            let behind = progress.state.written.saturating_sub(progress.state.synced);
            // After a crash the reference keeps only the index files that the checkpoint covers, and reads
            // back the keys of its last ten log files at most: a full file has to be covered at once.
            let full_ms = self.derived.index.as_ref().map_or(0, Index::full_ms);
            full_ms > progress.checkpoint.index_ms
                || behind >= limits::CHECKPOINT_BYTES
                || (behind > 0 && age >= Duration::from_millis(limits::CHECKPOINT_MS))
        };
        if due { self.checkpoint(false) } else { Ok(()) }
    }

    /// Syncs the consume queues. Their syncs together may take a second where the device is busy: between them, what
    /// has come together in memory is moved to the files.
    fn sync_queues(&self) -> io::Result<()> {
        let mut moved = Ok(());
        for queue in self.queues.all() {
            queue.files.sync()?;
            if moved.is_ok() {
                moved = self.derived.write_out_if_much(&self.queues);
            }
        }
        if let Err(error) = moved {
            tracing::error!(%error, "cannot write what is derived from the log; trying again");
        }
        Ok(())
    }

    /// Syncs everything derived that is written, and notes how far all of it is durable.
    pub(crate) fn checkpoint(&self, closed: bool) -> io::Result<()> {
        let mut progress = self.persist.0.lock();
        progress.made = self.env.clock.mono();
        let Progress { file, state, checkpoint, before, .. } = &mut *progress;
        let (written, durable) = (state.written, self.marks.durable());
        let now = (self.marks.appended(), self.marks.last_ms());
        self.sync_queues()?;
        if let Some(index) = &self.derived.index {
            index.sync()?;
            checkpoint.index_ms = index.full_ms();
        }
        let safe = if durable >= now.0 && written >= now.0 { now.1 } else { before.1 };
        if durable >= before.0 && safe > 0 {
            (checkpoint.log_ms, checkpoint.queues_ms) = (safe, safe);
            checkpoint.confirmed = i64::try_from(durable).unwrap_or(i64::MAX);
            *before = now;
        }
        // The state knows both checkpoints while one replaces the other.
        state.checkpoints = [state.checkpoints[1], *checkpoint];
        state.synced = state.synced.max(written.min(durable));
        state.closed = closed;
        state.queues = if closed { self.queues.digest() } else { 0 };
        file.write(state, true)?;
        checkpoint.write(&self.env.disk, &self.settings.root)
    }

    /// Writes and syncs everything; after the threads have ended.
    pub(crate) fn finish(&self) {
        // Whoever is appending sees that the store is closed, or is done before this returns.
        // What a failed write left behind the end must not be taken for records of a closed log.
        let scrubbed = self.scrub(&mut self.appender.lock());
        self.sync_log();
        // Once more for the mark that claims it: what follows may fail, and the state stay behind.
        self.sync_log();
        if self.health.has_failed() {
            return;
        }
        let closed = scrubbed.and_then(|()| self.write_derived()).and_then(|()| {
            // Closed means that nothing is left to derive.
            if self.persist.0.lock().state.written < self.marks.appended() {
                return Err(io::Error::other("keys could not be read back"));
            }
            self.derived.index.as_ref().map_or(Ok(()), Index::close)?;
            self.log.remove_spare()?;
            self.checkpoint(true)?;
            remove_abort(&self.env.disk, &self.settings.root)
        });
        if let Err(error) = closed {
            tracing::error!(%error, "the store could not be closed cleanly; the next start recovers it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use env::{Disk, Env};

    use crate::state::Checkpoint;
    use crate::store::Inner;
    use crate::tests::{open, push, send, wait};
    use crate::{Batch, Lookup, Store, StoreSettings, limits};

    /// Begin and end, by their headers, of the index files of a directory.
    fn times(root: &Path) -> Vec<[i64; 2]> {
        let (disk, dir) = (Disk::real(), root.join("index"));
        let names = disk.list(&dir).unwrap().into_iter().map(|entry| entry.name);
        let read = |name| {
            let mut bytes = [[0; 8]; 2];
            disk.open(&dir.join(name)).unwrap().read_exact_at(bytes.as_flattened_mut(), 0).unwrap();
            bytes.map(i64::from_be_bytes)
        };
        names.map(read).collect()
    }

    /// The reference, after a crash, keeps the index files that end no later than the checkpoint says.
    /// These are, at once and also within one millisecond, all full ones, and not the newest, whose slots
    /// are not in the file.
    #[test]
    fn full_index_files_are_covered_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let queue = store.queue("a", 0);
        for _ in 0..40 {
            send(&store, &queue, b"body");
        }
        store.inner.write_derived().unwrap();
        store.inner.checkpoint_if_due().unwrap();
        let covered = Checkpoint::read(&Disk::real(), dir.path()).unwrap().index_ms;
        let files = times(dir.path());
        let (newest, full) = files.split_last().unwrap();
        assert!(full.len() > 5 && full.iter().all(|[_, end]| *end <= covered), "{files:?}");
        assert!(newest[1] > covered, "{files:?}, covered up to {covered}");
        assert!(files.is_sorted_by_key(|[begin, _]| begin), "{files:?}");
    }

    /// A checkpoint, which may take long, does not let more come together in memory than has room there: keys
    /// would be read back from the log.
    #[test]
    fn a_checkpoint_moves_what_has_become_much() {
        let env = Env { disk: Disk::mem(), ..Env::real() };
        let settings = StoreSettings { index_items: 1 << 21, ..StoreSettings::test_min("/s") };
        // Without its threads.
        let inner = Arc::new(crate::open::open(env, settings).unwrap());
        let appended = append(&inner, 1);
        let index = inner.derived.index.as_ref().unwrap();
        index.write_out().unwrap();
        let hashes = vec![1; limits::INDEX_WAKE];
        for (hashes, left) in [(&hashes[..], hashes.len()), (&hashes[..1], 0)] {
            index.staging().add(appended.end, appended.store_timestamp, hashes);
            inner.checkpoint(false).unwrap();
            assert_eq!(index.staged(), left);
        }
    }

    const BODIES: usize = 600;

    /// A store of one queue with `count` messages, whose index somebody has removed.
    fn without_index(count: usize, segment_bytes: u64) -> (Env, StoreSettings) {
        let env = Env { disk: Disk::mem(), ..Env::real() };
        let settings = StoreSettings {
            segment_bytes,
            queue_file_bytes: 1 << 20,
            index_items: 1 << 20,
            ..StoreSettings::test_min("/s")
        };
        let store = Store::open(env.clone(), settings.clone()).unwrap();
        (0..count).for_each(|number| drop(append(&store.inner, number)));
        store.close();
        let dir = Path::new("/s/index");
        for entry in env.disk.list(dir).unwrap() {
            env.disk.remove(&dir.join(entry.name)).unwrap();
        }
        (env, settings)
    }

    fn append(inner: &Arc<Inner>, number: usize) -> crate::Appended {
        let mut batch = Batch::new();
        push(&mut batch, &inner.queues.get("a", 0), &vec![1; number % BODIES], false);
        wait(inner.append(batch)).unwrap()
    }

    /// Whether each of `count` messages is found by its key.
    fn all_found(inner: &Inner, count: usize) -> bool {
        (0..BODIES).all(|body| {
            let key = format!("k{body}");
            let found = inner.query("a", Lookup::Key(&key), 0..=i64::MAX, 64).unwrap();
            found.len() == (body..count).step_by(BODIES).count()
        })
    }

    /// No key is lost of what is appended, to files that are new, while keys are read back.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "the test needs threads that race")]
    fn keys_are_read_back_while_the_log_grows() {
        const BEFORE: usize = 3000;
        // On a busy machine all may be read back before the first append: then once more.
        for _ in 0..100 {
            let (env, settings) = without_index(BEFORE, 4096);
            let store = Store::open(env, settings).unwrap();
            let mut count = BEFORE;
            while store.inner.derived.index.as_ref().unwrap().lost().is_some() {
                if count < 10_000 {
                    append(&store.inner, count);
                    count += 1;
                } else {
                    std::thread::yield_now();
                }
            }
            assert!(all_found(&store.inner, count), "{count} messages");
            if count > BEFORE {
                return;
            }
        }
        panic!("nothing was ever appended while keys were read back");
    }

    /// While keys are read back, which may take long, what is appended meanwhile is written to the queues: else
    /// sends would be refused as too much is in memory.
    #[test]
    fn queues_are_written_while_keys_are_read_back() {
        let count = limits::RECORDS_RESTORED * 3 / 2;
        let (env, settings) = without_index(count, 1 << 20);
        // Without its threads.
        let inner = Arc::new(crate::open::open(env, settings).unwrap());
        let index = inner.derived.index.as_ref().unwrap();
        let mut before = index.lost().unwrap().from;
        for pass in 0..2 {
            append(&inner, count + pass);
            inner.write_derived().unwrap();
            assert_eq!(inner.queues.shared.backlog.units(), 0);
            let from = index.lost().map_or(u64::MAX, |lost| lost.from);
            assert!(from > before);
            before = from;
        }
        assert_eq!((before, inner.marks.dispatched()), (u64::MAX, inner.marks.appended()));
        assert!(all_found(&inner, count + 2));
    }
}
