//! Topics that were deleted while the log still holds their records: `config/deletedTopics.json`.
//!
//! The log is the truth from which queues are derived again after a crash. Of a deleted topic it must not
//! be: what lies below the end that the log had then is nobody's. A topic that is created again goes on
//! counting where the deleted one was, so that an offset never means two messages. An entry goes when the
//! log has lost the last record that it is about. It is shortened where the log ends before it does: after a
//! power cut, or where the reference may have cut the log.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::config_files::{ConfigError, ConfigFiles};

const NAME: &str = "deletedTopics.json";

/// What is known of one deleted topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Deletion {
    /// Log offset below which its records do not count.
    below: u64,
    /// Next offset of each of its queues.
    next: BTreeMap<u32, u64>,
}

type Topics = BTreeMap<String, Deletion>;

/// The deleted topics.
#[derive(Debug)]
pub(crate) struct Deleted {
    files: ConfigFiles,
    topics: Mutex<Topics>,
}

impl Deleted {
    /// Reads the file, without what is about records below `log_min`.
    pub(crate) fn read(files: ConfigFiles, log_min: u64) -> Result<Deleted, ConfigError> {
        let parse =
            |text: &[u8]| serde_json::from_slice::<Topics>(text).map_err(|error| error.to_string());
        let mut topics = files.read(NAME, parse)?.unwrap_or_default();
        topics.retain(|_, deletion| deletion.below > log_min);
        Ok(Deleted { files, topics: Mutex::new(topics) })
    }

    /// Says that the log ends at `end`: what comes there next is not deleted. Durable when it returns.
    pub(crate) fn log_ends(&self, end: u64) -> io::Result<()> {
        let mut topics = self.topics.lock();
        let mut changed = false;
        for deletion in topics.values_mut().filter(|deletion| deletion.below > end) {
            (deletion.below, changed) = (end, true);
        }
        if changed { self.write(&topics) } else { Ok(()) }
    }

    /// Whether a record of `topic` at this log offset was deleted with it.
    pub(crate) fn has(&self, topic: &str, physical: u64) -> bool {
        self.topics.lock().get(topic).is_some_and(|deletion| physical < deletion.below)
    }

    /// Queues of deleted topics: topic, id, next offset.
    pub(crate) fn queues(&self) -> Vec<(String, u32, u64)> {
        let topics = self.topics.lock();
        let of_topic = |(topic, deletion): (&String, &Deletion)| {
            let topic = topic.clone();
            let next = deletion.next.clone();
            next.into_iter().map(move |(id, next)| (topic.clone(), id, next))
        };
        topics.iter().flat_map(of_topic).collect()
    }

    /// Notes, durably, that what the log holds of a topic below an offset is deleted. `next` are its
    /// queues' next offsets.
    pub(crate) fn note(
        &self,
        topic: &str,
        below: u64,
        next: BTreeMap<u32, u64>,
        log_min: u64,
    ) -> io::Result<()> {
        let mut topics = self.topics.lock();
        topics.retain(|_, deletion| deletion.below > log_min);
        topics.insert(topic.to_owned(), Deletion { below, next });
        self.write(&topics)
    }

    fn write(&self, topics: &Topics) -> io::Result<()> {
        let text = serde_json::to_vec(topics).map_err(io::Error::from)?;
        self.files.write(NAME, &text).map_err(|error| match error {
            ConfigError::Io { error, .. } => error,
            error => io::Error::other(error),
        })
    }
}
