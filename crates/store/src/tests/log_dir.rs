//! A log in a directory of its own.

use std::path::Path;

use env::Env;
use env::disk::FaultPlan;

use super::{content, fill, wait};
use crate::{Durability, FlushDiskType, OpenError, Store, StoreSettings};

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
    store.delete_expired().unwrap();
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

/// Two servers with directories of their own cannot share a log: the second is refused by the log's
/// directory, whichever of them has it as its usual one, leaves nothing in it, and opens when the first
/// has ended.
#[test]
fn a_log_has_one_owner() {
    let env = Env::sim(1);
    let first = StoreSettings::test_min("/first");
    let log_path = crate::LogPath::new("/first/commitlog");
    let second = StoreSettings { log_path, ..StoreSettings::test_min("/second") };
    for (one, other) in [(&first, &second), (&second, &first)] {
        let store = Store::open(env.clone(), one.clone()).unwrap();
        fill(&store, 0, 3);
        let error = Store::open(env.clone(), other.clone()).err().unwrap();
        assert!(matches!(error, OpenError::LogLocked(_)), "{error}");
        let text = "/first/commitlog is in use by another server (storePathCommitLog)";
        assert_eq!(error.to_string(), text);
        store.close();
    }
    let names = env.disk.list(Path::new("/first/commitlog")).unwrap();
    assert!(names.iter().all(|entry| entry.name.len() == 20), "{names:?}");
}
