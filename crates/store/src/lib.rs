//! The commit log and everything derived from it, in Apache RocketMQ's files.
//!
//! Owns: `commitlog/`, `consumequeue/`, `index/`, `config/`, the files `checkpoint`, `abort` and `lock`
//! of the store directory, and `apogee/` within it. The log is the truth; all else can be rebuilt from
//! it, and is.
//!
//! Invariants: an appended batch is in the log whole or not at all; queue offsets are dense and never
//! change their message; nothing is shown to readers before it has the durability that the flush mode
//! promises; what a sync covered survives a power cut; nothing grows without a bound ([`limits`]).
//!
//! Absent: permissions, consumer groups, retries, sockets. A queue is a topic's name and a number here.
//!
//! Start at [`Store`], then `append.rs`, `read.rs` and `recover.rs`. Format and recovery are described
//! in `docs/design/store.md`.

mod append;
mod background;
mod batch;
mod config_files;
mod delay;
mod deleted;
mod dispatch;
mod error;
mod flush;
mod health;
mod index;
pub mod inspect;
mod kept_file;
pub mod limits;
mod load;
mod log;
mod look;
mod mark;
mod metrics;
mod open;
mod persist;
mod queue;
mod read;
mod readers;
mod recover;
mod refuse;
mod retention;
mod room;
mod scan;
mod search;
mod segment;
mod settings;
mod state;
mod store;
mod wait;

pub use self::metrics::Metrics;
pub use append::Append;
pub use background::Task;
pub use batch::{Appended, Batch, NewRecord};
pub use config_files::{ConfigError, ConfigFiles};
pub use delay::{DelayLevels, SCHEDULE_TOPIC};
pub use dispatch::Tags;
pub use error::{AppendError, OpenError, ReadError};
pub use flush::{Durability, Durable};
pub use health::Watermarks;
pub use index::{Keys, Lookup};
pub use look::{Counters, QueueUnit, Spaces, Waiting};
pub use queue::{Arrived, Queue};
pub use read::{ColdGet, Get, Got, GotStatus, Want};
pub use readers::{Reader, Readers};
pub use room::Shortage;
pub use search::Bound;
pub use settings::{DiskFullPolicy, FlushDiskType, Hours, LogPath, StoreSettings};
pub use store::Store;

#[cfg(test)]
mod tests;
