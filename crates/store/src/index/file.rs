//! One index file: header of 40 bytes, hash slots of 4, items of 20.
//!
//! Item `i`: `keyHash i32 | phyOffset i64 | seconds since the file's first message i32 | item before it in
//! the chain of its slot i32`; item 0 is never used. The header is written after the items it counts.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::slots::Slots;
use super::{Item, Layout};
use crate::kept_file::KeptFile;
use env::Disk;

pub(super) const HEADER: u64 = 40;
pub(super) const SLOT: u64 = 4;
const ITEM: usize = 20;

/// An index file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    file: KeptFile,
    layout: Layout,
    head: Head,
    slots: Slots,
    /// Items behind those that are in the file.
    buffered: Vec<u8>,
    /// Whether the slots in memory are newer than those in the file.
    changed: bool,
    sync_failed: bool,
}

/// The header.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    begin_ms: i64,
    end_ms: i64,
    begin_offset: u64,
    end_offset: u64,
    used_slots: u32,
    /// Index of the next item.
    next: u32,
}

impl Head {
    /// That of a file without items. `before` is the end of the full one before it, where its times go on.
    fn first(before: Option<(u64, i64)>) -> Head {
        let (offset, ms) = before.unwrap_or((0, 0));
        Head {
            begin_ms: ms,
            end_ms: ms,
            begin_offset: offset,
            end_offset: offset,
            used_slots: 0,
            next: 1,
        }
    }

    fn encode(&self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(&self.begin_ms.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.end_ms.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.begin_offset.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.end_offset.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.used_slots.to_be_bytes());
        bytes[36..].copy_from_slice(&self.next.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER as usize]) -> Head {
        let long = |at: usize| bytes[at..].first_chunk().map_or(0, |b| i64::from_be_bytes(*b));
        let int = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
        let offset = |at| u64::try_from(long(at)).unwrap_or(0);
        Head {
            begin_ms: long(0),
            end_ms: long(8),
            begin_offset: offset(16),
            end_offset: offset(24),
            used_slots: int(32),
            next: int(36).max(1),
        }
    }

    /// When the record of an item was stored, within a second.
    fn time_of(&self, item: &Stored) -> i64 {
        self.begin_ms.saturating_add(i64::from(item.seconds) * 1000)
    }
}

/// An item as it lies in the file.
#[derive(Debug, Clone, Copy)]
struct Stored {
    hash: u32,
    physical: u64,
    seconds: i32,
    before: u32,
}

impl Stored {
    fn encode(&self) -> [u8; ITEM] {
        let mut bytes = [0; ITEM];
        bytes[..4].copy_from_slice(&self.hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.physical.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[16..].copy_from_slice(&self.before.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ITEM]) -> Stored {
        let int = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
        let physical = bytes[4..].first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
        Stored { hash: int(0), physical, seconds: int(12).cast_signed(), before: int(16) }
    }
}

impl IndexFile {
    /// Creates the file, after the full one that ends with `before`. Its header is on the disk before any
    /// item: without it the reference, taking over after a kill, would keep the file as one that follows
    /// nothing, and add keys again that older files hold.
    pub(super) fn create(
        disk: &Disk,
        path: PathBuf,
        layout: Layout,
        before: Option<(u64, i64)>,
    ) -> io::Result<IndexFile> {
        let file = disk.create(&path)?;
        file.set_len(file_bytes(layout))?;
        let (slots, buffered) = (Slots::new(layout.slots, false), Vec::new());
        let head = Head::default();
        let file = KeptFile::created(disk, path, file);
        let (changed, sync_failed) = (false, false);
        let mut index = IndexFile { file, layout, head, slots, buffered, changed, sync_failed };
        index.restart(before)?;
        Ok(index)
    }

    /// Opens a file. Without `slots_valid`, or where it goes on behind `log_end`, its slots are made again
    /// from its items, and those of records from `log_end` on are dropped. `None`, and the file is removed, when it cannot be used.
    pub(super) fn open(
        disk: &Disk,
        path: PathBuf,
        layout: Layout,
        slots_valid: bool,
        log_end: u64,
    ) -> io::Result<Option<IndexFile>> {
        let file = KeptFile::new(disk, path);
        let opened = file.get()?;
        if opened.len()? != file_bytes(layout) {
            disk.remove(file.path())?;
            return Ok(None);
        }
        let mut bytes = [0; HEADER as usize];
        opened.read_exact_at(&mut bytes, 0)?;
        let head = Head::decode(&bytes);
        let slots = Slots::new(layout.slots, slots_valid);
        let (buffered, changed, sync_failed) = (Vec::new(), false, false);
        let mut index = IndexFile { file, layout, head, slots, buffered, changed, sync_failed };
        if !slots_valid || index.head.end_offset >= log_end.max(1) {
            index.rebuild(log_end)?;
        }
        if index.head.next > 1 && index.head.begin_ms <= 0 {
            // Its times are lost with its header.
            disk.remove(index.path())?;
            return Ok(None);
        }
        Ok(Some(index))
    }

    /// Makes the slots from the items, up to the first one that cannot be right.
    fn rebuild(&mut self, log_end: u64) -> io::Result<()> {
        const AT_ONCE: u32 = 4096;
        self.slots = Slots::new(self.layout.slots, false);
        self.head.used_slots = 0;
        self.changed = true;
        // What the header says, as far as the items, which know seconds only, do not say otherwise.
        let end_ms = self.head.end_ms;
        let file = self.file.get()?;
        let mut buf = vec![0; AT_ONCE as usize * ITEM];
        let (mut next, mut last) = (1, self.head.begin_offset);
        'items: while next < self.layout.items {
            let count = AT_ONCE.min(self.layout.items - next) as usize;
            let bytes = &mut buf[..count * ITEM];
            file.read_exact_at(bytes, self.item_at(next))?;
            for bytes in bytes.as_chunks().0 {
                let item = Stored::decode(bytes);
                let empty = bytes.iter().all(|byte| *byte == 0);
                if empty || item.physical < last || item.physical >= log_end || item.before >= next
                {
                    break 'items;
                }
                last = item.physical;
                let slot = self.slots.of(item.hash);
                let used = self.slots.replace(slot, next, &self.file)? != 0;
                self.head.used_slots += u32::from(!used);
                let second = self.head.time_of(&item);
                self.head.end_ms = end_ms
                    .clamp(second, second.saturating_add(999))
                    .max(self.head.begin_ms.saturating_add(1));
                next += 1;
            }
        }
        self.head.next = next;
        self.head.end_offset = last;
        Ok(())
    }

    /// Log offsets of all items of a file.
    pub(crate) fn offsets(disk: &Disk, path: &Path, layout: Layout) -> io::Result<Vec<u64>> {
        let file = disk.open(path)?;
        let mut head = [0; HEADER as usize];
        file.read_exact_at(&mut head, 0)?;
        let count = Head::decode(&head).next.min(layout.items) - 1;
        let mut bytes = vec![0; count as usize * ITEM];
        let first = HEADER + u64::from(layout.slots) * SLOT + ITEM as u64;
        file.read_exact_at(&mut bytes, first)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| Stored::decode(bytes).physical).collect())
    }

    fn item_at(&self, item: u32) -> u64 {
        HEADER + u64::from(self.layout.slots) * SLOT + u64::from(item) * ITEM as u64
    }

    /// Whether it has no item.
    pub(super) fn is_empty(&self) -> bool {
        self.head.next <= 1
    }

    /// Makes the header of a file without items that of a new one, after the full one that ends with `before`.
    pub(super) fn restart(&mut self, before: Option<(u64, i64)>) -> io::Result<()> {
        self.head = Head::first(before);
        let file = self.file.get()?;
        file.write_at(&self.head.encode(), 0)?;
        file.sync_data()
    }

    /// Whether the next item goes into a new file.
    pub(super) fn is_full(&self) -> bool {
        self.head.next >= self.layout.items
    }

    /// Adds an item. One of a record before the last, here or in the file before, is there already.
    pub(super) fn put(&mut self, item: Item) -> io::Result<()> {
        if item.physical < self.head.end_offset {
            return Ok(());
        }
        // A damaged record may say anything; a file that begins at 0 or before counts as one that has lost its header.
        let stored_ms = item.store_timestamp.max(1);
        if self.head.next == 1 && self.head.begin_ms == 0 {
            self.head.begin_ms = stored_ms;
            self.head.begin_offset = item.physical;
        }
        let seconds = stored_ms.saturating_sub(self.head.begin_ms).max(0) / 1000;
        let slot = self.slots.of(item.hash);
        let before = self.slots.replace(slot, self.head.next, &self.file)?;
        // A slot that points nowhere ends its chain, as for the reference.
        let before = if before < self.head.next { before } else { 0 };
        let stored = Stored {
            hash: item.hash,
            physical: item.physical,
            seconds: i32::try_from(seconds).unwrap_or(i32::MAX),
            before,
        };
        self.buffered.extend(stored.encode());
        self.head.used_slots += u32::from(before == 0);
        self.head.next += 1;
        // Later than the file before, to whose end its times are tied: by that the reference knows after a
        // crash that it has to make this file again, whose slots are in memory only.
        self.head.end_ms = stored_ms.max(self.head.begin_ms.saturating_add(1));
        self.head.end_offset = item.physical;
        self.changed = true;
        if self.buffered.len() >= 1 << 20 { self.flush() } else { Ok(()) }
    }

    /// Writes the buffered items, then the header.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffered.is_empty() {
            return Ok(());
        }
        let first = self.head.next - (self.buffered.len() / ITEM) as u32;
        self.file.write_at(&self.buffered, self.item_at(first))?;
        self.file.write_at(&self.head.encode(), 0)?;
        self.buffered.clear();
        self.buffered.shrink_to(1 << 20);
        Ok(())
    }

    /// Makes what was written survive a power cut. After a failure it fails for good: the next sync may succeed
    /// without what this one did not write.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.sync_failed {
            return Err(io::Error::other("an earlier sync of the file failed"));
        }
        let synced = self.file.sync_data();
        self.sync_failed = synced.is_err();
        synced
    }

    /// Whether what was written may not survive a power cut, whatever is done.
    pub(super) fn has_failed(&self) -> bool {
        self.sync_failed
    }

    /// Writes everything, so that the file is complete, syncs and closes it.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.changed {
            self.slots.write(&self.file)?;
            self.file.write_at(&self.head.encode(), 0)?;
            self.changed = false;
        }
        self.sync()?;
        self.file.close();
        Ok(())
    }

    /// Calls `each` with the records of a hash that were stored in the time, newest first, until it says
    /// no. Returns whether to go on with older files.
    pub(super) fn find(
        &mut self,
        hash: u32,
        stored_ms: &RangeInclusive<i64>,
        each: &mut impl FnMut(u64) -> bool,
    ) -> io::Result<bool> {
        let overlaps =
            self.head.begin_ms <= *stored_ms.end() && self.head.end_ms >= *stored_ms.start();
        if self.head.next <= 1 || !overlaps {
            return Ok(true);
        }
        self.flush()?;
        let file = self.file.get()?;
        let mut item = self.slots.get(self.slots.of(hash), &file)?;
        let mut below = self.head.next;
        // Chains go to lower items only, so that this ends whatever the file holds.
        while item > 0 && item < below {
            let mut bytes = [0; ITEM];
            file.read_exact_at(&mut bytes, self.item_at(item))?;
            let stored = Stored::decode(&bytes);
            // A resolution of one second: the caller looks at the record's own time.
            let stored_at = self.head.time_of(&stored);
            if stored_at.saturating_add(1000) < *stored_ms.start() {
                return Ok(false);
            }
            if stored.hash == hash && stored_at <= *stored_ms.end() && !each(stored.physical) {
                return Ok(false);
            }
            (below, item) = (item, stored.before);
        }
        Ok(true)
    }

    /// Whether older files cannot hold anything stored at `ms` or later.
    pub(super) fn begins_before(&self, ms: i64) -> bool {
        self.head.begin_ms < ms
    }

    /// Log offset and store timestamp of its last record.
    pub(super) fn ends(&self) -> (u64, i64) {
        (self.head.end_offset, self.head.end_ms)
    }

    /// Whether items were dropped from it, or it was not closed: nothing follows it.
    pub(super) fn is_open_ended(&self) -> bool {
        self.changed
    }

    /// Log offset of its last record.
    pub(super) fn end_offset(&self) -> u64 {
        self.head.end_offset
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn name(&self) -> &str {
        self.path().file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// Bytes of a file.
pub(super) fn file_bytes(layout: Layout) -> u64 {
    HEADER + u64::from(layout.slots) * SLOT + u64::from(layout.items) * ITEM as u64
}

/// Name of a file created at `ms`, `yyyyMMddHHmmssSSS` in UTC, after that of the newest file.
pub(super) fn name_at(ms: i64, newest: Option<&str>) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    let name = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{milli:03}");
    match newest {
        // Two in one millisecond, or a clock that went back: names only have to be in order.
        Some(newest) if *newest >= *name => {
            format!("{:017}", newest.parse::<u64>().unwrap_or(0).saturating_add(1))
        }
        _ => name,
    }
}

/// Year, month and day of a day since 1970-01-01 (Hinnant's algorithm).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
