//! Every bound of this crate, in one place.

use std::time::Duration;

/// Most bytes of one record that is written here: the largest body that `maxMessageSize` allows, and 64 KiB for
/// the rest.
pub const RECORD_BYTES: usize = (8 << 20) + (64 << 10);

/// Most bytes of a topic's name: that of a directory.
pub const TOPIC_BYTES: usize = 255;

/// Queue offsets that are found in a log lie below: files of a consume queue are named by a byte position, a
/// positive Java `long`, and there must be room for messages to come.
pub const QUEUE_OFFSETS: u64 = i64::MAX as u64 / 20 - (1 << 30);

/// Bytes at the end of a segment that hold durable marks instead of records (two sectors).
pub const MARK_BYTES: u64 = 1024;

/// Most batches that wait to be appended.
pub const PENDING_BATCHES: usize = 4096;

/// A batch that held more than this is not used again: what a read of a connection needs at most, and
/// room for its entries.
pub const SPARE_BATCH_BYTES: usize = 1 << 20;

/// Most bytes of batches that wait to be appended.
pub const PENDING_BYTES: usize = 64 << 20;

/// Time between looks of the thread that ends waits, while there are some: that much longer may one take.
pub const LOOK: Duration = Duration::from_millis(50);

/// Upper bound of the default for log bytes that await the device.
pub const DIRTY_BYTES: u64 = 1 << 30;

/// Log bytes after which the device is told to start writing.
pub const WRITEBACK_STEP: u64 = 16 << 20;

/// Most segments that are mapped at a time. Slices handed out keep theirs mapped longer.
pub const MAPPED_SEGMENTS: usize = 32;

/// Most consume queue units that are not in their files yet, over all queues (24 bytes each).
pub const UNITS_IN_MEMORY: usize = 2 << 20;

/// Units not in their files yet that make the queue writer start before its time.
pub const UNITS_WAKE: usize = 64 << 10;

/// Units that the queue writer copies and writes at a time, per queue.
pub const UNITS_PER_WRITE: usize = 4096;

/// Most consume queue files that are kept open, see [`open_queue_files`].
pub const OPEN_QUEUE_FILES: usize = 2048;

/// Consume queue files that are kept open where `files` may be open: a quarter of them at most, as connections
/// take half, and the log must always be able to open its next file.
pub fn open_queue_files(files: u64) -> usize {
    usize::try_from(files / 4).unwrap_or(OPEN_QUEUE_FILES).min(OPEN_QUEUE_FILES)
}

/// Queues of a batch among which a further record's is looked for.
pub const QUEUES_SEARCHED: usize = 32;

/// Units that one read looks at, unless more messages are wanted (`16000` bytes in the reference).
pub const UNITS_PER_GET: usize = 800;

/// Most reads that wait for a reader thread.
pub const BACKGROUND_JOBS: usize = 1024;

/// Threads for what may wait for the device on behalf of a request.
pub const READER_THREADS: usize = 2;

/// Most index entries that wait to be written (24 bytes each), two for each of [`UNITS_IN_MEMORY`]; beyond it they are
/// read back from the log, which took 16 % of the CPU under full load: one sync of a busy device, during which nothing
/// is written, has to fit.
pub const INDEX_QUEUE: usize = 2 * UNITS_IN_MEMORY;

/// Index entries waiting to be written that are written before their time, where a pass takes long.
pub const INDEX_WAKE: usize = 256 << 10;

/// Records whose keys are read back from the log at a time, before what was appended meanwhile is written.
pub const RECORDS_RESTORED: usize = 16 << 10;

/// Most messages that one query by key returns (`maxMsgsNumBatch`).
pub const QUERY_MESSAGES: usize = 64;

/// Most bytes that one query by key returns: what fits into one frame of 16 MiB.
pub const QUERY_BYTES: usize = (16 << 20) - (64 << 10);

/// Most bytes of a record that is taken for one where the log is read: the reference's largest setting is lower.
pub const SCANNED_RECORD_BYTES: usize = 64 << 20;

/// Most missing messages of a queue that blanks stand for; a queue that lacks more starts anew.
pub const BLANK_UNITS: u64 = 64 << 10;

/// Log bytes between two checkpoints, at most: what recovery has to read after a power cut.
pub const CHECKPOINT_BYTES: u64 = 256 << 20;

/// Most queues that the log names for one deleted segment, and most groups for each of them.
pub const LOSSES_LOGGED: usize = 100;

/// Milliseconds between two checkpoints, at most, while anything changes.
pub const CHECKPOINT_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// With few files allowed, a quarter of them may be those of consume queues; with many, a fixed number.
    #[test]
    fn consume_queues_leave_files_to_others() {
        for (files, most) in
            [(256, 64), (1024, 256), (8192, 2048), (1 << 20, 2048), (u64::MAX, 2048)]
        {
            assert_eq!(open_queue_files(files), most, "of {files}");
        }
    }
}
