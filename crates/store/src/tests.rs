//! The store as a whole, on small files. Here: appending and reading; beside: by subject.

mod clean;
mod deleted;
mod format;
mod log_dir;
mod loss;
mod no_space;
mod recovery;
mod slow;
mod space;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use env::Env;
use futures_util::FutureExt as _;
use wire::record::{PropertyCrc, RecordHead, RecordView, RecordWriter};

use crate::{
    AppendError, Appended, Batch, Get, Got, GotStatus, Keys, NewRecord, Queue, Store,
    StoreSettings, Tags, Want,
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
    let keys = Keys { unique: Some(b"u"), keys: Some(key.as_bytes()), tag: Some(b"TagA") };
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

/// Store-format check 7: a group stays in one segment, the others go where they fit; what fits in no
/// segment is refused.
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

/// The first batch of a new log may fill several files.
#[test]
fn a_first_batch_of_several_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let queue = store.queue("t", 0);
    let mut batch = Batch::new();
    (0..10).for_each(|_| push(&mut batch, &queue, &[1; 1000], false));
    let appended = append(&store, batch).unwrap();
    let last = appended.offsets().last().unwrap();
    assert!(last.0 == 9 && last.1 > 2 * 4096, "{last:?}");
    assert_eq!(bodies(&store, &queue, 0).len(), 10);
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
