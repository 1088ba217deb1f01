//! A commit log whose end was damaged while nobody had it open.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use apogee_e2e::load::{self, Acked, Shape};
use apogee_e2e::peer::{Cluster, Peer};
use apogee_e2e::record::Record;
use apogee_e2e::view::{Queue, View};

use crate::{SMALL_FILES, owned};

const TOPIC: &str = "damaged";
const QUEUES: i32 = 4;
/// Enough for several small files of the commit log.
const BEFORE: usize = 300;
const AFTER: usize = 40;
const SEGMENT_BYTES: u64 = 65_536;
const GARBAGE_BYTES: u64 = 4096;
/// Where the body of a record with IPv4 hosts starts.
const BODY_AT: u64 = 88;

/// What happened to the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Random bytes follow the last record.
    Garbage,
    /// One bit of a body in the last file is another.
    Flipped,
}

/// Store-format check 5: shows that the log ends where it is damaged: whoever starts on it serves all that lies before and
/// nothing else, goes on at exactly that offset in the log and in each queue, and still does so after
/// one more start.
pub(crate) fn ends_the_log([writer, reader]: [Peer; 2], kind: Kind, dir: &Path) -> Result<()> {
    let mut settings = owned(&SMALL_FILES);
    settings.insert("mappedFileSizeCommitLog".to_owned(), SEGMENT_BYTES.to_string());
    let mut cluster = Cluster::start(writer, dir, &settings)?;
    load::send(cluster.broker(), &Shape::new(TOPIC, "before"), BEFORE)?;
    let written = View::open(cluster.broker())?.topic(TOPIC, QUEUES)?;
    let store = cluster.store_dir();
    cluster.kill()?;
    drop(cluster);

    let end = damage(&store, kind, &written)?;
    let kept = before(&written, end);
    let mut cluster = Cluster::start(reader, dir, &settings).context("start on a damaged log")?;
    let now = View::open(cluster.broker())?.topic(TOPIC, QUEUES)?;
    ensure!(now == kept, "kept {}, {} lie before {end}", count(&now), count(&kept));
    check_keys(&cluster, reader, &written, end)?;
    let sent = load::send(cluster.broker(), &Shape::new(TOPIC, "after"), AFTER)?;
    continues(&sent, &kept, end)?;
    let all = View::open(cluster.broker())?.topic(TOPIC, QUEUES)?;
    cluster.stop()?;
    cluster.start_again()?;
    let again = View::open(cluster.broker())?.topic(TOPIC, QUEUES)?;
    ensure!(again == all, "{} became {} with one more start", count(&all), count(&again));
    cluster.check_log()
}

/// Damages the log; the offset where it ends now.
fn damage(store: &Path, kind: Kind, written: &BTreeMap<i32, Queue>) -> Result<u64> {
    let last = records(written).max_by_key(|record| record.physical_offset).context("empty")?;
    let end = end_of(last)?;
    let base = (end - 1) / SEGMENT_BYTES * SEGMENT_BYTES;
    let path = store.join("commitlog").join(format!("{base:020}"));
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if kind == Kind::Garbage {
        // Half of the bytes at least are none of a record's head; all are the same in each run.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let garbage = (0..GARBAGE_BYTES.min(base + SEGMENT_BYTES - end)).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        });
        file.write_all_at(&garbage.collect::<Vec<u8>>(), end - base)?;
        return Ok(end);
    }
    // Not the first of its file, or this would be a damaged file with a whole one before it.
    let mut inside: Vec<&Record> =
        records(written).filter(|one| one.physical_offset.cast_unsigned() > base).collect();
    inside.sort_by_key(|record| record.physical_offset);
    let victim = inside.get(inside.len() / 2).context("too few records in the last file")?;
    let at = victim.physical_offset.cast_unsigned();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at - base + BODY_AT)?;
    file.write_all_at(&[byte[0] ^ 4], at - base + BODY_AT)?;
    // Who was killed knows how far it had read the log and does not read that again; without this
    // note it has to, as with a directory that another machine left.
    let note = store.join("apogee");
    if note.exists() {
        fs::remove_dir_all(note)?;
    }
    Ok(at)
}

fn records(queues: &BTreeMap<i32, Queue>) -> impl Iterator<Item = &Record> {
    queues.values().flat_map(|queue| &queue.records)
}

fn end_of(record: &Record) -> Result<u64> {
    Ok(record.physical_offset.cast_unsigned() + u64::try_from(record.raw.len())?)
}

fn count(queues: &BTreeMap<i32, Queue>) -> usize {
    records(queues).count()
}

/// What of the queues lies before a log offset.
fn before(queues: &BTreeMap<i32, Queue>, end: u64) -> BTreeMap<i32, Queue> {
    let mut kept = queues.clone();
    for queue in kept.values_mut() {
        queue.records.retain(|record| record.physical_offset.cast_unsigned() < end);
        queue.max = queue.min + i64::try_from(queue.records.len()).unwrap_or(i64::MAX);
    }
    kept
}

/// The key index has the last message that is left and none that is not. The reference keeps entries
/// of what it cut off, which may lead to any message, and leaves it to the client to look.
fn check_keys(
    cluster: &Cluster,
    reader: Peer,
    written: &BTreeMap<i32, Queue>,
    end: u64,
) -> Result<()> {
    if reader == Peer::Java {
        return Ok(());
    }
    let mut view = View::open(cluster.broker())?;
    for record in records(written) {
        let key = record.property("KEYS")?;
        let expected = usize::from(record.physical_offset.cast_unsigned() < end);
        let found = view.by_key(TOPIC, key)?.len();
        ensure!(found == expected, "{found} records with key {key} instead of {expected}");
    }
    Ok(())
}

/// The first message lies where the log ended, and each in the place of its queue that follows.
fn continues(sent: &[Acked], kept: &BTreeMap<i32, Queue>, end: u64) -> Result<()> {
    let first = sent.first().context("nothing sent")?;
    let longest = records(kept).map(|record| record.raw.len()).max().unwrap_or(0);
    let left = SEGMENT_BYTES - end % SEGMENT_BYTES;
    // Two sectors at the end of a file are not for records; a record that does not fit opens the next.
    let next_file = left < u64::try_from(2 * longest)? + 1024;
    let expected = if next_file { end.next_multiple_of(SEGMENT_BYTES) } else { end };
    ensure!(
        first.physical == end || first.physical == expected,
        "the log goes on at {}, it ended at {end}",
        first.physical
    );
    let mut next: BTreeMap<i64, i64> =
        kept.iter().map(|(id, queue)| (i64::from(*id), queue.max)).collect();
    for one in sent {
        let expected = next.get_mut(&one.queue).context("a queue that was not there")?;
        ensure!(one.offset == *expected, "{one:?} instead of offset {expected}");
        *expected += 1;
    }
    Ok(())
}
