//! What follows the start of the log: queues and index.

use std::sync::Arc;

use env::Env;
use env::disk::FaultPlan;

use super::{append, bodies, fill, push, send};
use crate::{AppendError, Batch, Reader, Store, StoreSettings, limits};

/// Where a queue starts is known without a look at its files, after a deletion and when the store is opened:
/// readers ask for it where nothing may wait for the device.
#[test]
fn the_lowest_offset_needs_no_read() {
    let env = Env::fault(3, FaultPlan::default());
    let settings = StoreSettings { retention_hours: 0, ..StoreSettings::test_min("/s") };
    let store = Store::open(env.clone(), settings.clone()).unwrap();
    let topics = ["a", "b"];
    let sent: Vec<_> = (0..120)
        .map(|number| send(&store, &store.queue(topics[number % 2], 0), &vec![1; 2 * number]))
        .collect();
    store.inner.write_derived().unwrap();
    let starts_at = |store: &Store, log_min: u64| {
        env.disk.set_plan(FaultPlan { read_error: 1, ..FaultPlan::default() });
        for (which, topic) in topics.into_iter().enumerate() {
            let mut here = sent.iter().skip(which).step_by(2);
            let first = here.find(|(_, physical)| *physical >= log_min).map(|(offset, _)| *offset);
            assert_eq!(Some(store.queue(topic, 0).min_offset()), first, "{topic}");
        }
        env.disk.set_plan(FaultPlan::default());
    };
    starts_at(&store, 0);
    store.delete_expired().unwrap();
    let log_min = store.watermarks().min;
    assert!(log_min > 0);
    starts_at(&store, log_min);
    store.close();
    starts_at(&Store::open(env.clone(), settings).unwrap(), log_min);
}

/// A queue whose messages are all gone keeps its newest file, also one that is full to the last entry: else the next
/// start would not know where the queue goes on.
#[test]
fn the_newest_file_of_a_queue_stays() {
    let env = Env::fault(5, FaultPlan::default());
    let settings = StoreSettings { retention_hours: 0, ..StoreSettings::test_min("/s") };
    let store = Store::open(env.clone(), settings.clone()).unwrap();
    let old = store.queue("old", 0);
    // Two files of eight entries.
    (0..16).for_each(|offset| assert_eq!(send(&store, &old, b"old").0, offset));
    (0..40).for_each(|_| _ = send(&store, &store.queue("new", 0), &[1; 200]));
    store.inner.write_derived().unwrap();
    store.delete_expired().unwrap();
    assert_eq!((old.min_offset(), old.max_offset(), old.files.first()), (16, 16, Some(8)));
    drop(old);
    store.close();
    let store = Store::open(env, settings).unwrap();
    assert_eq!(send(&store, &store.queue("old", 0), b"new").0, 16);
}

/// Entries that are in memory yet are not taken for gone because the file that they belong to lacks them.
#[test]
fn the_file_of_entries_in_memory_stays() {
    let env = Env::fault(6, FaultPlan::default());
    let store = Store::open(env, StoreSettings::test_min("/s")).unwrap();
    let queue = store.queue("a", 0);
    (0..5).for_each(|_| _ = send(&store, &queue, b"written"));
    store.inner.write_derived().unwrap();
    (0..7).for_each(|_| _ = send(&store, &queue, b"in memory"));
    assert_eq!(queue.expire(|_| false).unwrap(), 0);
    store.inner.write_derived().unwrap();
    assert_eq!(bodies(&store, &queue, 0).len(), 12);
}

/// Where the messages from some place in the log on begin in a queue is found around entries that damage has made
/// blank and files that are missing, wherever they are.
#[test]
fn blanks_hide_no_messages_before_them() {
    const BLANK: [u8; 20] = [0, 0, 0, 0, 0, 0, 0, 0, 127, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0];
    let env = Env::fault(9, FaultPlan::default());
    let store = Store::open(env.clone(), StoreSettings::test_min("/s")).unwrap();
    let queue = store.queue("a", 0);
    let sent: Vec<u64> = (0..32).map(|_| send(&store, &queue, b"x").1).collect();
    store.inner.write_derived().unwrap();
    let check = |hole: std::ops::Range<usize>| {
        let left = |at: &usize| !hole.contains(at);
        for from in sent.iter().copied().chain([u64::MAX]) {
            let first = (0..32).filter(left).find(|at| sent[*at] >= from).unwrap_or(32);
            let found = queue.partition(0, 32, |unit| unit.physical < from).unwrap();
            assert_eq!(found, first as u64, "from {from}, hole {hole:?}");
        }
    };
    for hole in (0..32).flat_map(|start| [1, 3, 9].map(|len| start..(start + len).min(32))) {
        let file = |at: usize| env.disk.open(&queue.files.path(at as u64 / 8 * 8)).unwrap();
        let units: Vec<[u8; 20]> = hole
            .clone()
            .map(|at| {
                let mut unit = [0; 20];
                file(at).read_exact_at(&mut unit, at as u64 % 8 * 20).unwrap();
                file(at).write_at(&BLANK, at as u64 % 8 * 20).unwrap();
                unit
            })
            .collect();
        check(hole.clone());
        for (at, unit) in hole.zip(units) {
            file(at).write_at(&unit, at as u64 % 8 * 20).unwrap();
        }
    }
    queue.files.close();
    env.disk.remove(&queue.files.path(8)).unwrap();
    check(8..16);
}

/// The end of a queue that has been raised, as by the deletion of its topic, is not lowered by what was appended
/// before and is synced only now.
#[test]
fn the_end_of_a_queue_is_never_lowered() {
    let env = Env::fault(7, FaultPlan::default());
    let store = Store::open(env, StoreSettings::test_min("/s")).unwrap();
    let queue = store.queue("a", 0);
    (0..5).for_each(|_| _ = send(&store, &queue, b"x"));
    queue.publish(3, &mut Vec::new());
    assert_eq!(queue.max_offset(), 5);
}

/// While queues are too far behind, the store says that it refuses everything, as it does.
#[test]
fn queues_behind_are_a_refusal() {
    let env = Env::fault(8, FaultPlan::default());
    let store = Store::open(env, StoreSettings::test_min("/s")).unwrap();
    assert!(store.refusal().is_none());
    (0..=limits::UNITS_IN_MEMORY).for_each(|_| store.inner.queues.shared.backlog.count());
    assert!(matches!(store.refusal(), Some(AppendError::Busy { .. })));
    let mut batch = Batch::new();
    push(&mut batch, &store.queue("a", 0), b"x", false);
    assert!(matches!(append(&store, batch), Err(AppendError::Busy { .. })));
}

/// A queue file that cannot be read, or that somebody has removed, keeps neither the other queues and the index
/// from being cleaned up nor the reserve from being looked after.
#[test]
fn a_bad_queue_file_stops_nothing_else() {
    const CAPACITY: u64 = 1 << 30;
    let plan = |foreign| FaultPlan { capacity: CAPACITY, foreign, ..FaultPlan::default() };
    for missing in [true, false] {
        let env = Env::fault(4, plan(0));
        let mut settings = StoreSettings::test_min("/s");
        settings.retention_hours = 0;
        settings.delete_when = crate::Hours::default();
        let store = Store::open(env.clone(), settings).unwrap();
        fill(&store, 0, 160);
        store.inner.write_derived().unwrap();
        // Else the file's sync fails, which ends the store.
        store.inner.checkpoint(false).unwrap();
        // One that is behind in all queues.
        let reader = || Reader { name: "G".to_owned(), next: 0 };
        store.set_readers(Arc::new(move |_: &str, _| vec![reader()]));
        let bad = store.queue("a", 0);
        let file = bad.files.path(0);
        bad.files.close();
        env.disk.remove(&file).unwrap();
        if !missing {
            env.disk.create_dir_all(&file).unwrap();
        }
        let index_files = || env.disk.list("/s/index".as_ref()).unwrap().len();
        let before = index_files();
        env.disk.set_plan(plan(CAPACITY));
        env.clock.advance(std::time::Duration::from_secs(10));
        store.inner.keep_disk();
        let case = if missing { "missing" } else { "unreadable" };
        assert!(matches!(store.refusal(), Some(AppendError::DiskFull(_))), "{case}: reserve");
        for queue in store.queues() {
            let starts_later = queue.files.first() > Some(0);
            let may = missing || (queue.topic(), queue.id()) != ("a", 0);
            assert_eq!(starts_later, may, "{case}: {}/{}", queue.topic(), queue.id());
        }
        assert!(index_files() < before, "{case}: index");
    }
}
