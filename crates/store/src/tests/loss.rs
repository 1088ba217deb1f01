//! The crash-loss table of the reference's users: each test names the threads of RocketMQ that it answers.
//!
//! Wait for replication, of which there is none yet: #5663 (acknowledged by one replica while the set of
//! replicas grows), the part of #7689 and #6609 that is about a confirm offset, the part of #10666 that
//! is about a slave following a new master. What a single store can do wrong of them is below.

use std::path::Path;

use env::disk::FaultPlan;
use env::{Disk, Env};

use super::{append, bodies, content, fill, get, push, send, wait};
use crate::{Batch, Durability, FlushDiskType, GotStatus, Lookup, Store, StoreSettings};

fn on(disk: &Disk) -> Env {
    Env { disk: disk.clone(), ..Env::sim(1) }
}

fn sync_store(disk: &Disk) -> Store {
    let settings = StoreSettings { flush: FlushDiskType::Sync, ..StoreSettings::test_min("/s") };
    Store::open(on(disk), settings).unwrap()
}

fn async_store(disk: &Disk) -> Store {
    Store::open(on(disk), StoreSettings::test_min("/s")).unwrap()
}

/// Sends a message and waits until it is durable.
fn send_durably(store: &Store, topic: &str, body: &[u8]) {
    let mut batch = Batch::new();
    push(&mut batch, &store.queue(topic, 0), body, false);
    let appended = append(store, batch).unwrap();
    assert_eq!(wait(store.durable(appended.end)), Durability::Durable);
}

/// Removes a directory with all that is in it.
fn remove_all(disk: &Disk, dir: &Path) {
    for entry in disk.list(dir).unwrap() {
        let path = dir.join(entry.name);
        if entry.is_dir { remove_all(disk, &path) } else { disk.remove(&path).unwrap() }
    }
    disk.remove(dir).unwrap();
}

/// #405, #467 (PR #501), #1434: the power goes after the log was synced and before queues and index were
/// written, or with none of their files left: each durable message is in its queue and under its key,
/// since recovery starts where all of them were synced, not at the last file.
#[test]
fn loss_405_467_1434_log_synced_queues_not() {
    for seed in 0..10 {
        let disk = Disk::fault(seed, FaultPlan::default());
        let store = sync_store(&disk);
        let queues = ["a", "b"];
        let body = |number: usize| vec![number as u8; 100 + number];
        for number in 0..60 {
            send_durably(&store, queues[number % 2], &body(number));
        }
        let disk = disk.crash();
        drop(store);
        if seed % 2 == 0 {
            for derived in ["/s/consumequeue", "/s/index"] {
                remove_all(&disk, Path::new(derived));
            }
        }
        let store = sync_store(&disk);
        for (which, topic) in queues.into_iter().enumerate() {
            let all = bodies(&store, &store.queue(topic, 0), 0);
            let expected: Vec<_> = (0..60).filter(|number| number % 2 == which).map(body).collect();
            assert_eq!(all.len(), expected.len(), "seed {seed}");
            assert!(all.iter().zip(&expected).all(|((_, body), expected)| body == expected));
        }
        // Keys are read back behind the start.
        store.inner.write_derived().unwrap();
        for number in 0..60 {
            let (topic, key) = (queues[number % 2], format!("k{}", 100 + number));
            let found = store.query(topic, Lookup::Key(&key), 0..=i64::MAX, 64).unwrap();
            assert_eq!(found.len(), 1, "seed {seed}: {key}");
        }
    }
}

/// #678: a checkpoint claims nothing that is not synced: whenever it is made, and whatever a power cut
/// leaves of what was not, queues and index are complete afterwards.
#[test]
fn loss_678_checkpoints_claim_what_is_synced() {
    for seed in 0..20 {
        let disk = Disk::fault(seed, FaultPlan::default());
        let store = sync_store(&disk);
        for number in 0..60usize {
            send_durably(&store, "a", &vec![1; 100 + number]);
            if number % 7 == seed as usize % 7 {
                store.inner.write_derived().unwrap();
            }
            if number % 19 == seed as usize % 19 {
                store.inner.checkpoint(false).unwrap();
            }
        }
        let disk = disk.crash();
        drop(store);
        let store = sync_store(&disk);
        assert_eq!(bodies(&store, &store.queue("a", 0), 0).len(), 60, "seed {seed}");
        for number in 0..60 {
            let key = format!("k{}", 100 + number);
            let found = store.query("a", Lookup::Key(&key), 0..=i64::MAX, 64).unwrap();
            assert_eq!(found.len(), 1, "seed {seed}: {key}");
        }
    }
}

/// #8239: with synchronous flush a reader is never past what is durable, however slow the device is: an
/// offset that it could have committed is not beyond the queue after a power cut.
#[test]
fn loss_8239_readers_stay_behind_the_sync() {
    for seed in 0..20 {
        let disk = Disk::fault(seed, FaultPlan { slow_sync: 2, ..FaultPlan::default() });
        let store = sync_store(&disk);
        let queue = store.queue("a", 0);
        for number in 0..20usize {
            let mut batch = Batch::new();
            push(&mut batch, &queue, &vec![1; 50 + number], false);
            append(&store, batch).unwrap();
        }
        let read = bodies(&store, &queue, 0);
        let max = queue.max_offset();
        assert!(read.len() as u64 <= max);
        let disk = disk.crash();
        drop((queue, store));
        let store = sync_store(&disk);
        let after = bodies(&store, &store.queue("a", 0), 0);
        assert!(
            after.len() as u64 >= max,
            "seed {seed}: {max} could be read, {} are left",
            after.len()
        );
        assert!(after.starts_with(&read), "seed {seed}");
    }
}

/// #7689, #6609: after a crash queue offsets go on behind the last message that is left in the log,
/// before anything is accepted: none is used twice, none is left out.
#[test]
fn loss_7689_6609_offsets_follow_the_log_that_is_left() {
    for seed in 0..20 {
        let mut disk = Disk::fault(seed, FaultPlan::default());
        for round in 0..4u8 {
            let store = async_store(&disk);
            let queue = store.queue("a", 0);
            let left = bodies(&store, &queue, 0);
            assert_eq!(queue.max_offset(), left.len() as u64);
            let sent = send(&store, &queue, &[round; 80]);
            assert_eq!(sent.0, left.len() as u64, "seed {seed} round {round}");
            for number in 0..30 {
                send(&store, &queue, &vec![round; 81 + number]);
            }
            store.inner.write_derived().unwrap();
            let all = bodies(&store, &queue, 0);
            assert!(all.starts_with(&left) && all.len() == left.len() + 31);
            drop((queue, store));
            disk = if round % 2 == 0 { disk.crash() } else { disk.kill() };
        }
        drop(async_store(&disk));
        let disk = disk.kill();
        let report = crate::inspect::verify(&disk, &StoreSettings::test_min("/s")).unwrap();
        assert_eq!(report.problem_count, 0, "seed {seed}: {report}");
    }
}

/// #10666 (PR #10816): what recovery cuts off is gone for good: after the next crash, and behind new
/// messages that end exactly where an old one begins, nothing of it is taken for a message.
#[test]
fn loss_10666_what_is_cut_off_stays_cut_off() {
    for seed in 0..40 {
        let disk = Disk::fault(seed, FaultPlan::default());
        let store = async_store(&disk);
        let queue = store.queue("a", 0);
        for number in 0..8 {
            send(&store, &queue, &[number; 64]);
        }
        let disk = disk.crash();
        drop((queue, store));
        let store = async_store(&disk);
        let kept = bodies(&store, &store.queue("a", 0), 0);
        drop(store);
        let disk = if seed % 2 == 0 { disk.crash() } else { disk.kill() };
        let store = async_store(&disk);
        let queue = store.queue("a", 0);
        assert_eq!(bodies(&store, &queue, 0), kept, "seed {seed}");
        send(&store, &queue, &[99; 64]);
        let now = bodies(&store, &queue, 0);
        let disk = disk.kill();
        drop((queue, store));
        let store = async_store(&disk);
        assert_eq!(bodies(&store, &store.queue("a", 0), 0), now, "seed {seed}");
    }
}

/// #7355, #467: consume queues that someone has removed, one, all, or the first or last file of one, are
/// derived again from the log at the next start, and the others serve on.
#[test]
fn loss_7355_467_removed_queues_come_back() {
    for case in ["one", "all", "first file", "last file"] {
        let disk = Disk::fault(1, FaultPlan::default());
        let store = async_store(&disk);
        fill(&store, 0, 120);
        let all = content(&store);
        store.close();
        let queue = Path::new("/s/consumequeue/a/0");
        let files = disk.list(queue).unwrap();
        assert!(files.len() > 1);
        match case {
            "one" => remove_all(&disk, queue),
            "all" => remove_all(&disk, Path::new("/s/consumequeue")),
            "first file" => disk.remove(&queue.join(&files[0].name)).unwrap(),
            _ => disk.remove(&queue.join(&files[files.len() - 1].name)).unwrap(),
        }
        let disk = disk.kill();
        let store = async_store(&disk);
        assert_eq!(content(&store), all, "{case}");
        fill(&store, 120, 126);
        let more = content(&store);
        assert!(more.iter().zip(&all).all(|(now, before)| now.2.starts_with(&before.2)));
        store.close();
        let disk = disk.kill();
        assert_eq!(content(&async_store(&disk)), more, "{case}, opened again");
    }
}

/// #1568, #10108: a damaged record in the middle of the log neither keeps the store from starting nor
/// from serving all others, now and at the next start: consumers are led over it, and what is sent goes
/// on behind the last.
#[test]
fn loss_1568_10108_a_damaged_record_is_skipped() {
    // A full index file would make a checkpoint, behind which recovery does not look.
    let open = |disk: &Disk| {
        let settings = StoreSettings { index: false, ..StoreSettings::test_min("/s") };
        Store::open(on(disk), settings).unwrap()
    };
    let mut disk = Disk::fault(1, FaultPlan::default());
    let store = open(&disk);
    let queue = store.queue("a", 0);
    let places: Vec<_> = (0..60).map(|_| send(&store, &queue, &[5; 200])).collect();
    let bad = places.iter().position(|(_, physical)| *physical > 4096 + 1000).unwrap();
    disk = disk.kill();
    drop((queue, store));
    let segment = disk.open(Path::new("/s/commitlog/00000000000000004096")).unwrap();
    segment.write_at(b"damage", places[bad].1 - 4096 + 120).unwrap();
    let expected: Vec<u64> = (0..60).filter(|offset| *offset != bad as u64).collect();
    for _ in 0..2 {
        let store = open(&disk);
        let queue = store.queue("a", 0);
        let offsets: Vec<u64> = bodies(&store, &queue, 0).iter().map(|(at, _)| *at).collect();
        assert_eq!(offsets, expected);
        let got = get(&store, &queue, bad as u64);
        assert_eq!((got.status, got.min, got.max), (GotStatus::Found, 0, 60));
        disk = disk.kill();
    }
    let store = open(&disk);
    assert_eq!(send(&store, &store.queue("a", 0), b"x").0, 60);
}

/// #2140: a missing file of the log never shifts what is read. The first one missing: pulls below are told
/// where the queue begins now. One in the middle: the start is refused with the place of the gap, and goes
/// on when what is before it is removed, as the text says.
#[test]
fn loss_2140_a_missing_file_is_a_gap() {
    for missing in [0, 2] {
        let disk = Disk::fault(1, FaultPlan::default());
        let store = async_store(&disk);
        fill(&store, 0, 120);
        let all = content(&store);
        store.close();
        let log = Path::new("/s/commitlog");
        let name = |index: u64| log.join(format!("{:020}", index * 4096));
        disk.remove(&name(missing)).unwrap();
        let disk = disk.kill();
        if missing > 0 {
            let error = Store::open(on(&disk), StoreSettings::test_min("/s")).err().unwrap();
            let text = "the commit log has a gap before it, from 8192 on: restore the missing files, or remove the files before the gap";
            assert!(error.to_string().ends_with(text), "{error}");
            (0..missing).for_each(|index| disk.remove(&name(index)).unwrap());
        }
        let store = async_store(&disk);
        for ((topic, id, before), (_, _, left)) in all.iter().zip(&content(&store)) {
            assert!(before.ends_with(left) && left.len() < before.len(), "{topic}/{id}");
            let got = get(&store, &store.queue(topic, *id), 0);
            assert_eq!((got.status, got.next), (GotStatus::OffsetTooSmall, left[0].0));
        }
    }
}
