//! What must hold for a store's directory, whatever its files hold. `crates/store/tests/corpus.rs` runs
//! the same check over the corpus on every test run.
//!
//! The input says how a small directory that the store has written was left, and then changes its files,
//! one edit after another. Checksums are made right again where asked, or no input would get past them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use env::{Disk, Env};
use store::{
    Batch, Bound, Durability, FlushDiskType, Get, Keys, Lookup, NewRecord, Queue, Store,
    StoreSettings, Tags, Want, inspect,
};
use wire::record::{self, Entry, PropertyCrc, RecordHead, RecordWriter};

const ROOT: &str = "/s";
/// Messages of the directory: some segments, queue files and index files.
const MESSAGES: u64 = 40;
const QUEUES: [(&str, u32); 3] = [("a", 0), ("a", 1), ("%RETRY%b", 0)];
/// Bytes that opening may add to the files, at most: segments, and queue files with blanks.
const GROWTH: u64 = 4 << 20;

/// The machine was started anew since the directory was used.
const POWER_CUT: u8 = 1;
/// It was not closed.
const CRASHED: u8 = 2;
/// There is no `apogee/state`: the reference's rules count.
const REFERENCE: u8 = 4;
/// Nothing is known to be derived: recovery reads the whole log.
const WHOLE: u8 = 8;
/// Checksums are made right after the edits.
const REPAIRED: u8 = 16;

/// Where the checksum of `apogee/state` lies, version 3.
const STATE_CRC: usize = 164;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A directory opens, or gives an error that says something. What opened can be read, verified, written
/// and opened again; and where all of it was derived from the log, nothing derived is wrong.
pub fn recovery(data: &[u8]) {
    let Some((left, edits)) = data.split_first() else { return };
    let mut files = written().clone();
    leave(&mut files, *left);
    let known = progress(&files);
    edit(&mut files, edits);
    let whole = left & WHOLE != 0 && left & REFERENCE == 0 && progress(&files) == known;
    if left & REPAIRED != 0 {
        repair(&mut files);
    }
    let env = Env::sim(1);
    store_files(&env.disk, &files);
    let before = used(&env.disk);
    let store = match Store::open(env.clone(), settings()) {
        Ok(store) => store,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let beside = env.disk.list("/".as_ref()).expect("the disk does not fail");
    assert_eq!(beside.len(), 1, "files outside of the directory: {beside:?}");
    let grown = used(&env.disk).saturating_sub(before);
    assert!(grown <= GROWTH, "opening added {grown} bytes");
    let found = dump(&store);
    store.close();
    check_report(&env.disk, whole);

    let env = env.kill();
    let store = Store::open(env.clone(), settings()).expect("what opened once opens again");
    if whole {
        assert_eq!(dump(&store), found, "a second recovery changes nothing");
    }
    if append(&store, 0, MESSAGES) {
        let queue = store.queue(QUEUES[0].0, QUEUES[0].1);
        let (_, messages) = read(&store, &queue, queue.max_offset() - 1);
        assert_eq!(messages, 1, "what was sent is found");
    }
    store.close();
}

fn settings() -> StoreSettings {
    StoreSettings { flush: FlushDiskType::Sync, ..StoreSettings::test_min(ROOT) }
}

fn used(disk: &Disk) -> u64 {
    disk.space(ROOT.as_ref()).expect("the disk does not fail").used
}

/// Verification must work. With `whole` it finds nothing, unless the log itself is damaged: a lost part, or a
/// record with a wrong queue or queue offset, hides others.
fn check_report(disk: &Disk, whole: bool) {
    let report = inspect::verify(disk, &settings()).expect("what opened can be verified");
    assert!(report.closed);
    let damaged = report.problems.iter().any(|problem| problem.starts_with("log offset "));
    assert!(!whole || damaged || report.problems.is_empty(), "{:?}", report.problems);
}

/// Everything that a reader finds.
fn dump(store: &Store) -> String {
    let mut text = String::new();
    let mut queues = store.queues();
    queues.sort_by_key(|queue| (queue.topic().to_owned(), queue.id()));
    for queue in queues {
        let (min, max) = (queue.min_offset(), queue.max_offset());
        if max == 0 {
            // The directory of an empty queue does not count.
            continue;
        }
        let _ = write!(text, "{}/{} {min}..{max}:", queue.topic(), queue.id());
        let mut at = min;
        // Queues may claim any offsets: as many reads as the whole directory could need.
        for _ in 0..10 * MESSAGES {
            if at >= max {
                break;
            }
            let (next, messages) = read(store, &queue, at);
            assert!(next > at, "a reader gets on");
            let _ = write!(text, " {messages} to {next}");
            at = next;
        }
        for bound in [Bound::Lower, Bound::Upper] {
            let found = store.search_time(&queue, env_start() + 1, bound);
            let _ = write!(text, " {bound:?} {found:?}");
        }
        let keys = store.query(queue.topic(), Lookup::Key("key1"), 0..=i64::MAX, 9);
        let _ = writeln!(text, " {keys:?}");
    }
    text
}

/// Reads some messages. Returns where to go on, and how many there were.
fn read(store: &Store, queue: &Arc<Queue>, offset: u64) -> (u64, u32) {
    let want = Want { max_messages: 3, max_bytes: 1 << 16 };
    match store.get(queue, offset, want, &|_| true) {
        Ok(Get::Ready(got)) => {
            let bytes = got.slices.iter().map(|slice| slice.len()).sum::<usize>();
            assert_eq!(bytes, got.bytes, "an answer is as long as it says");
            (got.next, got.messages)
        }
        Ok(Get::Cold(_)) => unreachable!("this disk has everything in memory"),
        Err(error) => panic!("the disk does not fail: {error}"),
    }
}

fn env_start() -> i64 {
    Env::sim(1).clock.wall_ms()
}

/// Appends a message to one of the queues; whether it was taken.
fn append(store: &Store, queue: usize, number: u64) -> bool {
    let (topic, id) = QUEUES[queue];
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    let head = RecordHead {
        queue_id: id as i32,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
    };
    let key = format!("key{}", number % 4);
    let body = vec![number as u8; 60];
    let mut batch = Batch::new();
    let new = NewRecord {
        queue: &store.queue(topic, id),
        tags: Tags::Code(7),
        keys: Keys { keys: Some(key.as_bytes()), ..Keys::default() },
        with_previous: false,
    };
    let pushed = batch.push(new, |out| {
        let mut writer = RecordWriter::begin(out, &head, topic.as_bytes(), &body).expect("small");
        writer.properties().append(wire::props::names::KEYS, key.as_bytes());
        Ok::<_, Infallible>(writer.finish(PropertyCrc::Absent).expect("small"))
    });
    pushed.expect("it cannot fail");
    let waiting = std::pin::pin!(async {
        match store.append(batch).await {
            Ok(appended) => store.durable(appended.end).await == Durability::Durable,
            Err(_) => false,
        }
    });
    block_on(waiting)
}

fn block_on<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// A closed directory with some messages.
fn written() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let env = Env::sim(1);
        env.disk.create_dir_all(ROOT.as_ref()).expect("the disk does not fail");
        let store = Store::open(env.clone(), settings()).expect("an empty directory opens");
        for number in 0..MESSAGES {
            assert!(append(&store, (number % 3) as usize, number));
        }
        store.close();
        let mut files = Files::new();
        load_files(&env.disk, ROOT.as_ref(), &mut files);
        files.remove(&Path::new(ROOT).join("lock"));
        files
    })
}

fn load_files(disk: &Disk, dir: &Path, files: &mut Files) {
    for entry in disk.list(dir).expect("the disk does not fail") {
        let path = dir.join(entry.name);
        if entry.is_dir {
            load_files(disk, &path, files);
            continue;
        }
        let mut bytes = vec![0; entry.len as usize];
        let file = disk.open(&path).expect("it was listed");
        file.read_exact_at(&mut bytes, 0).expect("it is that long");
        files.insert(path, bytes);
    }
}

fn store_files(disk: &Disk, files: &Files) {
    let stored = |path: &Path, bytes: &[u8]| {
        disk.create_dir_all(path.parent().unwrap_or(path))?;
        disk.create(path)?.write_at(bytes, 0)
    };
    for (path, bytes) in files {
        stored(path, bytes).expect("the disk does not fail");
    }
}

/// The files that say where recovery may start.
fn progress(files: &Files) -> Vec<Option<Vec<u8>>> {
    let names = ["apogee/state", "checkpoint"].map(|name| Path::new(ROOT).join(name));
    names.iter().map(|path| files.get(path).cloned()).collect()
}

/// Sectors of `apogee/state`; see there.
fn states(files: &mut Files) -> impl Iterator<Item = &mut [u8]> {
    let state = files.get_mut(&Path::new(ROOT).join("apogee/state")).map(Vec::as_mut_slice);
    let sectors = state.unwrap_or_default().chunks_mut(512);
    sectors.filter(|sector| sector.len() >= STATE_CRC + 4 && sector.starts_with(b"APOGEEST"))
}

/// Makes the directory one that was left in another way than by closing it.
fn leave(files: &mut Files, left: u8) {
    let root = Path::new(ROOT);
    if left & (CRASHED | POWER_CUT) != 0 {
        files.insert(root.join("abort"), b"1".to_vec());
    }
    for state in states(files) {
        if left & CRASHED != 0 {
            state[12..16].fill(0);
        }
        if left & WHOLE != 0 {
            state[32..40].fill(0);
        }
        if left & POWER_CUT != 0 {
            state[120..156].fill(b'0');
        }
        seal(state, STATE_CRC);
    }
    if left & REFERENCE != 0 {
        files.remove(&root.join("apogee/state"));
    }
}

/// Applies edits: a file of those that were written, what to do, an offset, and bytes with their count.
fn edit(files: &mut Files, mut edits: &[u8]) {
    let names: Vec<&PathBuf> = written().keys().collect();
    while let [file, kind, high, low, len, rest @ ..] = edits {
        let (bytes, after) = rest.split_at(rest.len().min(usize::from(*len)));
        edits = after;
        let path = names[usize::from(*file) % names.len()];
        let at = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(content) = files.get_mut(path) else { continue };
        match kind % 4 {
            0 => {
                let at = at.min(content.len());
                let fits = bytes.len().min(content.len() - at);
                content[at..at + fits].copy_from_slice(&bytes[..fits]);
            }
            1 => content.resize(at, 0),
            2 => drop(files.remove(path)),
            // Another name, in decimal digits as all files of a store have them.
            _ => {
                let number = bytes.iter().fold(0_u64, |n, byte| (n << 8) | u64::from(*byte));
                let content = std::mem::take(content);
                files.remove(path);
                files.insert(path.with_file_name(format!("{number:020}")), content);
            }
        }
    }
}

/// Makes checksums right: of records' bodies, marks, and the state.
fn repair(files: &mut Files) {
    let log = Path::new(ROOT).join("commitlog");
    for bytes in files.iter_mut().filter(|(path, _)| path.starts_with(&log)).map(|(_, b)| b) {
        let mut at = 0;
        while let Some(Ok(Entry::Record(view))) = bytes.get(at..).map(record::parse) {
            let (crc, size) = (crc32fast::hash(view.body()) & 0x7FFF_FFFF, view.size());
            bytes[at + 8..at + 12].copy_from_slice(&crc.to_be_bytes());
            at += size;
        }
        let marks = bytes.len().saturating_sub(1024);
        for mark in bytes[marks..].chunks_mut(512) {
            if mark.starts_with(b"APOGEEMK") && mark.len() == 512 {
                seal(mark, 28);
            }
        }
    }
    let checkpoint = files.get(&Path::new(ROOT).join("checkpoint"));
    let checkpoint = checkpoint.and_then(|bytes| bytes.get(..40)).map(crc32fast::hash);
    for state in states(files) {
        if let Some(checkpoint) = checkpoint {
            state[40..44].copy_from_slice(&checkpoint.to_be_bytes());
        }
        seal(state, STATE_CRC);
    }
}

/// Writes the checksum of the first bytes behind them.
fn seal(bytes: &mut [u8], at: usize) {
    let crc = crc32fast::hash(&bytes[..at]);
    bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
}
