//! What a simulated disk may do wrong, and what a power cut leaves of what was not synced.
//!
//! A power cut keeps, of each file, the content at its last sync and any subset of the later writes in
//! units of [`SECTOR`]s, each sector in any of the states it went through; any of the lengths the file
//! went through; and any subset of the names created, renamed and removed since the sync of their
//! directory, except that a change needs the earlier ones of the same names. Nothing weaker is assumed
//! of a file system: in particular neither order between files, nor that a file's sync keeps its name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use super::mem::{Names, Node, is_root, parent};
use crate::Rng;

/// Bytes that a device writes as a whole or not at all.
pub const SECTOR: u64 = 512;

/// How often a simulated disk fails. Each number `n` means one operation in `n`; 0 means never.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    /// Bytes that all files together may have; a write beyond is short and fails with `ENOSPC`.
    pub capacity: u64,
    /// Bytes of the capacity that other programs have.
    pub foreign: u64,
    /// Writes that fail with `ENOSPC` after a part of any length although there is room, as on file
    /// systems that copy on write.
    pub no_space: u64,
    /// Reads that fail with `EIO`.
    pub read_error: u64,
    /// Writes that fail with `EIO` after a part of any length.
    pub write_error: u64,
    /// Syncs of files and directories that fail with `EIO`. A failed sync of a file also forgets what
    /// it did not write, as Linux does: the next sync succeeds without it.
    pub sync_error: u64,
    /// Creations, renames and removals that fail with `EIO`.
    pub name_error: u64,
    /// Syncs that take [`FaultPlan::slow_sync_time`].
    pub slow_sync: u64,
    /// Real time that a slow sync takes. What is written meanwhile is not covered by it.
    pub slow_sync_time: Duration,
    /// Reads that return one wrong bit; what is stored stays right.
    pub bit_flip: u64,
    /// Ranges that count as not resident in memory.
    pub cold: u64,
}

impl Default for FaultPlan {
    /// Nothing fails; only a power cut loses something.
    fn default() -> FaultPlan {
        FaultPlan {
            capacity: u64::MAX,
            foreign: 0,
            no_space: 0,
            read_error: 0,
            write_error: 0,
            sync_error: 0,
            name_error: 0,
            slow_sync: 0,
            slow_sync_time: Duration::from_millis(2),
            bit_flip: 0,
            cold: 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Faults {
    pub(super) rng: Rng,
    pub(super) plan: FaultPlan,
    /// Names that survive a power cut for certain.
    durable: Names,
    /// Later changes of names, in order.
    pending: Vec<NameChange>,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Create { path: PathBuf, node: Node },
    Remove { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Create { path, node } => {
                names.insert(path.clone(), node.clone());
            }
            NameChange::Remove { path } => {
                names.remove(path);
            }
            NameChange::Rename { from, to } => {
                let moved: Vec<PathBuf> =
                    names.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    let Ok(below) = path.strip_prefix(from) else { continue };
                    let target =
                        if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
                    if let Some(node) = names.remove(&path) {
                        names.insert(target, node);
                    }
                }
            }
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let (first, second) = match self {
            NameChange::Create { path, .. } | NameChange::Remove { path } => (path, None),
            NameChange::Rename { from, to } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }

    /// The directory whose sync makes the change durable.
    fn dir(&self) -> &Path {
        match self {
            NameChange::Create { path, .. } | NameChange::Remove { path } => parent(path),
            NameChange::Rename { to, .. } => parent(to),
        }
    }
}

/// How much of what was not synced a power cut keeps.
#[derive(Clone, Copy, Debug)]
enum Keep {
    Nothing,
    Everything,
    /// What was written before some moment.
    Prefix,
    /// Each part by chance.
    Any,
}

impl Faults {
    pub(super) fn new(rng: Rng, plan: FaultPlan) -> Faults {
        Faults { rng, plan, durable: Names::new(), pending: Vec::new() }
    }

    pub(super) fn name_changed(&mut self, change: NameChange) {
        self.pending.push(change);
    }

    /// Makes all names durable: after a directory moved, as pending changes still name the old paths.
    pub(super) fn settle_names(&mut self) {
        self.pending.drain(..).for_each(|change| change.apply(&mut self.durable));
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if self.rng.one_in(self.plan.sync_error) {
            return Err(Errno::IO.into());
        }
        // From the last change back: what is synced needs the earlier changes of the same names.
        let mut needed: BTreeSet<PathBuf> = BTreeSet::new();
        let mut synced = vec![false; self.pending.len()];
        for (index, change) in self.pending.iter().enumerate().rev() {
            if change.dir() == dir || change.paths().any(|path| needed.contains(path)) {
                synced[index] = true;
                needed.extend(change.paths().cloned());
            }
        }
        let mut synced = synced.into_iter();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let synced = synced.next() == Some(true);
            if synced {
                change.apply(durable);
            }
            !synced
        });
        Ok(())
    }

    /// The names that a power cut leaves.
    pub(super) fn crash(&mut self) -> Names {
        let mut names = self.durable.clone();
        let keep = self.keep();
        let limit = self.rng.below(self.pending.len() as u64 + 1);
        let mut lost: BTreeSet<&PathBuf> = BTreeSet::new();
        for (index, change) in self.pending.iter().enumerate() {
            let kept = keep.name((index as u64) < limit, &self.rng);
            if kept && !change.paths().any(|path| lost.contains(path)) {
                change.apply(&mut names);
            } else {
                lost.extend(change.paths());
            }
        }
        let dirs: BTreeSet<PathBuf> = names
            .iter()
            .filter(|(_, node)| matches!(node, Node::Dir))
            .map(|(path, _)| path.clone())
            .collect();
        names.retain(|path, _| {
            path.ancestors().skip(1).all(|above| is_root(above) || dirs.contains(above))
        });
        names
    }

    /// The content that a power cut leaves of a file.
    pub(super) fn survivor(&self, unsynced: &Unsynced) -> Vec<u8> {
        unsynced.survivor(self.keep(), &self.rng)
    }

    /// Begins again with what a power cut left.
    pub(super) fn restart(&mut self, names: Names) {
        self.durable = names;
        self.pending.clear();
    }

    /// Turns one bit round, now and then.
    pub(super) fn flip(&self, bytes: &mut [u8]) {
        if !bytes.is_empty() && self.rng.one_in(self.plan.bit_flip) {
            let bit = self.rng.below(bytes.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }

    fn keep(&self) -> Keep {
        let all = [Keep::Nothing, Keep::Everything, Keep::Prefix, Keep::Any, Keep::Any];
        all[self.rng.below(all.len() as u64) as usize]
    }
}

impl Keep {
    /// Whether a change of names survives; `in_limit` says that it came before the moment of a prefix.
    fn name(self, in_limit: bool, rng: &Rng) -> bool {
        match self {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Prefix => in_limit,
            Keep::Any => rng.one_in(2),
        }
    }

    /// Whether a change of the length survives. Lengths survive up to some moment, always.
    fn length(self, in_limit: bool) -> bool {
        match self {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Prefix | Keep::Any => in_limit,
        }
    }

    /// Whether a write to a sector survives; `left` is how many more may, counting this one.
    fn write(self, in_limit: bool, left: u64) -> bool {
        match self {
            Keep::Nothing => false,
            Keep::Everything => true,
            Keep::Prefix => in_limit,
            Keep::Any => left > 0,
        }
    }
}

/// A file's content at its last sync, and what was done to it since.
#[derive(Debug)]
pub(super) struct Unsynced {
    durable: Vec<u8>,
    changes: Vec<Change>,
    /// Changes before the first of `changes`, since the file was made: what a mark counts.
    settled: u64,
}

#[derive(Debug)]
struct Change {
    offset: u64,
    bytes: Vec<u8>,
    /// Length of the file afterwards.
    len: u64,
}

impl Unsynced {
    pub(super) fn new(durable: Vec<u8>) -> Unsynced {
        Unsynced { durable, changes: Vec::new(), settled: 0 }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, len: u64) {
        self.changes.push(Change { offset, bytes: bytes.to_vec(), len });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.changes.push(Change { offset: len, bytes: Vec::new(), len });
    }

    /// This moment, for [`Unsynced::sync`].
    pub(super) fn mark(&self) -> u64 {
        self.settled + self.changes.len() as u64
    }

    /// Makes everything before `mark` durable.
    pub(super) fn sync(&mut self, mark: u64) {
        let covered = mark.saturating_sub(self.settled).min(self.changes.len() as u64);
        self.settled += covered;
        for change in self.changes.drain(..covered as usize) {
            self.durable.resize(change.len as usize, 0);
            change.apply(0..change.end(), &mut self.durable);
        }
    }

    /// A sync failed: some of the changes are durable now, and the rest never will be.
    pub(super) fn fail(&mut self, faults: &Faults) {
        self.settled = self.mark();
        self.durable = faults.survivor(self);
        self.changes.clear();
    }

    fn survivor(&self, keep: Keep, rng: &Rng) -> Vec<u8> {
        let changes = self.changes.len() as u64;
        let limit = rng.below(changes + 1);
        let mut sector_writes = self.sector_writes();
        if matches!(keep, Keep::Any) {
            sector_writes.values_mut().for_each(|writes| *writes = rng.below(*writes + 1));
        }
        let mut bytes = self.durable.clone();
        let mut len = bytes.len();
        for (index, change) in self.changes.iter().enumerate() {
            let in_limit = (index as u64) < limit;
            if keep.length(in_limit) {
                len = change.len as usize;
                // What a cut took away reads as zeros if the file grows again.
                bytes.truncate(len);
            }
            for sector in change.sectors() {
                let left = sector_writes.entry(sector).or_default();
                if keep.write(in_limit, *left) {
                    change.apply(sector * SECTOR..(sector + 1) * SECTOR, &mut bytes);
                }
                *left = left.saturating_sub(1);
            }
        }
        bytes.resize(len, 0);
        bytes
    }

    /// How many of the changes write to each sector.
    fn sector_writes(&self) -> BTreeMap<u64, u64> {
        let mut writes = BTreeMap::new();
        for sector in self.changes.iter().flat_map(Change::sectors) {
            *writes.entry(sector).or_default() += 1;
        }
        writes
    }
}

impl Change {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    fn sectors(&self) -> Range<u64> {
        self.offset / SECTOR..self.end().div_ceil(SECTOR)
    }

    /// Writes the part of it that lies in `range`.
    fn apply(&self, range: Range<u64>, file: &mut Vec<u8>) {
        let start = self.offset.max(range.start);
        let end = self.end().min(range.end);
        if start >= end {
            return;
        }
        if file.len() < end as usize {
            file.resize(end as usize, 0);
        }
        let from = (start - self.offset) as usize..(end - self.offset) as usize;
        file[start as usize..end as usize].copy_from_slice(&self.bytes[from]);
    }
}
