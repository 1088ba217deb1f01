//! What follows the start of the log: queues and index.

use env::Env;
use env::disk::FaultPlan;

use super::send;
use crate::{Store, StoreSettings};

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
