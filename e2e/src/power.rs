//! A power cut, made of a killed process.
//!
//! The page cache survives a kill, so the files hold more than a device would. This makes them hold
//! less: what no sync had covered is torn, and the note of the run of the machine becomes another's.
//! Both need to know two of Apogee's own formats: the durable marks in the last two sectors of a
//! commit log file (magic, durable u64, end u64, checksum u32, CRC-32 u32) and `apogee/state` (two
//! sectors; the version u32 at 8, the boot id at 120, the CRC-32 of the 164 bytes before at 164). All
//! big-endian.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const SECTOR: u64 = 512;
/// Sectors at the end of a commit log file that are not for records.
const MARK_BYTES: u64 = 2 * SECTOR;
const MARK_MAGIC: &[u8] = b"APOGEEMK";
const STATE_MAGIC: &[u8] = b"APOGEEST";
const STATE_VERSION: u32 = 3;
const BOOT_ID: std::ops::Range<usize> = 120..156;
const STATE_BYTES: usize = 168;
const STATE_CRC: usize = STATE_BYTES - 4;

/// Does to the closed store what a power cut would have done at the moment of its end: of the sectors
/// that no sync had covered every other one becomes zeros. Returns the log offset up to which a sync
/// had covered everything.
pub fn cut(store: &Path) -> Result<u64> {
    let synced = synced(store)?;
    for (base, path) in segments(store)? {
        let file = OpenOptions::new().write(true).open(path)?;
        let end = file.metadata()?.len() - MARK_BYTES;
        let first = synced.saturating_sub(base).next_multiple_of(SECTOR);
        for at in (first..end).step_by(2 * usize::try_from(SECTOR)?) {
            file.write_all_at(&[0; 512], at)?;
        }
    }
    reboot(store)?;
    Ok(synced)
}

/// The log offset up to which some sync, as far as its mark tells, had covered everything.
pub fn synced(store: &Path) -> Result<u64> {
    let mut synced = 0;
    for (_, path) in segments(store)? {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        for at in [len - MARK_BYTES, len - SECTOR] {
            let mut mark = [0; 32];
            file.read_exact_at(&mut mark, at)?;
            if mark.starts_with(MARK_MAGIC) && crc32fast::hash(&mark[..28]) == number(&mark, 28)? {
                let end = (u64::from(number(&mark, 16)?) << 32) | u64::from(number(&mark, 20)?);
                synced = synced.max(end);
            }
        }
    }
    Ok(synced)
}

/// Makes the store believe that it was written before the machine started.
fn reboot(store: &Path) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(store.join("apogee/state"))?;
    let mut changed = 0;
    for at in [0, SECTOR] {
        let mut state = [0; STATE_BYTES];
        if file.read_exact_at(&mut state, at).is_err() || !state.starts_with(STATE_MAGIC) {
            continue;
        }
        let version = number(&state, 8)?;
        ensure!(version == STATE_VERSION, "apogee/state has version {version}");
        if crc32fast::hash(&state[..STATE_CRC]) != number(&state, STATE_CRC)? {
            continue;
        }
        state[BOOT_ID].copy_from_slice(b"00000000-0000-0000-0000-000000000000");
        let crc = crc32fast::hash(&state[..STATE_CRC]);
        state[STATE_CRC..].copy_from_slice(&crc.to_be_bytes());
        file.write_all_at(&state, at)?;
        changed += 1;
    }
    ensure!(changed > 0, "apogee/state has no valid sector");
    Ok(())
}

/// First log offset and path of each file of the commit log.
fn segments(store: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(store.join("commitlog"))? {
        let path = entry?.path();
        // A file that is only being created has no length yet, nor a mark.
        if fs::metadata(&path)?.len() <= MARK_BYTES {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).context("file name")?;
        segments.push((name.parse()?, path));
    }
    Ok(segments)
}

fn number(bytes: &[u8], at: usize) -> Result<u32> {
    let bytes = bytes[at..].first_chunk().context("too short")?;
    Ok(u32::from_be_bytes(*bytes))
}
