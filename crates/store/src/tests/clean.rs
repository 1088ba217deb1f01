//! What follows the start of the log: queues and index.

use std::sync::Arc;

use env::Env;
use env::disk::FaultPlan;

use super::{fill, send};
use crate::{AppendError, Reader, Store, StoreSettings};

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
