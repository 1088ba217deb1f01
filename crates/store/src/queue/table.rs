//! All queues, by topic and id.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::files::FilesShared;
use super::writer::Backlog;
use super::{Queue, Shared, Unit};
use crate::limits;

/// The queues of one topic.
type Ids = BTreeMap<u32, Arc<Queue>>;

/// All queues of a store.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) shared: Arc<Shared>,
    by_topic: RwLock<HashMap<Box<str>, Ids>>,
}

impl Queues {
    pub(crate) fn new(files: FilesShared) -> Queues {
        let shared = Shared { files: Arc::new(files), backlog: Backlog::default() };
        Queues { shared: Arc::new(shared), by_topic: RwLock::default() }
    }

    /// The queue, if it exists.
    pub(crate) fn find(&self, topic: &str, id: u32) -> Option<Arc<Queue>> {
        self.by_topic.read().get(topic)?.get(&id).cloned()
    }

    /// The queue; created empty, in memory, where it does not exist.
    pub(crate) fn get(&self, topic: &str, id: u32) -> Arc<Queue> {
        if let Some(queue) = self.find(topic, id) {
            return queue;
        }
        self.insert(topic, id, None, 0)
    }

    /// Adds a queue whose first file starts with unit `first` and whose next offset is `next`, unless it
    /// is there already.
    pub(crate) fn insert(&self, topic: &str, id: u32, first: Option<u64>, next: u64) -> Arc<Queue> {
        let mut by_topic = self.by_topic.write();
        let queues = by_topic.entry(topic.into()).or_default();
        let queue = || Arc::new(Queue::new(Arc::clone(&self.shared), topic, id, first, next));
        Arc::clone(queues.entry(id).or_insert_with(queue))
    }

    /// All queues at this moment.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        self.by_topic.read().values().flat_map(|queues| queues.values().cloned()).collect()
    }

    /// Makes `offset` the next one of a queue whose messages before it are gone: blanks stand for a few,
    /// a queue that lacks more starts anew. In recovery only.
    pub(crate) fn skip_to(&self, queue: &Arc<Queue>, offset: u64) -> io::Result<()> {
        let next = queue.next();
        if offset == next {
            return Ok(());
        }
        tracing::error!(
            topic = queue.topic(),
            queue = queue.id(),
            from = next,
            to = offset,
            "messages are missing in the log"
        );
        if next > queue.first() && offset - next <= limits::BLANK_UNITS {
            for blank in next..offset {
                queue.assign();
                queue.push(blank, Unit::BLANK);
            }
            return Ok(());
        }
        self.restart(queue, offset)
    }

    /// Forgets all units of a queue, which goes on with `offset`.
    pub(crate) fn restart(&self, queue: &Arc<Queue>, offset: u64) -> io::Result<()> {
        self.write_out()?;
        queue.files.clear()?;
        queue.reset(offset);
        Ok(())
    }

    /// Depends on which queues have messages, and where each begins and ends: differs, all but certainly,
    /// when one of them has lost files.
    pub(crate) fn digest(&self) -> u64 {
        let of_one = |queue: Arc<Queue>| {
            let (first, next) = (queue.first(), queue.next());
            if first == next {
                return 0;
            }
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(queue.topic().as_bytes());
            hasher.update(&queue.id().to_be_bytes());
            hasher.update(&first.to_be_bytes());
            hasher.update(&next.to_be_bytes());
            // The sum of all does not depend on their order.
            u64::from(hasher.finalize()) << 16 | 1
        };
        self.all().into_iter().map(of_one).fold(0, u64::wrapping_add)
    }
}
