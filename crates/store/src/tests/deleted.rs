//! Topics that were deleted, while the log still holds what they held.

use std::path::Path;

use env::disk::FaultPlan;
use env::{Disk, Env};

use super::{bodies, send};
use crate::{Store, StoreSettings};

fn open(disk: &Disk) -> Store {
    let env = Env { disk: disk.clone(), ..Env::sim(1) };
    Store::open(env, StoreSettings::test_min("/s")).unwrap()
}

/// How a store ends, and what is removed then.
#[derive(Debug, Clone, Copy)]
enum End {
    Closed,
    Killed,
    PowerCut,
    WithoutQueues,
}

fn end(store: Store, disk: &Disk, how: End) -> Disk {
    match how {
        End::Killed => return disk.kill(),
        End::PowerCut => {
            // What was not durable may be lost, and this is not about that.
            (0..2).for_each(|_| store.inner.sync_log());
            return disk.crash();
        }
        End::Closed | End::WithoutQueues => store.close(),
    }
    let disk = disk.kill();
    if let End::WithoutQueues = how {
        let root = Path::new("/s/consumequeue");
        for topic in disk.list(root).unwrap() {
            for id in disk.list(&root.join(&topic.name)).unwrap() {
                let dir = root.join(&topic.name).join(id.name);
                let files = disk.list(&dir).unwrap();
                files.iter().for_each(|file| disk.remove(&dir.join(&file.name)).unwrap());
            }
        }
    }
    disk
}

/// A deleted topic does not come back with its messages from the log, however the store ends; created
/// again, it goes on counting where it was, and keeps what it gets from then on.
#[test]
fn stay_deleted() {
    for first in [End::Closed, End::Killed, End::PowerCut, End::WithoutQueues] {
        for second in [End::Closed, End::Killed, End::WithoutQueues] {
            let disk = Disk::fault(1, FaultPlan::default());
            let store = open(&disk);
            let queue = store.queue("gone", 2);
            (0..10).for_each(|offset| assert_eq!(send(&store, &queue, b"old").0, offset));
            send(&store, &store.queue("stays", 0), b"other");
            store.delete_topic("gone").unwrap();
            let disk = end(store, &disk, first);

            let store = open(&disk);
            let place = || format!("{first:?}, then {second:?}");
            let queue = store.queue("gone", 2);
            assert_eq!(bodies(&store, &queue, 0), [], "{}", place());
            assert_eq!(bodies(&store, &store.queue("stays", 0), 0).len(), 1, "{}", place());
            assert_eq!(send(&store, &queue, b"new").0, 10, "{}", place());
            let disk = end(store, &disk, second);

            let store = open(&disk);
            let queue = store.queue("gone", 2);
            let found = bodies(&store, &queue, queue.min_offset());
            assert_eq!(found, [(10, "new".into())], "{}", place());
        }
    }
}

/// A power cut may take the end of the log back, behind which a topic was deleted: what is written there
/// next counts.
#[test]
fn what_follows_a_lost_end_is_not_deleted() {
    let disk = Disk::fault(1, FaultPlan::default());
    let env = |disk: &Disk| Env { disk: disk.clone(), ..Env::sim(1) };
    let settings =
        || StoreSettings { flush_interval_ms: 3_600_000, ..StoreSettings::test_min("/s") };
    let store = Store::open(env(&disk), settings()).unwrap();
    let queue = store.queue("t", 0);
    (0..10).for_each(|offset| assert_eq!(send(&store, &queue, b"lost").0, offset));
    store.delete_topic("t").unwrap();
    let disk = disk.crash();
    let store = Store::open(env(&disk), settings()).unwrap();
    assert_eq!(store.watermarks().appended, 0);
    send(&store, &store.queue("t", 0), b"new");
    let disk = disk.kill();
    let store = Store::open(env(&disk), settings()).unwrap();
    let queue = store.queue("t", 0);
    assert_eq!(bodies(&store, &queue, queue.min_offset()).len(), 1);
}
