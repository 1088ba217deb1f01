//! Opening a store's directory.

use env::Env;

use crate::append::Appender;
use crate::config_files::ConfigFiles;
use crate::dispatch::Derived;
use crate::error::OpenError;
use crate::health::{Health, Marks};
use crate::limits;
use crate::log::Log;
use crate::queue::{Queues, files::FilesShared};
use crate::segment::Segments;
use crate::settings::StoreSettings;
use crate::store::Inner;

/// Opens the directory and recovers what it holds.
pub(crate) fn open(env: Env, settings: StoreSettings) -> Result<Inner, OpenError> {
    let disk = env.disk.clone();
    let root = settings.root.clone();
    let log_dir = root.join("commitlog");
    let queue_dir = root.join("consumequeue");
    for dir in [&log_dir, &queue_dir] {
        disk.create_dir_all(dir).map_err(OpenError::io(dir))?;
    }
    let delays = settings
        .delays()
        .map_err(|problem| OpenError::Setting { key: "messageDelayLevel", problem })?;
    let config = ConfigFiles::new(disk.clone(), &root);
    let log = Log::new(disk.clone(), log_dir, settings.segment_bytes, Segments::default());
    let queues = Queues::new(FilesShared::new(disk, queue_dir, settings.queue_file_bytes), 0);
    let dirty_limit = match settings.dirty_bytes_max {
        0 => limits::DIRTY_BYTES,
        set => set,
    };
    Ok(Inner {
        env: env.with_own_tasks(),
        settings,
        delays,
        config,
        log,
        queues,
        derived: Derived { index: None },
        appender: Appender::new(0, None),
        marks: Marks::new(0, 0),
        flush: Default::default(),
        health: Health::default(),
        background: Default::default(),
        keeper: Default::default(),
        dirty_limit,
    })
}
