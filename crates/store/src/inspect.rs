//! Looking at a store's directory without changing it, also one that the reference wrote.
//!
//! [`verify`] checks what recovery and readers rely on: records are valid and lie at their own offset;
//! every queue unit agrees with its record (offset, size, tag hash, queue offset) and queues are dense;
//! every message has its unit; index items lead to records. [`inspect`] says what is there.
//!
//! The settings say the directory, the layout of index files and the delay levels. The directory must
//! not be in use: what is written meanwhile looks like damage.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::Disk;
use serde::Serialize;
use smallvec::SmallVec;
use wire::record::RecordView;

use crate::delay::DelayLevels;
use crate::dispatch::{Derivation, queue_of};
use crate::error::OpenError;
use crate::index::{self, IndexFile, Layout};
use crate::kept_file::KeptFile;
use crate::load;
use crate::queue::files::{self, Files, FilesShared};
use crate::queue::{Queues, Read, Unit};
use crate::scan::{Found, Scan};
use crate::segment::{Segment, Segments};
use crate::settings::StoreSettings;

/// Most problems that a report lists; it counts the others.
const LISTED_PROBLEMS: usize = 100;

/// What a store's directory holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The directory.
    pub root: PathBuf,
    /// Whether it was closed cleanly (no file `abort`).
    pub closed: bool,
    /// Commit log files.
    pub segments: usize,
    /// Log offset of the first byte.
    pub log_min: u64,
    /// Log offset behind the last valid record.
    pub log_end: u64,
    /// Records.
    pub records: u64,
    /// Store timestamps of the first and the last record, ms since the epoch.
    pub stored_ms: Option<(i64, i64)>,
    /// Queues, by topic and id.
    pub queues: Vec<QueueReport>,
    /// Index files.
    pub index_files: usize,
    /// Items in them.
    pub index_items: u64,
    /// What is wrong; the first hundred. Filled by [`verify`] only.
    pub problems: Vec<String>,
    /// Number of all problems.
    pub problem_count: u64,
}

/// What one queue holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueReport {
    /// Topic.
    pub topic: String,
    /// Number within the topic.
    pub id: u32,
    /// Queue offset of the first message that is still in the log.
    pub min: u64,
    /// Queue offset behind the last message.
    pub max: u64,
    /// Log offset of its last message.
    pub last_physical: Option<u64>,
}

/// Says what a store's directory holds. Reads every record and every queue once.
///
/// # Errors
/// When the directory cannot be read, or is of a kind that is not supported.
pub fn inspect(disk: &Disk, settings: &StoreSettings) -> Result<Report, OpenError> {
    let mut checked = Checked::new(disk, settings)?;
    checked.queues()?;
    checked.log(false)?;
    checked.index(false)?;
    Ok(checked.report)
}

/// Checks everything in a store's directory against everything else; see the module.
///
/// # Errors
/// When the directory cannot be read, or is of a kind that is not supported.
pub fn verify(disk: &Disk, settings: &StoreSettings) -> Result<Report, OpenError> {
    let mut checked = Checked::new(disk, settings)?;
    checked.queues()?;
    checked.log(true)?;
    checked.index(true)?;
    Ok(checked.report)
}

/// A directory that is being checked.
struct Checked {
    disk: Disk,
    log_dir: PathBuf,
    segments: Segments,
    queues: Queues,
    levels: DelayLevels,
    layout: Layout,
    report: Report,
}

impl Checked {
    fn new(disk: &Disk, settings: &StoreSettings) -> Result<Checked, OpenError> {
        let root = &settings.root;
        let levels = settings
            .delays()
            .map_err(|problem| OpenError::Setting { key: "messageDelayLevel", problem })?;
        let layout = Layout { slots: settings.index_slots, items: settings.index_items };
        load::refuse_foreign(disk, root)?;
        let log_dir = settings.log_dir();
        let segments = open_segments(disk, &log_dir)?;
        let queue_dir = root.join("consumequeue");
        let file_bytes = queue_file_bytes(disk, &queue_dir)?;
        let files = FilesShared::new(disk.clone(), queue_dir, file_bytes);
        let log_min = segments.min_offset();
        let abort = root.join("abort");
        let report = Report {
            root: root.to_owned(),
            closed: !disk.exists(&abort).map_err(OpenError::io(abort))?,
            segments: segments.0.len(),
            log_min,
            log_end: log_min,
            ..Report::default()
        };
        let (disk, queues) = (disk.clone(), Queues::new(files));
        Ok(Checked { disk, log_dir, segments, queues, levels, layout, report })
    }

    fn problem(&mut self, problem: String) {
        self.report.problem_count += 1;
        if self.report.problems.len() < LISTED_PROBLEMS {
            self.report.problems.push(problem);
        }
    }

    /// Opens every queue as long as its units go.
    fn queues(&mut self) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.queues.shared.files);
        let root = shared.root.clone();
        if !self.disk.exists(&root).map_err(OpenError::io(&root))? {
            return Ok(());
        }
        for topic in self.disk.list(&root).map_err(OpenError::io(&root))? {
            let dir = root.join(&topic.name);
            for entry in self.disk.list(&dir).map_err(OpenError::io(&dir))? {
                let Ok(id) = entry.name.parse() else { continue };
                let failed = OpenError::io(dir.join(&entry.name));
                let probe = Files::new(Arc::clone(&shared), &topic.name, id, None);
                let all = files::list(&self.disk, &probe.dir).map_err(failed)?;
                let Some(first) = all.first().copied() else { continue };
                let found = Files::new(Arc::clone(&shared), &topic.name, id, Some(first));
                let failed = OpenError::io(dir.join(&entry.name));
                let (end, last) = end_of(&found, first).map_err(failed)?;
                found.close();
                let queue = self.queues.insert(&topic.name, id, Some(first), end);
                let failed = OpenError::io(dir.join(&entry.name));
                queue.follow_log(self.report.log_min).map_err(failed)?;
                self.report.queues.push(QueueReport {
                    topic: topic.name.clone(),
                    id,
                    min: queue.min_offset(),
                    max: end,
                    last_physical: last.map(|unit| unit.physical),
                });
                queue.files.close();
            }
        }
        Ok(())
    }

    /// Reads the log; with `check`, compares every record with its unit.
    fn log(&mut self, check: bool) -> Result<(), OpenError> {
        let segments = self.segments.clone();
        let failed = OpenError::io(self.log_dir.clone());
        let read = self.read_log(&segments, check);
        read.map_err(failed)?;
        if check {
            self.check_ends();
        }
        Ok(())
    }

    fn read_log(&mut self, segments: &Segments, check: bool) -> std::io::Result<()> {
        let mut scan = Scan::new(segments, segments.min_offset());
        let mut seen: BTreeMap<(String, u32), u64> = BTreeMap::new();
        loop {
            let at = scan.at;
            match scan.next()? {
                Found::Filler(_) => {}
                Found::Record(view) => {
                    let stored = view.store_timestamp();
                    let first = self.report.stored_ms.map_or(stored, |(first, _)| first);
                    self.report.stored_ms = Some((first, stored));
                    self.report.records += 1;
                    if check {
                        self.check_record(&view, &mut seen)?;
                    }
                    self.report.log_end = scan.at;
                }
                found @ (Found::Nothing | Found::Bad(_)) => {
                    let later = segments.0.iter().find(|segment| {
                        let record = |s: &Segment| {
                            matches!(Scan::new(segments, s.base).next(), Ok(Found::Record(_)))
                        };
                        segment.base > at && record(segment)
                    });
                    let what = match found {
                        Found::Bad(what) => what,
                        _ => "zeros".to_owned(),
                    };
                    let Some(later) = later else {
                        if what != "zeros" && check {
                            self.problem(format!("log offset {at}: {what} ends the log"));
                        }
                        return Ok(());
                    };
                    self.problem(format!("log offset {at}: {what} up to {}", later.base));
                    scan = Scan::new(segments, later.base);
                }
            }
        }
    }

    fn check_record(
        &mut self,
        view: &RecordView<'_>,
        seen: &mut BTreeMap<(String, u32), u64>,
    ) -> std::io::Result<()> {
        let at = view.physical_offset();
        if let Err(error) = view.verify_body() {
            self.problem(format!("log offset {at}: {error}"));
        }
        let Some((topic, id)) = queue_of(view) else {
            let (topic, id) = (String::from_utf8_lossy(view.topic()), view.queue_id());
            let offset = view.queue_offset();
            self.problem(format!("log offset {at}: no queue can be {topic:?}/{id} at {offset}"));
            return Ok(());
        };
        let queue = self.queues.get(topic, id);
        let mut hashes = Vec::new();
        let derived = Derivation::of(view, &queue, &self.levels, &mut hashes);
        if !derived.queued {
            return Ok(());
        }
        let (offset, unit) = (derived.queue_offset, derived.unit);
        let expected = seen.insert((topic.to_owned(), id), offset + 1);
        if expected.is_some_and(|expected| expected != offset) {
            let expected = expected.unwrap_or(0);
            self.problem(format!(
                "log offset {at}: {topic}/{id} goes on at {offset} after {expected}"
            ));
        }
        let mut units = SmallVec::new();
        if offset >= queue.first() && offset < queue.next() {
            queue.units(offset, 1, true, &mut units)?;
        }
        match units.first() {
            Some(found) if *found == unit => {}
            Some(found) => self.problem(format!(
                "{topic}/{id} offset {offset}: the queue has {found:?}, the log {unit:?}"
            )),
            None => self.problem(format!(
                "{topic}/{id} offset {offset}: no queue entry for the record at {at}"
            )),
        }
        Ok(())
    }

    /// No queue may lead behind the log.
    fn check_ends(&mut self) {
        let end = self.report.log_end;
        let beyond: Vec<String> = (self.report.queues.iter())
            .filter(|queue| queue.last_physical.is_some_and(|last| last >= end))
            .map(|q| {
                format!("{}/{}: its last entry leads behind the log's end {end}", q.topic, q.id)
            })
            .collect();
        beyond.into_iter().for_each(|problem| self.problem(problem));
    }

    /// Counts index items; with `check`, each must lead to a record.
    fn index(&mut self, check: bool) -> Result<(), OpenError> {
        let dir = self.report.root.join("index");
        if !self.disk.exists(&dir).map_err(OpenError::io(&dir))? {
            return Ok(());
        }
        let mut entries = self.disk.list(&dir).map_err(OpenError::io(&dir))?;
        entries.retain(|entry| index::is_name(&entry.name));
        for entry in entries {
            let path = dir.join(&entry.name);
            if entry.len != self.layout.file_bytes() {
                let (len, expected) = (entry.len, self.layout.file_bytes());
                self.problem(format!("{}: {len} bytes instead of {expected}", path.display()));
                continue;
            }
            let items = IndexFile::offsets(&self.disk, &path, self.layout);
            let items = items.map_err(OpenError::io(&path))?;
            self.report.index_files += 1;
            self.report.index_items += items.len() as u64;
            if !check {
                continue;
            }
            let log_min = self.report.log_min;
            for offset in items.into_iter().filter(|offset| *offset >= log_min) {
                let found =
                    Scan::new(&self.segments, offset).next().map(|f| matches!(f, Found::Record(_)));
                let is_record = found.map_err(OpenError::io(&path))?;
                if !is_record {
                    self.problem(format!(
                        "{}: an item leads to no record at {offset}",
                        path.display()
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Segments of whatever size the files have.
fn open_segments(disk: &Disk, dir: &Path) -> Result<Segments, OpenError> {
    let mut segments = Segments::default();
    for entry in disk.list(dir).map_err(OpenError::io(dir))? {
        let path = dir.join(&entry.name);
        let Ok(base) = entry.name.parse() else { continue };
        if entry.len == 0 {
            continue;
        }
        segments.0.push(Arc::new(Segment::new(base, entry.len, KeptFile::new(disk, path))));
    }
    Ok(segments)
}

/// Size of the queue files, from the first one there is.
fn queue_file_bytes(disk: &Disk, root: &Path) -> Result<u64, OpenError> {
    let list = |dir: &Path| -> Result<Vec<env::disk::Entry>, OpenError> {
        if disk.exists(dir).map_err(OpenError::io(dir))? {
            disk.list(dir).map_err(OpenError::io(dir))
        } else {
            Ok(Vec::new())
        }
    };
    for topic in list(root)?.iter().filter(|topic| topic.is_dir) {
        let topic = root.join(&topic.name);
        for queue in list(&topic)?.iter().filter(|queue| queue.is_dir) {
            if let Some(file) = list(&topic.join(&queue.name))?.iter().find(|file| file.len > 0) {
                return Ok(file.len);
            }
        }
    }
    Ok(StoreSettings::default().queue_file_bytes)
}

/// Where a queue's units end, and the last one.
fn end_of(files: &Files, first: u64) -> std::io::Result<(u64, Option<Unit>)> {
    let (mut at, mut last) = (first, None);
    loop {
        let mut units = SmallVec::new();
        match files.read(at, 64, true, &mut units)? {
            Read::Units(0) | Read::Missing | Read::Cold => return Ok((at, last)),
            Read::Units(count) => {
                at += count as u64;
                last = units.last().copied().filter(|unit| !unit.is_blank()).or(last);
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = if self.closed { "closed" } else { "not closed" };
        writeln!(f, "{}: {left}", self.root.display())?;
        let Report { segments, log_min, log_end, records, .. } = self;
        writeln!(f, "log: {segments} files, offsets {log_min}..{log_end}, {records} records")?;
        if let Some((first, last)) = self.stored_ms {
            writeln!(f, "stored: {first} to {last} (ms since 1970)")?;
        }
        for QueueReport { topic, id, min, max, .. } in &self.queues {
            writeln!(f, "queue {topic}/{id}: offsets {min}..{max}")?;
        }
        writeln!(f, "index: {} files, {} items", self.index_files, self.index_items)?;
        for problem in &self.problems {
            writeln!(f, "PROBLEM {problem}")?;
        }
        let unlisted = self.problem_count - self.problems.len() as u64;
        if unlisted > 0 { writeln!(f, "and {unlisted} more problems") } else { Ok(()) }
    }
}
