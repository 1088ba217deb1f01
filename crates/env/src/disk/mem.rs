//! A simulated file system in memory.
//!
//! Without faults it is a fast disk for tests. With them ([`super::fault`]) it also keeps what a power
//! cut could leave. Everything happens under one lock, so that the order of operations, and with one
//! thread every random choice, follows from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;

use super::fault::{Faults, NameChange, Unsynced};
use super::{Entry, FaultPlan, Space};
use crate::Clock;

/// What an unlimited disk claims to have.
const UNLIMITED: u64 = 1 << 50;

/// Files and directories by path. The root, and the empty path, need no entry.
pub(super) type Names = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Dir,
    File(Arc<Mutex<Content>>),
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    modified_ms: i64,
    /// Whether it still has a name; what has none takes no space.
    linked: bool,
    /// Kept on a disk with faults only.
    pub(super) unsynced: Option<Unsynced>,
}

#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    clock: Clock,
    names: Names,
    locked: BTreeSet<PathBuf>,
    used: u64,
    boots: u64,
    faults: Option<Faults>,
    /// The machine or process that used this value has ended: every operation fails.
    down: bool,
}

#[derive(Clone, Debug)]
pub(super) struct File {
    disk: Disk,
    content: Arc<Mutex<Content>>,
}

impl Disk {
    pub(super) fn new(clock: Clock, faults: Option<Faults>) -> Disk {
        let (names, locked) = (Names::new(), BTreeSet::new());
        let state = State { clock, names, locked, used: 0, boots: 1, faults, down: false };
        Disk(Arc::new(Mutex::new(state)))
    }

    /// The disk as the next process finds it: everything written is there, nothing more is synced.
    pub(super) fn kill(&self) -> Disk {
        let mut old = self.0.lock();
        old.down = true;
        let state = State {
            clock: old.clock.clone(),
            names: std::mem::take(&mut old.names),
            locked: BTreeSet::new(),
            used: old.used,
            boots: old.boots,
            faults: old.faults.take(),
            down: false,
        };
        Disk(Arc::new(Mutex::new(state)))
    }

    /// The disk as the machine finds it after a power cut.
    pub(super) fn crash(&self) -> Disk {
        let disk = self.kill();
        let mut state = disk.0.lock();
        let now = state.clock.wall_ms();
        let Some(faults) = &mut state.faults else {
            panic!("only a disk with faults knows what a power cut leaves")
        };
        let mut names = faults.crash();
        let mut used = 0;
        for node in names.values_mut() {
            let Node::File(content) = node else { continue };
            let bytes = content.lock().unsynced.as_ref().map(|unsynced| faults.survivor(unsynced));
            let bytes = bytes.unwrap_or_default();
            used += bytes.len() as u64;
            let unsynced = Some(Unsynced::new(bytes.clone()));
            let content = Content { bytes, modified_ms: now, linked: true, unsynced };
            *node = Node::File(Arc::new(Mutex::new(content)));
        }
        faults.restart(names.clone());
        state.names = names;
        state.used = used;
        state.boots += 1;
        drop(state);
        disk
    }

    pub(super) fn set_plan(&self, plan: FaultPlan) {
        match &mut self.0.lock().faults {
            Some(faults) => faults.plan = plan,
            None => panic!("only a disk with faults has a plan of faults"),
        }
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let state = self.up()?;
        match state.names.get(path) {
            Some(Node::File(content)) => Ok(self.file(content)),
            Some(Node::Dir) => Err(Errno::ISDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let mut state = self.up()?;
        match state.names.get(path) {
            Some(Node::File(content)) => return Ok(self.file(content)),
            Some(Node::Dir) => return Err(Errno::ISDIR.into()),
            None => {}
        }
        state.require_dir(parent(path))?;
        state.name_fault()?;
        let content = Content {
            modified_ms: state.clock.wall_ms(),
            linked: true,
            unsynced: state.faults.is_some().then(|| Unsynced::new(Vec::new())),
            ..Content::default()
        };
        let content = Arc::new(Mutex::new(content));
        let node = Node::File(content.clone());
        state.change(NameChange::Create { path: path.to_owned(), node });
        Ok(self.file(&content))
    }

    pub(super) fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.up()?;
        let mut missing: Vec<&Path> = Vec::new();
        for dir in dir.ancestors() {
            match state.names.get(dir) {
                _ if is_root(dir) => break,
                Some(Node::Dir) => break,
                Some(Node::File(_)) => return Err(Errno::NOTDIR.into()),
                None => missing.push(dir),
            }
        }
        for dir in missing.into_iter().rev() {
            state.name_fault()?;
            state.change(NameChange::Create { path: dir.to_owned(), node: Node::Dir });
        }
        Ok(())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.up()?;
        state.require_dir(parent(to))?;
        let moved = state.names.get(from).cloned().ok_or(Errno::NOENT)?;
        match (&moved, state.names.get(to)) {
            _ if from == to => return Ok(()),
            (_, None) | (Node::File(_), Some(Node::File(_))) => {}
            (Node::File(_), Some(Node::Dir)) => return Err(Errno::ISDIR.into()),
            (Node::Dir, Some(Node::File(_))) => return Err(Errno::NOTDIR.into()),
            (Node::Dir, Some(Node::Dir)) => return Err(Errno::NOTEMPTY.into()),
        }
        state.name_fault()?;
        state.unlink(to);
        state.change(NameChange::Rename { from: from.to_owned(), to: to.to_owned() });
        if let (Node::Dir, Some(faults)) = (moved, &mut state.faults) {
            faults.settle_names();
        }
        Ok(())
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.up()?;
        match state.names.get(path) {
            None => return Err(Errno::NOENT.into()),
            Some(Node::Dir) if children(&state.names, path).next().is_some() => {
                return Err(Errno::NOTEMPTY.into());
            }
            Some(_) => {}
        }
        state.name_fault()?;
        state.unlink(path);
        state.change(NameChange::Remove { path: path.to_owned() });
        Ok(())
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.up()?;
        state.require_dir(dir)?;
        let entry = |(path, node): (&PathBuf, &Node)| {
            let name = path.file_name()?.to_str()?.to_owned();
            let (len, is_dir, modified_ms) = match node {
                Node::Dir => (0, true, 0),
                Node::File(content) => {
                    let content = content.lock();
                    (content.bytes.len() as u64, false, content.modified_ms)
                }
            };
            Some(Entry { name, len, is_dir, modified_ms })
        };
        Ok(children(&state.names, dir).filter_map(entry).collect())
    }

    pub(super) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.up()?;
        state.require_dir(dir)?;
        let Some(faults) = &mut state.faults else { return Ok(()) };
        faults.sync_dir(dir)
    }

    pub(super) fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(is_root(path) || self.up()?.names.contains_key(path))
    }

    pub(super) fn space(&self) -> io::Result<Space> {
        let state = self.up()?;
        let (total, free) = (state.capacity(), state.free());
        Ok(Space { total, used: total - free, free })
    }

    pub(super) fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.create(path)?;
        self.take_lock(path)
    }

    pub(super) fn lock_dir(&self, dir: &Path) -> io::Result<Lock> {
        self.up()?.require_dir(dir)?;
        self.take_lock(dir)
    }

    fn take_lock(&self, path: &Path) -> io::Result<Lock> {
        if !self.up()?.locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Lock { disk: self.clone(), path: path.to_owned() })
    }

    pub(super) fn boot_id(&self) -> io::Result<String> {
        Ok(format!("00000000-0000-0000-0000-{:012x}", self.up()?.boots))
    }

    fn up(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.0.lock();
        if state.down {
            return Err(io::Error::other("the simulated process was killed"));
        }
        Ok(state)
    }

    fn file(&self, content: &Arc<Mutex<Content>>) -> File {
        File { disk: self.clone(), content: content.clone() }
    }
}

impl State {
    fn require_dir(&self, dir: &Path) -> io::Result<()> {
        match self.names.get(dir) {
            _ if is_root(dir) => Ok(()),
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(Errno::NOTDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn name_fault(&mut self) -> io::Result<()> {
        match &self.faults {
            Some(faults) if faults.rng.one_in(faults.plan.name_error) => Err(Errno::IO.into()),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        if let Some(faults) = &mut self.faults {
            faults.name_changed(change);
        }
    }

    /// The file of this name, if any, is about to lose it.
    fn unlink(&mut self, path: &Path) {
        if let Some(Node::File(content)) = self.names.get(path) {
            let mut content = content.lock();
            content.linked = false;
            self.used -= content.bytes.len() as u64;
        }
    }

    fn capacity(&self) -> u64 {
        self.faults.as_ref().map_or(UNLIMITED, |faults| faults.plan.capacity.min(UNLIMITED))
    }

    fn free(&self) -> u64 {
        let foreign = self.faults.as_ref().map_or(0, |faults| faults.plan.foreign);
        self.capacity().saturating_sub(self.used.saturating_add(foreign))
    }

    /// Gives `content` another length, and accounts for it.
    fn resize(&mut self, content: &mut Content, len: u64) {
        if content.linked {
            self.used = self.used - content.bytes.len() as u64 + len;
        }
        // Lengths are those of tests, and were held against the free space.
        content.bytes.resize(len as usize, 0);
    }
}

impl File {
    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.up()?;
        let content = self.content.lock();
        let start = content.bytes.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let read = buf.len().min(content.bytes.len() - start);
        buf[..read].copy_from_slice(&content.bytes[start..start + read]);
        if let Some(faults) = &state.faults {
            if faults.rng.one_in(faults.plan.read_error) {
                return Err(Errno::IO.into());
            }
            faults.flip(&mut buf[..read]);
        }
        Ok(read)
    }

    pub(super) fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.up()?;
        let mut content = self.content.lock();
        let mut written = buf.len() as u64;
        let mut failure = None;
        let grown = (offset + written).saturating_sub(content.bytes.len() as u64);
        if grown > state.free() {
            written -= written.min(grown - state.free());
            failure = Some(Errno::NOSPC);
        }
        if let Some(faults) = &state.faults
            && faults.rng.one_in(faults.plan.write_error)
        {
            written = faults.rng.below(written + 1);
            failure = Some(Errno::IO);
        }
        if let Some(faults) = &state.faults
            && faults.rng.one_in(faults.plan.no_space)
        {
            written = faults.rng.below(written + 1);
            failure = Some(Errno::NOSPC);
        }
        if written > 0 {
            let len = (content.bytes.len() as u64).max(offset + written);
            state.resize(&mut content, len);
            let (start, bytes) = (offset as usize, &buf[..written as usize]);
            content.bytes[start..start + bytes.len()].copy_from_slice(bytes);
            content.modified_ms = state.clock.wall_ms();
            if let Some(unsynced) = &mut content.unsynced {
                unsynced.write(bytes, offset, len);
            }
        }
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    pub(super) fn allocate(&self, len: u64) -> io::Result<()> {
        if len <= self.len()? { Ok(()) } else { self.set_len(len) }
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.up()?;
        let mut content = self.content.lock();
        if len.saturating_sub(content.bytes.len() as u64) > state.free() {
            return Err(Errno::NOSPC.into());
        }
        state.resize(&mut content, len);
        content.modified_ms = state.clock.wall_ms();
        if let Some(unsynced) = &mut content.unsynced {
            unsynced.set_len(len);
        }
        Ok(())
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        let _up = self.disk.up()?;
        Ok(self.content.lock().bytes.len() as u64)
    }

    pub(super) fn sync_data(&self) -> io::Result<()> {
        let state = self.disk.up()?;
        let Some(faults) = &state.faults else { return Ok(()) };
        let slow = faults.rng.one_in(faults.plan.slow_sync).then_some(faults.plan.slow_sync_time);
        let mut content = self.content.lock();
        let Some(unsynced) = &mut content.unsynced else { return Ok(()) };
        if faults.rng.one_in(faults.plan.sync_error) {
            unsynced.fail(faults);
            return Err(Errno::IO.into());
        }
        // What is written while the sync runs is not promised by it.
        let covered = unsynced.mark();
        let Some(slow) = slow else {
            unsynced.sync(covered);
            return Ok(());
        };
        drop((content, state));
        std::thread::sleep(slow);
        let _up = self.disk.up()?;
        if let Some(unsynced) = &mut self.content.lock().unsynced {
            unsynced.sync(covered);
        }
        Ok(())
    }

    /// Whether the range counts as being in memory: by chance, where the plan says so.
    pub(super) fn resident(&self) -> bool {
        let state = self.disk.0.lock();
        state.faults.as_ref().is_none_or(|faults| !faults.rng.one_in(faults.plan.cold))
    }

    /// What a mapping of the file shows: no error is possible, and it outlives the process's end.
    pub(super) fn mapped(&self, range: Range<usize>) -> Bytes {
        let state = self.disk.0.lock();
        let mut bytes = self.content.lock().bytes[range].to_vec();
        if let Some(faults) = &state.faults {
            faults.flip(&mut bytes);
        }
        bytes.into()
    }
}

#[derive(Debug)]
pub(super) struct Lock {
    disk: Disk,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.0.lock().locked.remove(&self.path);
    }
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

pub(super) fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new("/")
}

fn children<'a>(
    names: &'a Names,
    dir: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a Node)> + 'a {
    let below = names.range(dir.to_owned()..).take_while(move |(path, _)| path.starts_with(dir));
    below.filter(move |(path, _)| parent(path) == dir && !is_root(path))
}
