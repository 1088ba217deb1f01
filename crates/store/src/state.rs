//! What the store knows of its own past: `apogee/state`, and the reference's `checkpoint`.
//!
//! `apogee/state` says how far everything derived from the log was written and synced, in which run of
//! the machine, and whether the store was closed. It is a hint that saves reading the log: without it,
//! or when another program has used the directory since (its `checkpoint` is then another), recovery
//! starts from the reference's files.
//!
//! Layout, big endian, in two sectors of 512 bytes, of which the one that survives a power cut is not
//! written (the valid one with the higher number counts): magic `APOGEEST`, version u32 = 3, flags u32 (1 = closed), number u64, written u64, synced
//! u64, the checkpoint before and now 2 × 40 bytes, boot id 36 bytes, digest of the queues u64, CRC-32 u32
//! of the 164 bytes before. Version 2 had no digest; it is read as if there were no such file.

use std::io;
use std::path::Path;

use env::Disk;
use env::disk::File;

const MAGIC: &[u8; 8] = b"APOGEEST";
const VERSION: u32 = 3;
const SIZE: usize = 168;
const SECTOR: u64 = 512;
const CHECKPOINT_BYTES: u64 = 4096;
const CHECKPOINT_USED: usize = 40;

/// The content of `apogee/state`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// Whether everything was written and synced and nothing changed since.
    pub(crate) closed: bool,
    /// Log offset up to which everything derived is in its files.
    pub(crate) written: u64,
    /// Log offset up to which the log and everything derived survive a power cut.
    pub(crate) synced: u64,
    /// The `checkpoint` that was there before the last change of it, and after.
    pub(crate) checkpoints: [Checkpoint; 2],
    /// Run of the machine.
    pub(crate) boot_id: String,
    /// What [`crate::queue::Queues::digest`] was when the store was closed; 0 while it is open.
    pub(crate) queues: u64,
}

impl State {
    /// Whether this store wrote the `checkpoint` that was found: the last or the one before, or part of
    /// each, where a write or a sync failed half way. Otherwise the reference has been here since.
    pub(crate) fn wrote(&self, found: &Checkpoint) -> bool {
        let [before, now] = self.checkpoints.map(|checkpoint| checkpoint.encode());
        let found = found.encode();
        let joined_at = |at: usize| found[..at] == now[..at] && found[at..] == before[at..];
        (0..=CHECKPOINT_USED).any(joined_at)
    }
}

/// The file `apogee/state`.
#[derive(Debug)]
pub(crate) struct StateFile {
    file: File,
    number: u64,
    last: Option<State>,
    /// The sector whose state survives a power cut. Only the other one is ever written: a torn write there
    /// must not leave nothing but an older state, which may not know the checkpoint.
    safe: u64,
    /// The sector that was written last.
    newest: u64,
}

impl StateFile {
    /// Opens the file, and reads it if it has valid content.
    pub(crate) fn open(disk: &Disk, root: &Path) -> io::Result<(StateFile, Option<State>)> {
        let dir = root.join("apogee");
        disk.create_dir_all(&dir)?;
        let file = disk.create(&dir.join("state"))?;
        disk.sync_dir(&dir)?;
        disk.sync_dir(root)?;
        let mut newest: Option<(u64, u64, State)> = None;
        for sector in 0..2 {
            let mut bytes = [0; SIZE];
            let read = file.read_at(&mut bytes, sector * SECTOR)?;
            if read == SIZE
                && let Some((number, state)) = decode(&bytes)
                && newest.as_ref().is_none_or(|(known, ..)| number > *known)
            {
                newest = Some((number, sector, state));
            }
        }
        // It may be in the page cache only, where a sync has failed even as a clean page.
        if let Some((number, sector, state)) = &newest {
            file.write_at(&encode(*number, state), sector * SECTOR)?;
            file.sync_data()?;
        }
        let (number, safe) = newest.as_ref().map_or((0, 0), |(number, at, _)| (*number, *at));
        let state = newest.map(|(.., state)| state);
        let last = state.clone();
        Ok((StateFile { file, number, last, safe, newest: safe }, state))
    }

    /// Writes the state, if it is another than the last; with `sync`, durably.
    pub(crate) fn write(&mut self, state: &State, sync: bool) -> io::Result<()> {
        if self.last.as_ref() != Some(state) {
            // Until it is written: a write that fails may be torn.
            (self.last, self.newest) = (None, self.safe);
            let sector = 1 - self.safe;
            self.file.write_at(&encode(self.number + 1, state), sector * SECTOR)?;
            self.number += 1;
            (self.last, self.newest) = (Some(state.clone()), sector);
        }
        if sync {
            self.file.sync_data()?;
            self.safe = self.newest;
        }
        Ok(())
    }
}

fn encode(number: u64, state: &State) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let boot_id = state.boot_id.as_bytes();
    let parts: [&[u8]; 8] = [
        MAGIC,
        &VERSION.to_be_bytes(),
        &u32::from(state.closed).to_be_bytes(),
        &number.to_be_bytes(),
        &state.written.to_be_bytes(),
        &state.synced.to_be_bytes(),
        &state.checkpoints[0].encode(),
        &state.checkpoints[1].encode(),
    ];
    let mut at = 0;
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    let boot_id = &boot_id[..boot_id.len().min(36)];
    bytes[at..at + boot_id.len()].copy_from_slice(boot_id);
    bytes[156..164].copy_from_slice(&state.queues.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..SIZE - 4]);
    bytes[SIZE - 4..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8; SIZE]) -> Option<(u64, State)> {
    let u32_at = |at: usize| bytes[at..].first_chunk().map(|b| u32::from_be_bytes(*b));
    let u64_at = |at: usize| bytes[at..].first_chunk().map(|b| u64::from_be_bytes(*b));
    let whole = u32_at(SIZE - 4)? == crc32fast::hash(&bytes[..SIZE - 4]);
    if !whole || !bytes.starts_with(MAGIC) || u32_at(8)? != VERSION {
        return None;
    }
    let state = State {
        closed: u32_at(12)? == 1,
        written: u64_at(24)?,
        synced: u64_at(32)?,
        checkpoints: [Checkpoint::decode(&bytes[40..])?, Checkpoint::decode(&bytes[80..])?],
        boot_id: String::from_utf8_lossy(&bytes[120..156]).trim_end_matches('\0').to_owned(),
        queues: u64_at(156)?,
    };
    Some((u64_at(16)?, state))
}

/// The reference's `checkpoint`; timestamps are store timestamps of messages (store format §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    /// Last message that is durable in the log.
    pub(crate) log_ms: i64,
    /// Last message that is durable in the consume queues.
    pub(crate) queues_ms: i64,
    /// Last message of the last full index file.
    pub(crate) index_ms: i64,
    /// Offset that a master has flushed, for slaves.
    pub(crate) master_flushed: i64,
    /// Log offset up to which messages are confirmed.
    pub(crate) confirmed: i64,
}

impl Checkpoint {
    /// Reads the file; zeros where there is none.
    pub(crate) fn read(disk: &Disk, root: &Path) -> io::Result<Checkpoint> {
        let mut bytes = [0; CHECKPOINT_USED];
        match disk.open(&root.join("checkpoint")) {
            Ok(file) => file.read_at(&mut bytes, 0)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self::decode(&bytes).unwrap_or_default())
    }

    /// Reads the fields at the start of `bytes`.
    fn decode(bytes: &[u8]) -> Option<Checkpoint> {
        let (fields, _) = bytes.as_chunks::<8>();
        let [log_ms, queues_ms, index_ms, master_flushed, confirmed] =
            fields.first_chunk()?.map(i64::from_be_bytes);
        Some(Checkpoint { log_ms, queues_ms, index_ms, master_flushed, confirmed })
    }

    fn encode(&self) -> [u8; CHECKPOINT_USED] {
        let mut bytes = [0; CHECKPOINT_USED];
        let fields =
            [self.log_ms, self.queues_ms, self.index_ms, self.master_flushed, self.confirmed];
        for (index, field) in fields.iter().enumerate() {
            bytes[index * 8..index * 8 + 8].copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Writes the file, durably.
    pub(crate) fn write(&self, disk: &Disk, root: &Path) -> io::Result<()> {
        let file = disk.create(&root.join("checkpoint"))?;
        let is_new = file.len()? < CHECKPOINT_BYTES;
        if is_new {
            file.set_len(CHECKPOINT_BYTES)?;
        }
        file.write_at(&self.encode(), 0)?;
        file.sync_data()?;
        if is_new { disk.sync_dir(root) } else { Ok(()) }
    }

    /// Store timestamp up to which everything is durable, for choosing where a crashed directory of the
    /// reference is read from.
    pub(crate) fn safe_ms(&self) -> i64 {
        self.log_ms.min(self.queues_ms).saturating_sub(3000).max(0)
    }
}

/// Marks the store as open: a file `abort` with the process id, which a clean close removes.
pub(crate) fn create_abort(disk: &Disk, root: &Path) -> io::Result<()> {
    let file = disk.create(&root.join("abort"))?;
    let text = std::process::id().to_string();
    file.set_len(text.len() as u64)?;
    file.write_at(text.as_bytes(), 0)?;
    file.sync_data()?;
    disk.sync_dir(root)
}

/// Marks the store as closed.
pub(crate) fn remove_abort(disk: &Disk, root: &Path) -> io::Result<()> {
    match disk.remove(&root.join("abort")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.sync_dir(root),
    }
}

#[cfg(test)]
mod tests {
    use env::disk::FaultPlan;

    use super::*;

    /// However often writing fails, and wherever each write ends, the last state that was synced stays, also
    /// in a power cut, and is followed by the next one that can be written.
    #[test]
    fn failed_writes_leave_the_last_state() {
        for seed in 0..40 {
            let (disk, root) = (Disk::fault(seed, FaultPlan::default()), Path::new("/s"));
            disk.create_dir_all(root).unwrap();
            let (mut file, _) = StateFile::open(&disk, root).unwrap();
            let state = |written| State { written, ..State::default() };
            (1..4).for_each(|written| file.write(&state(written), true).unwrap());
            (4..6).for_each(|written| file.write(&state(written), false).unwrap());
            disk.sync_dir(Path::new("/s/apogee")).unwrap();
            disk.sync_dir(root).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            disk.set_plan(FaultPlan { write_error: 1, ..FaultPlan::default() });
            (6..9).for_each(|written| assert!(file.write(&state(written), false).is_err()));
            let disk = if seed % 2 == 0 { disk.crash() } else { disk.kill() };
            disk.set_plan(FaultPlan::default());
            let (mut file, left) = StateFile::open(&disk, root).unwrap();
            assert!(left.is_some_and(|state| state.written >= 3), "seed {seed}");
            file.write(&state(9), false).unwrap();
            let (_, left) = StateFile::open(&disk, root).unwrap();
            assert_eq!(left, Some(state(9)), "seed {seed}");
        }
    }

    /// State and checkpoint survive writing and reading; a torn newer state leaves the older one.
    #[test]
    fn round_trip() {
        let (disk, root) = (Disk::mem(), Path::new("/s"));
        disk.create_dir_all(root).unwrap();
        let (mut file, none) = StateFile::open(&disk, root).unwrap();
        assert_eq!(none, None);
        let boot_id = "0b6d3f5e-7c1a-4a7e-9d55-0123456789ab".to_owned();
        let checkpoints =
            [1, 2].map(|log_ms| Checkpoint { log_ms, confirmed: 9, ..Checkpoint::default() });
        let old = State { written: 5, synced: 4, checkpoints, boot_id, closed: false, queues: 7 };
        let new = State { written: 9, closed: true, ..old.clone() };
        file.write(&old, true).unwrap();
        file.write(&new, true).unwrap();
        assert_eq!(StateFile::open(&disk, root).unwrap().1, Some(new));
        disk.open(&root.join("apogee/state")).unwrap().write_at(&[0xFF], 30).unwrap();
        assert_eq!(StateFile::open(&disk, root).unwrap().1, Some(old));
        let checkpoint = Checkpoint { log_ms: 5000, queues_ms: 4000, ..Checkpoint::default() };
        checkpoint.write(&disk, root).unwrap();
        assert_eq!(Checkpoint::read(&disk, root).unwrap(), checkpoint);
        assert_eq!(checkpoint.safe_ms(), 1000);
    }

    /// A checkpoint that was written in part is known as ours, wherever the write ended; another is not.
    #[test]
    fn torn_checkpoints_are_known() {
        let checkpoint =
            |ms: i64| Checkpoint { log_ms: ms, queues_ms: ms, ..Checkpoint::default() };
        let checkpoints = [checkpoint(0x0101_0101), checkpoint(0x0202_0202)];
        let state = State { checkpoints, ..State::default() };
        let [before, now] = checkpoints.map(|checkpoint| checkpoint.encode());
        for at in 0..=CHECKPOINT_USED {
            let torn = [&now[..at], &before[at..]].concat();
            assert!(state.wrote(&Checkpoint::decode(&torn).unwrap()), "{at}");
        }
        assert!(!state.wrote(&checkpoint(0x0303_0303)));
        assert!(!state.wrote(&Checkpoint { index_ms: 5, ..checkpoints[1] }));
    }
}
