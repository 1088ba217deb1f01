//! Progress of a broadcasting consumer: no broker keeps it, because each member has its own.
//!
//! Kept in memory, and in a file when the application names one: a JSON array of
//! `{"topic", "brokerName", "queueId", "offset"}`, replaced as a whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use env::Disk;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::queue::MessageQueue;

/// Offsets by queue.
#[derive(Debug)]
pub(crate) struct LocalOffsets {
    file: Option<(Disk, PathBuf)>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    offsets: BTreeMap<MessageQueue, u64>,
    changed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    topic: String,
    broker_name: String,
    queue_id: u32,
    offset: u64,
}

impl LocalOffsets {
    /// Offsets that end with the process.
    pub(crate) fn in_memory() -> LocalOffsets {
        LocalOffsets { file: None, table: Mutex::default() }
    }

    /// Offsets kept in a file, which is made when it does not exist.
    pub(crate) fn in_file(disk: Disk, path: PathBuf) -> io::Result<LocalOffsets> {
        let mut offsets = BTreeMap::new();
        if disk.exists(&path)? {
            let file = disk.open(&path)?;
            let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
            if len > limits::OFFSETS_FILE_BYTES {
                return Err(io::Error::other(format!("{len} bytes is no offsets file")));
            }
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, 0)?;
            for row in serde_json::from_slice::<Vec<Row>>(&bytes)? {
                let queue = MessageQueue::new(&row.topic, &row.broker_name, row.queue_id);
                offsets.insert(queue, row.offset);
            }
        }
        let table = Mutex::new(Table { offsets, changed: false });
        Ok(LocalOffsets { file: Some((disk, path)), table })
    }

    pub(crate) fn get(&self, queue: &MessageQueue) -> Option<u64> {
        self.table.lock().offsets.get(queue).copied()
    }

    pub(crate) fn set(&self, queue: &MessageQueue, offset: u64) {
        let mut table = self.table.lock();
        table.changed |= table.offsets.insert(queue.clone(), offset) != Some(offset);
    }

    /// Writes the file when something changed: to a temporary name, then renamed.
    pub(crate) fn save(&self) -> io::Result<()> {
        let Some((disk, path)) = &self.file else { return Ok(()) };
        let rows: Vec<Row> = {
            let mut table = self.table.lock();
            if !std::mem::take(&mut table.changed) {
                return Ok(());
            }
            table.offsets.iter().map(|(queue, offset)| Row::new(queue, *offset)).collect()
        };
        let written = write(disk, path, &rows);
        // What is not in the file is written next time.
        self.table.lock().changed |= written.is_err();
        written
    }
}

fn write(disk: &Disk, path: &Path, rows: &[Row]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let bytes = serde_json::to_vec_pretty(rows)?;
    let file = disk.create(&temporary)?;
    file.set_len(0)?;
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, path)
}

impl Row {
    fn new(queue: &MessageQueue, offset: u64) -> Row {
        Row {
            topic: queue.topic.to_string(),
            broker_name: queue.broker.to_string(),
            queue_id: queue.id,
            offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use env::Env;

    use super::*;

    // Offsets that could not be written are written with the next attempt, though they have not changed since.
    #[test]
    fn a_failed_write_is_repeated() {
        let (disk, path) = (Env::sim(1).disk, PathBuf::from("/missing/offsets.json"));
        let offsets = LocalOffsets::in_file(disk.clone(), path.clone()).unwrap();
        let queue = MessageQueue::new("T", "b", 0);
        offsets.set(&queue, 7);
        assert!(offsets.save().is_err(), "there is no such directory");
        disk.create_dir_all(Path::new("/missing")).unwrap();
        offsets.save().unwrap();
        let again = LocalOffsets::in_file(disk, path).unwrap();
        assert_eq!(again.get(&queue), Some(7));
    }
}
