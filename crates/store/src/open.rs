//! Opening a store's directory: lock it, see how it was left, recover it, mark it as open.

use std::path::Path;

use arc_swap::ArcSwap;
use env::Env;
use env::disk::LockGuard;

use crate::append::Appender;
use crate::background::Background;
use crate::config_files::ConfigFiles;
use crate::deleted::Deleted;
use crate::dispatch::Derived;
use crate::error::OpenError;
use crate::health::{Health, Marks};
use crate::index::{Index, Layout, OpenAt};
use crate::limits;
use crate::load;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::persist::Persist;
use crate::queue::{Queues, files::FilesShared};
use crate::recover::{Left, Recovery, how_left};
use crate::settings::StoreSettings;
use crate::state::{Checkpoint, StateFile, create_abort};
use crate::store::Inner;

/// Opens the directory and recovers what it holds.
pub(crate) fn open(env: Env, settings: StoreSettings) -> Result<Inner, OpenError> {
    let delays = settings
        .delays()
        .map_err(|problem| OpenError::Setting { key: "messageDelayLevel", problem })?;
    let disk = env.disk.clone();
    let root = settings.root.clone();
    let failed = |error| OpenError::Io { path: root.clone(), error };
    settings.check_log_dir(&disk)?;
    let log_dir = settings.log_dir();
    let locks = prepare(&env, &root, &log_dir)?;
    let boot_id = disk.boot_id().map_err(failed)?;
    let (mut state_file, state) = StateFile::open(&disk, &root).map_err(failed)?;
    let checkpoint = Checkpoint::read(&disk, &root).map_err(failed)?;
    let aborted = disk.exists(&root.join("abort")).map_err(failed)?;
    let left = how_left(state.as_ref(), &checkpoint, aborted, &boot_id);

    let mut segments = load::segments(&disk, &log_dir, settings.segment_bytes)?;
    let files =
        FilesShared::new(disk.clone(), root.join("consumequeue"), settings.queue_file_bytes);
    let queues = Queues::new(files);
    let config = ConfigFiles::new(disk.clone(), &root);
    let deleted = Deleted::read(config.clone(), segments.min_offset())?;
    let mut derived = Derived { index: None };
    let (check_bodies, min) = (settings.check_body_crc, segments.min_offset());
    let recovery = Recovery {
        disk: &disk,
        root: &root,
        log_dir: &log_dir,
        segments: &mut segments,
        queues: &queues,
        derived: &derived,
        deleted: &deleted,
        delays: &delays,
        check_bodies,
    };
    let plan = recovery.plan(left, state.as_ref(), &checkpoint).map_err(failed)?;
    if matches!(left, Left::ReferenceClosed | Left::ReferenceCrashed) {
        // It may have cut off an end that we had not synced, and have gone on there.
        deleted.log_ends(state.as_ref().map_or(0, |state| state.synced)).map_err(failed)?;
    }
    if settings.index {
        let slots_valid = matches!(left, Left::Closed | Left::ReferenceClosed);
        let at = OpenAt { min, end: plan.start, slots_valid };
        let layout = Layout { slots: settings.index_slots, items: settings.index_items };
        let (dir, clock) = (root.join("index"), env.clock.clone());
        let index = Index::open(disk.clone(), clock, dir.clone(), layout, at);
        derived.index = Some(index.map_err(OpenError::io(dir))?);
    }
    let recovery = Recovery {
        disk: &disk,
        root: &root,
        log_dir: &log_dir,
        segments: &mut segments,
        queues: &queues,
        derived: &derived,
        deleted: &deleted,
        delays: &delays,
        check_bodies,
    };
    let recovered = recovery.run(plan)?;
    deleted.log_ends(recovered.end).map_err(failed)?;

    let mut state = state.unwrap_or_default();
    (state.closed, state.boot_id) = (false, boot_id);
    state.written = recovered.end;
    state.synced = state.synced.min(recovered.end);
    state.checkpoints = [checkpoint; 2];
    create_abort(&disk, &root).map_err(failed)?;
    // What was read may be in the page cache only; the state may name only what survives.
    checkpoint.write(&disk, &root).map_err(failed)?;
    state_file.write(&state, true).map_err(failed)?;
    let last = segments.find(recovered.end).cloned();
    let last_ms = recovered.last_ms.max(checkpoint.log_ms);
    let inner = Inner {
        dirty_limit: dirty_limit(&env, settings.dirty_bytes_max),
        config,
        log: Log::new(disk, log_dir, settings.segment_bytes, segments),
        persist: Persist::new(state_file, state, checkpoint),
        deleted,
        crashed: matches!(left, Left::Crashed | Left::PowerCut),
        lost_power: matches!(left, Left::PowerCut),
        appender: Appender::new(recovered.end, last),
        marks: Marks::new(recovered.end, last_ms),
        background: Background::new(env.clock.clone()),
        env: env.with_own_tasks(),
        live: ArcSwap::from_pointee(settings.clone()),
        settings,
        delays,
        queues,
        derived,
        flush: Default::default(),
        retention: Default::default(),
        health: Health::default(),
        metrics: Metrics::new(),
        keeper: Default::default(),
        waits: Default::default(),
        _locks: locks,
    };
    inner.checkpoint(false).map_err(failed)?;
    Ok(inner)
}

/// Creates the directories, locks the store and refuses what it cannot read.
fn prepare(
    env: &Env,
    root: &Path,
    log_dir: &Path,
) -> Result<(LockGuard, Option<LockGuard>), OpenError> {
    let disk = &env.disk;
    // `config` here, so that its name is durable before anything in it is said to be.
    for dir in [root.to_owned(), log_dir.to_owned(), root.join("consumequeue"), root.join("config")]
    {
        disk.create_dir_all(&dir).map_err(OpenError::io(&dir))?;
    }
    let path = root.join("lock");
    let lock = disk.lock(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => OpenError::Locked(root.to_owned()),
        _ => OpenError::Io { path: path.clone(), error },
    })?;
    let log_lock = lock_log(disk, log_dir)?;
    load::refuse_foreign(disk, root)?;
    for dir in [root.parent(), Some(root), log_dir.parent()].into_iter().flatten() {
        if !dir.as_os_str().is_empty() {
            disk.sync_dir(dir).map_err(OpenError::io(dir))?;
        }
    }
    Ok((lock, log_lock))
}

/// Locks the log's directory, which `storePathCommitLog` may name for two servers. No file can do it: the
/// reference takes every file there for a part of the log.
fn lock_log(disk: &env::Disk, log_dir: &Path) -> Result<Option<LockGuard>, OpenError> {
    match disk.lock_dir(log_dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(OpenError::LogLocked(log_dir.to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            tracing::warn!(dir = %log_dir.display(), "this file system cannot lock the commit log's directory: no other server may use it");
            Ok(None)
        }
        Err(error) => Err(OpenError::Io { path: log_dir.to_owned(), error }),
    }
}

/// The configured limit of bytes that await the device, or what suits the machine.
fn dirty_limit(env: &Env, configured: u64) -> u64 {
    match configured {
        0 if env.clock.is_sim() => limits::DIRTY_BYTES,
        0 => limits::DIRTY_BYTES.min(env::limits::memory_limit() / 8),
        set => set,
    }
}
