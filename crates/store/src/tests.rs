//! The store as a whole, on small files.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use env::disk::FaultPlan;
use env::{Disk, Env};
use futures_util::FutureExt as _;
use wire::record::{PropertyCrc, RecordHead, RecordView, RecordWriter};

use crate::{
    AppendError, Appended, Batch, Durability, FlushDiskType, Get, Got, GotStatus, Keys, Lookup,
    NewRecord, Queue, Store, StoreSettings, Tags, Want,
};

pub(crate) const WANT: Want = Want { max_messages: 32, max_bytes: 1 << 20 };

pub(crate) fn head(queue_id: u32) -> RecordHead {
    RecordHead {
        queue_id: queue_id as i32,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: ([127, 0, 0, 1], 5000).into(),
        store_host: ([127, 0, 0, 1], 10911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
    }
}

/// Adds a message to a batch.
pub(crate) fn push(batch: &mut Batch, queue: &Arc<Queue>, body: &[u8], with_previous: bool) {
    let key = format!("k{}", body.len());
    let keys = Keys { unique: Some("u"), keys: Some(&key), tag: Some("TagA") };
    let tags = Tags::Code(wire::java_hash::tags_code(b"TagA"));
    let new = NewRecord { queue, tags, keys, with_previous };
    let encode = |out: &mut bytes::BytesMut| {
        let topic = queue.topic().as_bytes();
        let mut writer = RecordWriter::begin(out, &head(queue.id()), topic, body)?;
        let mut block = writer.properties();
        block.append("UNIQ_KEY", b"u");
        block.append("KEYS", key.as_bytes());
        block.append("TAGS", b"TagA");
        writer.finish(PropertyCrc::Absent)
    };
    batch.push(new, encode).unwrap();
}

pub(crate) fn open(root: &Path) -> Store {
    Store::open(Env::real(), StoreSettings::test_min(root)).unwrap()
}

/// Appends one message and returns its queue offset and log offset.
pub(crate) fn send(store: &Store, queue: &Arc<Queue>, body: &[u8]) -> (u64, u64) {
    let mut batch = Batch::new();
    push(&mut batch, queue, body, false);
    let appended = append(store, batch).unwrap();
    appended.offsets().next().unwrap()
}

pub(crate) fn append(store: &Store, batch: Batch) -> Result<Appended, AppendError> {
    wait(store.append(batch))
}

pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Reads, whatever it has to wait for.
pub(crate) fn get(store: &Store, queue: &Arc<Queue>, offset: u64) -> Got {
    loop {
        let got = match store.get(queue, offset, WANT, &|_| true).unwrap() {
            Get::Ready(got) => got,
            Get::Cold(cold) => wait(cold).unwrap(),
        };
        if got.status != GotStatus::Again {
            return got;
        }
    }
}

/// The bodies of all messages from `offset` on, with their queue offsets.
pub(crate) fn bodies(store: &Store, queue: &Arc<Queue>, offset: u64) -> Vec<(u64, Bytes)> {
    let mut all = Vec::new();
    let mut at = offset;
    loop {
        let got = get(store, queue, at);
        if got.status != GotStatus::Found {
            return all;
        }
        for slice in got.slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                let view = RecordView::parse(rest).unwrap();
                all.push((view.queue_offset(), Bytes::copy_from_slice(view.body())));
                rest = &rest[view.size()..];
            }
        }
        at = got.next;
    }
}

/// Messages come back as they were sent, in order, over many segments and queue files, and from several
/// queues at once.
#[test]
fn round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queues = [store.queue("a", 0), store.queue("b", 3)];
    for number in 0..100u32 {
        for queue in &queues {
            let body = vec![number as u8; 100 + number as usize];
            assert_eq!(send(&store, queue, &body).0, u64::from(number));
        }
    }
    for queue in &queues {
        let all = bodies(&store, queue, 0);
        assert_eq!(all.len(), 100);
        for (number, (offset, body)) in all.iter().enumerate() {
            assert_eq!(*offset, number as u64);
            assert_eq!(&body[..], vec![number as u8; 100 + number]);
        }
        assert_eq!((queue.min_offset(), queue.max_offset()), (0, 100));
    }
    assert!(store.watermarks().appended > 4096 * 5);
    store.close();
}

/// A group stays in one segment, the others go where they fit; what fits in no segment is refused.
#[test]
fn groups_and_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = store.queue("t", 0);
    for _ in 0..10 {
        let mut batch = Batch::new();
        push(&mut batch, &queue, &[1; 300], false);
        (0..3).for_each(|_| push(&mut batch, &queue, &[2; 400], true));
        let appended = append(&store, batch).unwrap();
        let segments: Vec<_> = appended.offsets().map(|(_, at)| at / 4096).collect();
        assert!(segments.iter().all(|segment| *segment == segments[0]), "{segments:?}");
    }
    let mut batch = Batch::new();
    push(&mut batch, &queue, &[0; 3000], false);
    assert!(matches!(append(&store, batch), Err(AppendError::TooLarge { .. })));
    assert_eq!(bodies(&store, &queue, 0).len(), 40);
}

/// Statuses and corrected offsets outside the queue.
#[test]
fn statuses() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = store.queue("t", 0);
    let status = |offset| {
        let got = get(&store, &queue, offset);
        (got.status, got.next)
    };
    assert_eq!(status(0), (GotStatus::NoMessageInQueue, 0));
    send(&store, &queue, b"x");
    assert_eq!(status(0), (GotStatus::Found, 1));
    assert_eq!(status(1), (GotStatus::OffsetOverflowOne, 1));
    assert_eq!(status(5), (GotStatus::OffsetOverflowBadly, 1));
    let Get::Ready(got) = store.get(&queue, 0, WANT, &|_| false).unwrap() else { panic!("cold") };
    assert_eq!((got.status, got.next), (GotStatus::NoMatchedMessage, 1));
}

/// With synchronous flush nothing is visible before it is durable, and both waits end when it is.
#[test]
fn sync_flush_shows_durable_only() {
    let dir = tempfile::tempdir().unwrap();
    let flush = crate::FlushDiskType::Sync;
    let settings = StoreSettings { flush, ..StoreSettings::test_min(dir.path()) };
    let store = Store::open(Env::real(), settings).unwrap();
    let queue = store.queue("t", 0);
    let arrived = queue.arrived(0);
    let mut batch = Batch::new();
    push(&mut batch, &queue, b"x", false);
    let appended = append(&store, batch).unwrap();
    assert_eq!(wait(store.durable(appended.end)), crate::Durability::Durable);
    wait(arrived);
    assert_eq!(queue.max_offset(), 1);
    assert_eq!(bodies(&store, &queue, 0).len(), 1);
    assert!(queue.arrived(1).now_or_never().is_none());
}

/// Appends from many threads leave every queue dense and every message in place.
#[test]
#[allow(clippy::disallowed_methods, reason = "the test needs threads that race")]
fn concurrent_appends() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let store = &store;
            scope.spawn(move || {
                let shared = store.queue("shared", 0);
                let own = store.queue("own", thread.into());
                for number in 0..200u8 {
                    let mut batch = Batch::new();
                    push(&mut batch, &own, &[thread, number], false);
                    push(&mut batch, &shared, &[thread, number], false);
                    append(store, batch).unwrap();
                }
            });
        }
    });
    let shared = bodies(&store, &store.queue("shared", 0), 0);
    assert_eq!(shared.len(), 800);
    for thread in 0..4 {
        let order = |all: &[(u64, Bytes)]| -> Vec<u8> {
            all.iter().filter(|(_, b)| b[0] == thread).map(|(_, b)| b[1]).collect()
        };
        let expected: Vec<u8> = (0..200).collect();
        assert_eq!(order(&shared), expected);
        assert_eq!(order(&bodies(&store, &store.queue("own", thread.into()), 0)), expected);
    }
}

/// Several passes of the queue writer at a time, as when a topic is deleted under load, write every unit
/// once.
#[test]
#[allow(clippy::disallowed_methods, reason = "the test needs threads that race")]
fn concurrent_passes_of_the_writer() {
    const COUNT: usize = 3000;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = store.queue("a", 0);
    let sent = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !sent.load(std::sync::atomic::Ordering::Acquire) {
                    store.inner.queues.write_out().unwrap();
                }
            });
        }
        for _ in 0..COUNT {
            send(&store, &queue, b"body");
        }
        sent.store(true, std::sync::atomic::Ordering::Release);
    });
    assert_eq!(bodies(&store, &queue, 0).len(), COUNT);
    store.inner.queues.write_out().unwrap();
    assert_eq!(store.inner.queues.shared.backlog.units(), 0);
}

/// Topic, id and messages of a queue.
type Content = (String, u32, Vec<(u64, Bytes)>);

/// All that is in a store, for comparing it with itself later.
fn content(store: &Store) -> Vec<Content> {
    let mut queues = store.queues();
    queues.sort_by_key(|queue| (queue.topic().to_owned(), queue.id()));
    let all = |queue: Arc<Queue>| {
        let bodies = bodies(store, &queue, queue.min_offset());
        (queue.topic().to_owned(), queue.id(), bodies)
    };
    queues.into_iter().map(all).collect()
}

fn fill(store: &Store, from: u32, to: u32) {
    for number in from..to {
        let queue = store.queue(["a", "b", "c"][number as usize % 3], number % 2);
        send(store, &queue, &number.to_be_bytes().repeat(1 + number as usize % 90));
    }
}

/// A closed store opens as it was, goes on at the next offset, and a second opening changes nothing.
#[test]
fn reopens_after_close() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4 {
        let store = open(dir.path());
        assert_eq!(content(&store), expected);
        fill(&store, round * 50, round * 50 + 50);
        expected = content(&store);
        let found = store.query("a", Lookup::Key("k4"), 0..=i64::MAX, 64).unwrap();
        assert!(!found.is_empty());
        store.close();
        assert!(!dir.path().join("abort").exists());
    }
    let messages: usize = expected.iter().map(|(_, _, bodies)| bodies.len()).sum();
    assert_eq!(messages, 200);
}

/// After the end of the process at any moment, everything appended is there, also with the state file
/// or the consume queues gone.
#[test]
fn recovers_after_kill() {
    let env = Env::sim(1);
    let mut disk = Disk::fault(1, FaultPlan::default());
    let mut expected = Vec::new();
    for round in 0..12u32 {
        let env = Env { disk: disk.clone(), ..env.clone() };
        match round % 4 {
            1 => drop(disk.remove(Path::new("/s/apogee/state"))),
            2 => {
                for queue in disk.list(Path::new("/s/consumequeue/a")).unwrap() {
                    let dir = Path::new("/s/consumequeue/a").join(queue.name);
                    for file in disk.list(&dir).unwrap() {
                        disk.remove(&dir.join(file.name)).unwrap();
                    }
                }
            }
            _ => {}
        }
        let store = Store::open(env, StoreSettings::test_min("/s")).unwrap();
        assert_eq!(content(&store), expected, "round {round}");
        fill(&store, round * 37, round * 37 + 37);
        expected = content(&store);
        disk = disk.kill();
    }
}

/// A write that cut a queue off before, and was itself cut short in the middle of a unit, at any byte,
/// leaves no unit that is taken for one, and no hole.
#[test]
fn a_torn_end_of_a_queue() {
    for torn in 0..5 * 20 {
        let env = Env::sim(1);
        let disk = Disk::fault(1, FaultPlan::default());
        let settings = || StoreSettings { index: false, ..StoreSettings::test_min("/s") };
        let store = Store::open(Env { disk: disk.clone(), ..env.clone() }, settings()).unwrap();
        fill(&store, 0, 12);
        let expected = content(&store);
        store.close();
        let disk = disk.kill();
        let store = Store::open(Env { disk: disk.clone(), ..env.clone() }, settings()).unwrap();
        fill(&store, 12, 40);
        let all = content(&store);
        store.inner.write_derived().unwrap();
        let disk = disk.kill();
        for (topic, id, kept) in &expected {
            let end = kept.len() * 20;
            let dir = Path::new("/s/consumequeue").join(topic).join(id.to_string());
            let file = disk.open(&dir.join(format!("{:020}", end - end % 160))).unwrap();
            let len = torn.min(160 - end % 160);
            file.write_at(&vec![0; len], end as u64 % 160).unwrap();
        }
        let store = Store::open(Env { disk, ..env }, settings()).unwrap();
        assert_eq!(content(&store), all, "{torn} bytes");
    }
}

/// A store that is closed while its disk is full, so that the queues cannot be written, has made its log
/// durable all the same, and says so: a power cut takes nothing.
#[test]
fn closed_on_a_full_disk() {
    let env = Env::sim(1);
    let disk = Disk::fault(1, FaultPlan::default());
    let open = |disk: &Disk| {
        Store::open(Env { disk: disk.clone(), ..env.clone() }, StoreSettings::test_min("/s"))
    };
    let store = open(&disk).unwrap();
    send(&store, &store.queue("a", 0), b"it makes the segment");
    disk.set_plan(FaultPlan { capacity: 0, ..FaultPlan::default() });
    for _ in 0..5 {
        send(&store, &store.queue("b", 0), b"this queue gets no file");
    }
    let all = content(&store);
    store.close();
    let disk = disk.crash();
    disk.set_plan(FaultPlan::default());
    assert_eq!(content(&open(&disk).unwrap()), all);
}

/// After a power cut at any moment of a store with synchronous flush, every message that was reported
/// durable is there, at its offset, and what else is there is whole and dense.
#[test]
fn power_cut_keeps_what_was_durable() {
    for seed in 0..40 {
        let env = Env::sim(seed);
        let mut disk = Disk::fault(seed, FaultPlan::default());
        let mut durable: Vec<(u32, u64)> = Vec::new();
        for round in 0..4u32 {
            let env = Env { disk: disk.clone(), ..env.clone() };
            let flush = FlushDiskType::Sync;
            let settings = StoreSettings { flush, ..StoreSettings::test_min("/s") };
            let store = Store::open(env, settings).unwrap();
            let queue = store.queue("t", 0);
            let all = bodies(&store, &queue, 0);
            assert!(all.iter().enumerate().all(|(index, (offset, _))| index as u64 == *offset));
            for (number, offset) in &durable {
                let (_, body) = &all[usize::try_from(*offset).unwrap()];
                assert_eq!(body[..4], number.to_be_bytes(), "seed {seed} round {round}");
            }
            for number in round * 100..round * 100 + 20 {
                let mut batch = Batch::new();
                let body = number.to_be_bytes().repeat(1 + (number * 7) as usize % 200);
                push(&mut batch, &queue, &body, false);
                let appended = append(&store, batch).unwrap();
                let (offset, _) = appended.offsets().next().unwrap();
                // The last ones are not waited for: the power goes while they are on their way.
                if number % 100 < 15 {
                    assert_eq!(wait(store.durable(appended.end)), Durability::Durable);
                    durable.push((number, offset));
                }
            }
            disk = disk.crash();
        }
    }
}

/// A topic is deleted though one of its queues was only asked for and never written: such a queue has no
/// directory.
#[test]
fn a_queue_without_files_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (written, asked) = (store.queue("T", 0), store.queue("T", 1));
    send(&store, &written, b"x");
    store.delete_topic("T").unwrap();
    assert_eq!((written.min_offset(), written.max_offset()), (1, 1));
    assert_eq!(asked.max_offset(), 0);
    store.close();
}

/// Expired segments are deleted when the disk is used beyond the ratio, never the newest; what is left of
/// each queue starts at its lowest offset, and the store opens again so.
#[test]
fn retention_moves_the_lowest_offset() {
    let env = Env::fault(3, FaultPlan::default());
    let settings = StoreSettings { retention_hours: 0, ..StoreSettings::test_min("/s") };
    let store = Store::open(env.clone(), settings.clone()).unwrap();
    fill(&store, 0, 120);
    let before = content(&store);
    let segments = store.watermarks().appended / 4096 + 1;
    store.inner.write_derived().unwrap();
    while store.inner.log.segments().0.len() > 2 {
        store.inner.delete_old(100).unwrap();
    }
    assert!(segments > 5);
    let after = content(&store);
    for ((_, _, all), (topic, id, kept)) in before.iter().zip(&after) {
        assert!(all.ends_with(kept) && kept.len() < all.len(), "{topic}/{id}");
        let queue = store.queue(topic, *id);
        assert_eq!(queue.min_offset(), queue.max_offset() - kept.len() as u64);
        assert_eq!(get(&store, &queue, 0).status, GotStatus::OffsetTooSmall);
    }
    store.close();
    let store = Store::open(env, settings).unwrap();
    assert_eq!(content(&store), after);
}

/// A deletion on request does not wait for its hour nor for a full disk, leaves what is not past its time,
/// and follows a change of that time while running.
#[test]
fn deletion_on_request_follows_the_live_settings() {
    let env = Env::fault(5, FaultPlan::default());
    let settings =
        StoreSettings { delete_when: "never".to_owned(), ..StoreSettings::test_min("/s") };
    let store = Store::open(env, settings.clone()).unwrap();
    fill(&store, 0, 120);
    store.inner.write_derived().unwrap();
    let all = content(&store);
    store.delete_expired().unwrap();
    store.inner.delete_old(50).unwrap();
    assert_eq!(content(&store), all);
    store.change_settings(StoreSettings { retention_hours: 0, ..settings });
    assert_eq!(store.live_settings().retention_hours, 0);
    store.inner.delete_old(50).unwrap();
    assert_eq!(content(&store), all);
    store.delete_expired().unwrap();
    store.clean_queues().unwrap();
    let left = store.inner.log.segments().0.len();
    assert!((1..3).contains(&left), "{left} segments");
    assert_ne!(content(&store), all);
}

/// With a log in a directory of its own everything happens there: it is written, recovered after a
/// power cut, verified, and deleted when its time has come; nothing is made in the usual place.
#[test]
fn a_log_in_a_directory_of_its_own() {
    let env = Env::fault(7, FaultPlan::default());
    let settings = StoreSettings {
        log_path: crate::LogPath::new("/disk-2/log"),
        flush: FlushDiskType::Sync,
        retention_hours: 0,
        ..StoreSettings::test_min("/s")
    };
    let store = Store::open(env.clone(), settings.clone()).unwrap();
    fill(&store, 0, 60);
    assert_eq!(wait(store.durable(store.watermarks().appended)), Durability::Durable);
    let all = content(&store);
    drop(store);

    let env = env.crash();
    let store = Store::open(env.clone(), settings.clone()).unwrap();
    assert_eq!(content(&store), all);
    store.inner.write_derived().unwrap();
    let files = |dir: &str| env.disk.list(Path::new(dir)).unwrap().len();
    let before = files("/disk-2/log");
    store.inner.delete_old(100).unwrap();
    assert!(files("/disk-2/log") < before);
    let left = content(&store);
    store.close();

    let report = crate::inspect::verify(&env.disk, &settings).unwrap();
    assert!(report.records > 0 && report.problem_count == 0, "{report}");
    assert!(!env.disk.exists(Path::new("/s/commitlog")).unwrap());
    let store = Store::open(env, settings).unwrap();
    assert_eq!(content(&store), left);
}

/// A directory whose log is in the usual place is not opened with an empty one elsewhere, and is
/// when the files have been moved there; several directories are refused as such.
#[test]
fn a_log_is_not_left_behind() {
    let env = Env::sim(1);
    let usual = StoreSettings::test_min("/s");
    let store = Store::open(env.clone(), usual.clone()).unwrap();
    fill(&store, 0, 3);
    let all = content(&store);
    store.close();

    let moved = StoreSettings { log_path: crate::LogPath::new("/log"), ..usual };
    let error = Store::open(env.clone(), moved.clone()).err().unwrap().to_string();
    let expected = "storePathCommitLog: /log has no files, but /s/commitlog has: move them there, or remove this key";
    assert_eq!(error, expected);
    env.disk.rename(Path::new("/s/commitlog"), Path::new("/log")).unwrap();
    let store = Store::open(env, moved).unwrap();
    assert_eq!(content(&store), all);

    let error = <crate::LogPath as env::settings::Value>::parse("/a,/b").unwrap_err();
    assert!(error.starts_with("one directory; "), "{error}");
}
