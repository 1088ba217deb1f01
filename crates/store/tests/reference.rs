//! Directories that Apache RocketMQ 5.4.0 wrote, opened by this store: the same queues, messages, times
//! and keys as the reference itself reported for them (`fixtures/*.json`).
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test that unpacks archives")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use env::{Disk, Env};
use serde_json::Value;
use store::{Bound, Get, GotStatus, Lookup, Queue, Store, StoreSettings, Want, inspect};
use wire::record::RecordView;

struct Fixture {
    dir: tempfile::TempDir,
    expected: Value,
}

impl Fixture {
    fn unpack(name: &str) -> Fixture {
        let files = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let dir = tempfile::tempdir().unwrap();
        let archive = files.join(format!("{name}.tar.gz"));
        let tar = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(dir.path()).status();
        assert!(tar.unwrap().success());
        let text = std::fs::read(files.join(format!("{name}.json"))).unwrap();
        Fixture { dir, expected: serde_json::from_slice(&text).unwrap() }
    }

    fn settings(&self) -> StoreSettings {
        let set = &self.expected["settings"];
        let number = |key: &str| set[key].as_str().unwrap().parse::<u64>().unwrap();
        StoreSettings {
            root: root_of(self.dir.path()),
            segment_bytes: number("mappedFileSizeCommitLog"),
            queue_file_bytes: number("mappedFileSizeConsumeQueue"),
            index_slots: number("maxHashSlotNum") as u32,
            index_items: number("maxIndexNum") as u32,
            disk_reserve_bytes: 1,
            retention_hours: 800_000,
            ..StoreSettings::default()
        }
    }
}

/// The archive holds the store itself, or one directory with it.
fn root_of(dir: &Path) -> PathBuf {
    if dir.join("commitlog").exists() {
        return dir.to_owned();
    }
    let inner = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    inner.into_iter().find(|path| path.join("commitlog").exists()).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap()
}

fn queue(store: &Store, value: &Value) -> Arc<Queue> {
    let (topic, id) = (text(value, "topic"), number(value, "queue") as u32);
    store.find_queue(topic, id).unwrap_or_else(|| panic!("no queue {topic}/{id}"))
}

async fn read(store: &Store, queue: &Arc<Queue>, offset: u64) -> Vec<u8> {
    loop {
        let want = Want { max_messages: 1, max_bytes: 1 };
        let got = match store.get(queue, offset, want, &|_| true).unwrap() {
            Get::Ready(got) => got,
            Get::Cold(cold) => cold.await.unwrap(),
        };
        match got.status {
            GotStatus::Again => {}
            GotStatus::Found => return got.slices[0].to_vec(),
            other => panic!("{other:?} at {offset} of {}/{}", queue.topic(), queue.id()),
        }
    }
}

async fn check(store: &Store, expected: &Value) {
    for entry in expected["queues"].as_array().unwrap() {
        let queue = queue(store, entry);
        let range = (queue.min_offset(), queue.max_offset());
        assert_eq!(range, (number(entry, "min"), number(entry, "max")), "{entry}");
    }
    for message in expected["messages"].as_array().unwrap() {
        let record = read(store, &queue(store, message), number(message, "offset")).await;
        let view = RecordView::parse(&record).unwrap();
        assert_eq!(view.physical_offset(), number(message, "physical"));
        assert_eq!(view.size() as u64, number(message, "size"));
        assert_eq!(view.queue_offset(), number(message, "offset"));
        assert_eq!(view.store_timestamp() as u64, number(message, "stored"));
        let by_offset = store.record(view.physical_offset()).unwrap().unwrap();
        assert_eq!(by_offset[..], record[..]);
    }
    for search in expected["times"].as_array().unwrap() {
        let (queue, at) = (queue(store, search), number(search, "timestamp") as i64);
        let found = |bound| store.search_time(&queue, at, bound).unwrap();
        assert_eq!(found(Bound::Lower), number(search, "lower"), "lower {search}");
        assert_eq!(found(Bound::Upper), number(search, "upper"), "upper {search}");
    }
    for entry in expected["keys"].as_array().unwrap() {
        let key = text(entry, "key");
        let lookup = if text(entry, "type") == "T" { Lookup::Tag(key) } else { Lookup::Key(key) };
        let found = store.query(text(entry, "topic"), lookup, 0..=i64::MAX, 32).unwrap();
        let mut found: Vec<u64> =
            found.iter().map(|r| RecordView::parse(r).unwrap().physical_offset()).collect();
        found.reverse();
        let mut want: Vec<u64> =
            entry["physical"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect();
        // The reference's own recovery may index a record twice.
        want.dedup();
        assert_eq!(found, want, "{entry}");
    }
}

async fn opens(name: &str) {
    let fixture = Fixture::unpack(name);
    let settings = fixture.settings();
    let store = Store::open(Env::real(), settings.clone()).unwrap();
    check(&store, &fixture.expected).await;
    store.close();
    let report = inspect::verify(&Disk::real(), &settings).unwrap();
    assert_eq!(report.problems, Vec::<String>::new(), "{report}");
    assert!(report.closed && report.records > 0);
    // Our own state is used now, and says the same.
    let store = Store::open(Env::real(), settings).unwrap();
    check(&store, &fixture.expected).await;
    store.close();
}

/// Store-format check 1: a directory that the reference closed: everything is found as it reported it.
#[tokio::test]
async fn closed() {
    opens("clean").await;
}

/// Store-format check 3: a directory whose reference was killed under way: everything that was in its log is found, also what
/// its queues and its index did not hold yet.
#[tokio::test]
async fn killed() {
    opens("killed").await;
}

/// Store-format check 9: records with hosts of 16 bytes.
#[tokio::test]
async fn ipv6_hosts() {
    opens("ipv6").await;
}

/// Store-format check 10: records that end in a checksum of their own.
#[tokio::test]
async fn property_checksums() {
    opens("prop_crc").await;
}

/// Verification reads the reference's own files without a problem, and finds damage to any of them.
#[test]
fn verify_finds_damage() {
    let fixture = Fixture::unpack("clean");
    let (disk, settings) = (Disk::real(), fixture.settings());
    let report = inspect::verify(&disk, &settings).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let flip = |file: &str, at: u64| {
        let file = disk.open(&settings.root.join(file)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        byte[0] ^= 1;
        file.write_at(&byte, at).unwrap();
        let count = inspect::verify(&disk, &settings).unwrap().problem_count;
        byte[0] ^= 1;
        file.write_at(&byte, at).unwrap();
        count
    };
    let queue = "consumequeue/Orders/0/00000000000000000000";
    for at in [7, 11, 19] {
        assert_eq!(flip(queue, at), 1, "byte {at} of a unit");
    }
    assert!(flip("commitlog/00000000000000000000", 4) > 0, "a record's magic");
    assert!(flip("commitlog/00000000000000000000", 90) > 0, "a record's body");
    assert_eq!(inspect::verify(&disk, &settings).unwrap().problem_count, 0);
}
