//! What is deleted when, and what happens when the disk has no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::Env;
use env::disk::FaultPlan;
use env::settings::Value;

use super::{append, bodies, content, fill, get, push, send};
use crate::readers::Losses;
use crate::{AppendError, Batch, DiskFullPolicy, GotStatus, Hours, Reader, Store, StoreSettings};

const HOUR: Duration = Duration::from_secs(3600);
const GIB: u64 = 1 << 30;

/// A store on a disk that can be filled, with files that may be deleted before their time.
fn store(env: &Env, change: impl FnOnce(&mut StoreSettings)) -> Store {
    let mut settings = StoreSettings::test_min("/s");
    settings.clean_forcibly = true;
    settings.delete_when = Hours::default();
    // For the files of queues and index.
    settings.disk_reserve_bytes = 32 << 10;
    change(&mut settings);
    Store::open(env.clone(), settings).unwrap()
}

fn plan(capacity: u64, foreign: u64) -> FaultPlan {
    FaultPlan { capacity, foreign, ..FaultPlan::default() }
}

/// Lets the keeper look at the disk once more.
fn look(env: &Env, store: &Store) {
    store.inner.write_derived().unwrap();
    env.clock.advance(Duration::from_secs(10));
    store.inner.keep_disk();
}

fn segments(store: &Store) -> usize {
    store.inner.log.segments().0.len()
}

/// Sends until the disk is full; the number of messages that were taken, and the refusal.
fn send_until_full(store: &Store, topic: &str) -> (usize, AppendError) {
    let queue = store.queue(topic, 0);
    for taken in 0..10_000 {
        let mut batch = Batch::new();
        push(&mut batch, &queue, &[7; 500], false);
        if let Err(error) = append(store, batch) {
            return (taken, error);
        }
        // On a busy machine queues and index would get behind, and take of the reserve only later.
        store.inner.write_derived().unwrap();
    }
    panic!("the disk does not run full");
}

/// Tells the store that group G has consumed everything of `topic` below an offset, which may change.
fn reader(store: &Store, topic: &'static str, next: u64) -> Arc<AtomicU64> {
    let shared = Arc::new(AtomicU64::new(next));
    let next = Arc::clone(&shared);
    store.set_readers(Arc::new(move |of: &str, _| {
        let reader = || Reader { name: "G".to_owned(), next: next.load(Ordering::Relaxed) };
        (of == topic).then(reader).into_iter().collect()
    }));
    shared
}

/// Segments past their time are deleted on request, never the newest; what is left of each queue starts
/// at its lowest offset, a pull below it is told so, and the store opens again so.
#[test]
fn retention_moves_the_lowest_offset() {
    let env = Env::fault(3, FaultPlan::default());
    let settings = StoreSettings { retention_hours: 0, ..StoreSettings::test_min("/s") };
    let store = Store::open(env.clone(), settings.clone()).unwrap();
    fill(&store, 0, 120);
    let before = content(&store);
    assert!(store.watermarks().appended / 4096 > 4);
    store.inner.write_derived().unwrap();
    store.delete_expired().unwrap();
    let after = content(&store);
    for ((_, _, all), (topic, id, kept)) in before.iter().zip(&after) {
        assert!(all.ends_with(kept) && kept.len() < all.len(), "{topic}/{id}");
        let queue = store.queue(topic, *id);
        assert_eq!(queue.min_offset(), queue.max_offset() - kept.len() as u64);
        let got = get(&store, &queue, 0);
        assert_eq!((got.status, got.next), (GotStatus::OffsetTooSmall, queue.min_offset()));
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
    let store = store(&env, |_| ());
    fill(&store, 0, 120);
    store.inner.write_derived().unwrap();
    let all = content(&store);
    store.delete_expired().unwrap();
    look(&env, &store);
    assert_eq!(content(&store), all);
    let settings = StoreSettings { retention_hours: 0, ..store.settings().clone() };
    store.change_settings(settings);
    assert_eq!(store.live_settings().retention_hours, 0);
    look(&env, &store);
    assert_eq!(content(&store), all);
    store.delete_expired().unwrap();
    store.clean_queues().unwrap();
    assert!((1..3).contains(&segments(&store)), "{} segments", segments(&store));
    assert_ne!(content(&store), all);
}

/// Store-format check 18: segments whose files were changed 73 hours ago go at the hour of `deleteWhen`
/// and not before, `deleteFileBatchMax` of them at a time; younger ones stay.
#[test]
fn expired_at_the_hour() {
    let env = Env::fault(6, FaultPlan::default());
    let store = store(&env, |settings| {
        settings.delete_when = Hours::parse("03; 05").unwrap();
        settings.delete_batch = 2;
    });
    fill(&store, 0, 120);
    let old = segments(&store);
    assert!(old > 5);
    env.clock.advance(73 * HOUR);
    fill(&store, 120, 160);
    let all = segments(&store);
    look(&env, &store);
    assert_eq!(segments(&store), all, "it is one o'clock");
    env.clock.advance(4 * HOUR);
    look(&env, &store);
    assert_eq!(segments(&store), all - 2, "one batch");
    (0..old).for_each(|_| look(&env, &store));
    // The last of the old ones was written to again.
    assert_eq!(segments(&store), all - old + 1, "the young ones stay");
    let queue = store.queue("a", 0);
    let got = get(&store, &queue, 0);
    assert_eq!((got.status, got.next), (GotStatus::OffsetTooSmall, queue.min_offset()));
}

/// Hours are what the text says; anything else is refused instead of never deleting.
#[test]
fn hours_of_the_day() {
    let hours =
        |text: &str| Hours::parse(text).map(|hours| (0..24).filter(|h| hours.has(*h)).collect());
    assert_eq!(hours("04"), Ok(vec![4]));
    assert_eq!(hours(" 23;0; "), Ok(vec![0, 23]));
    assert_eq!(hours(""), Ok(Vec::<u32>::new()));
    for bad in ["24", "4am", "-1", "4,5"] {
        assert_eq!(hours(bad), Err(Hours::KIND.to_owned()), "{bad}");
    }
    assert_eq!(StoreSettings::default().delete_when, Hours::parse("04").unwrap());
}

/// A log longer than `fileReservedBytes` loses its oldest files whatever their age and the hour, and no
/// more than that.
#[test]
fn a_bound_of_bytes() {
    let env = Env::fault(7, FaultPlan::default());
    let store = store(&env, |settings| settings.retention_bytes = 5 * 4096);
    // What somebody else keeps there comes first in the directory, and stands in nobody's way.
    env.disk.create_dir_all("/s/commitlog/.snapshot".as_ref()).unwrap();
    fill(&store, 0, 160);
    let all = content(&store);
    assert!(segments(&store) > 8);
    // A batch at a time.
    (0..3).for_each(|_| look(&env, &store));
    assert_eq!(segments(&store), 5);
    let left = content(&store);
    assert!(all.iter().zip(&left).all(|((_, _, all), (_, _, left))| all.ends_with(left)));
    look(&env, &store);
    assert_eq!(segments(&store), 5);
}

/// Store-format check 19, user pain 8: a full disk refuses sends with what is needed, what there is, the
/// policy and the keys; the reserve stays free; reads and configuration files go on; and one look after
/// space has come back sends go on, without a restart, with nothing lost and nothing twice.
#[test]
fn a_full_disk_refuses_and_goes_on() {
    const RESERVE: u64 = 64 << 10;
    let env = Env::fault(8, plan(512 << 10, 128 << 10));
    let store = store(&env, |settings| settings.disk_reserve_bytes = RESERVE);
    let (taken, error) = send_until_full(&store, "t");
    let AppendError::DiskFull(shortage) = &error else { panic!("{error}") };
    // The next file of the log, unless what queues and index took is in the reserve already.
    let (need, key) = match shortage.have < RESERVE {
        false => ("68.00", "diskReserveBytes, mappedFileSizeCommitLog"),
        true => (if shortage.need == RESERVE { "64.00" } else { "68.00" }, shortage.key),
    };
    assert!(shortage.have < shortage.need, "{error}");
    let text = format!(
        "the disk is full: {need} KiB must be free, {:.2} KiB are; policy reject ({key}, diskFullPolicy)",
        shortage.have as f64 / 1024.0
    );
    assert_eq!(error.to_string(), text);
    look(&env, &store);
    assert!(matches!(store.refusal(), Some(AppendError::DiskFull(_))), "still");
    let free = env.disk.space("/s".as_ref()).unwrap().free;
    assert!(free > RESERVE / 2, "{free} free: the files of queues and index are small");
    assert_eq!(bodies(&store, &store.queue("t", 0), 0).len(), taken);
    store.config().write("consumerOffset.json", b"{}").unwrap();

    env.disk.set_plan(plan(512 << 10, 0));
    env.clock.advance(Duration::from_secs(1));
    store.inner.keep_disk();
    assert!(store.refusal().is_none());
    assert_eq!(send(&store, &store.queue("t", 0), b"more").0, taken as u64);
    assert_eq!(bodies(&store, &store.queue("t", 0), 0).len(), taken + 1);
}

/// Less than the reserve refuses sends also while the log has a file with room; an explicit
/// `diskSpaceWarningLevelRatio` does so by the share in use, whoever uses it.
#[test]
fn what_others_use_counts() {
    for (reserve, ratio, key) in
        [(GIB, 0, "diskReserveBytes"), (1, 90, "diskSpaceWarningLevelRatio")]
    {
        let env = Env::fault(9, plan(100 * GIB, 0));
        let store = store(&env, |settings| {
            settings.disk_reserve_bytes = reserve;
            settings.disk_full_percent = ratio;
        });
        let queue = store.queue("t", 0);
        send(&store, &queue, b"one");
        env.disk.set_plan(plan(100 * GIB, 100 * GIB - GIB / 2));
        look(&env, &store);
        let Some(AppendError::DiskFull(shortage)) = store.refusal() else { panic!("{key}") };
        assert_eq!(shortage.key, key);
        assert!(shortage.have < GIB && shortage.need >= GIB, "{shortage}");
        env.disk.set_plan(plan(100 * GIB, 80 * GIB));
        look(&env, &store);
        send(&store, &queue, b"two");
        assert_eq!(bodies(&store, &queue, 0).len(), 2);
    }
}

/// User pain 8: a partition that a foreign file uses to 95 %, with 50 GiB free, is no reason to refuse
/// sends or to delete anything, with the settings as they are by default.
#[test]
fn a_foreign_file_of_95_percent() {
    let env = Env::fault(10, plan(1000 * GIB, 950 * GIB));
    let store = store(&env, |settings| settings.disk_reserve_bytes = 0);
    fill(&store, 0, 160);
    let all = content(&store);
    look(&env, &store);
    assert!(store.refusal().is_none());
    fill(&store, 160, 161);
    assert!(content(&store).iter().zip(&all).all(|(now, before)| now.2.starts_with(&before.2)));
}

/// With `reject`, a disk without room loses files that every group has consumed, one as it is needed, and
/// none that a group has not, nor any while groups are not known, nor before their time with
/// `cleanFileForciblyEnable=false`; past their time they go.
#[test]
fn reject_keeps_what_is_not_consumed() {
    for (next, known, forcibly) in
        [(u64::MAX, true, true), (u64::MAX, false, true), (u64::MAX, true, false), (0, true, true)]
    {
        let env = Env::fault(11, plan(256 << 10, 0));
        let store = store(&env, |settings| settings.clean_forcibly = forcibly);
        let consumed = known.then(|| reader(&store, "t", 0));
        let (taken, _) = send_until_full(&store, "t");
        let all = segments(&store);
        consumed.into_iter().for_each(|consumed| consumed.store(next, Ordering::Relaxed));
        look(&env, &store);
        let goes = next == u64::MAX && known && forcibly;
        assert_eq!(store.refusal().is_none(), goes);
        assert_eq!(segments(&store), if goes { all - 1 } else { all });
        if goes {
            assert_eq!(send(&store, &store.queue("t", 0), b"x").0, taken as u64);
        }
        env.clock.advance(73 * HOUR);
        look(&env, &store);
        assert!(store.refusal().is_none(), "past their time");
    }
}

/// With `delete-oldest` the oldest go on a disk without room, consumed or not, as few as make room; who
/// loses what is known before.
#[test]
fn delete_oldest_says_who_loses_what() {
    let env = Env::fault(12, plan(256 << 10, 0));
    let store = store(&env, |_| ());
    reader(&store, "t", 2);
    let (taken, _) = send_until_full(&store, "t");
    let all = segments(&store);
    let mut losses = Losses::new(&store.inner, 4096);
    assert!(!losses.are_none());
    let queue = store.queue("t", 0);
    let first_in = |segment: u64| {
        let is_in =
            |offset: &u64| store.units(&queue, *offset, 1).unwrap()[0].physical >= segment * 4096;
        (0..taken as u64).find(is_in).unwrap()
    };
    let first_left = [1, 2, 3].map(first_in);
    assert_eq!(losses.text(), [format!("t/0 2..{} G", first_left[0])]);
    let disk_full_policy = DiskFullPolicy::DeleteOldest;
    store.change_settings(StoreSettings { disk_full_policy, ..store.settings().clone() });
    look(&env, &store);
    // How many that are depends on how much of queues and index was written when the disk was full.
    let gone = all - segments(&store);
    assert!((1..=3).contains(&gone), "{gone} of {all}");
    assert_eq!(queue.min_offset(), first_left[gone - 1]);
    assert_eq!(send(&store, &queue, b"x").0, taken as u64);
    let mut rest = Losses::new(&store.inner, 4096);
    assert!(rest.are_none(), "what is gone is lost no more");
}

/// The reference's ratios, where they are set: above `diskMaxUsedSpaceRatio` what is past its time goes at
/// any hour; above `diskSpaceCleanForciblyRatio` the oldest go, consumed or not, unless
/// `cleanFileForciblyEnable=false`; at or below nothing does.
#[test]
fn explicit_ratios_mean_what_they_mean_in_java() {
    let cases = [
        // percent used, clean ratio, force ratio, forcibly, past their time, files that go
        (76, 75, 0, true, true, true),
        (76, 75, 0, true, false, false),
        (75, 75, 0, true, true, false),
        (86, 0, 85, true, false, true),
        (86, 0, 85, false, false, false),
        (85, 0, 85, true, false, false),
        (99, 0, 0, true, true, false),
    ];
    for (used, clean, force, forcibly, expired, goes) in cases {
        let env = Env::fault(13, plan(1000 * GIB, 0));
        let store = store(&env, |settings| {
            settings.disk_clean_percent = clean;
            settings.disk_force_percent = force;
            settings.clean_forcibly = forcibly;
            settings.retention_hours = if expired { 0 } else { 72 };
        });
        reader(&store, "a", 0);
        fill(&store, 0, 120);
        let all = segments(&store);
        assert!(all > 3);
        env.disk.set_plan(plan(1000 * GIB, used * 10 * GIB - GIB));
        look(&env, &store);
        let case = (used, clean, force, forcibly, expired);
        assert_eq!(segments(&store) < all, goes, "{case:?}");
        assert!(store.refusal().is_none(), "{case:?}");
    }
}

/// A file that cannot be deleted stays the first of the log and is tried again: no gap, nothing skipped,
/// also when the process ends in between.
#[test]
fn a_deletion_that_fails_is_tried_again() {
    let env = Env::fault(14, FaultPlan::default());
    let settings = StoreSettings { retention_hours: 0, ..StoreSettings::test_min("/s") };
    let store = Store::open(env.clone(), settings.clone()).unwrap();
    fill(&store, 0, 120);
    store.inner.write_derived().unwrap();
    let all = content(&store);
    env.disk.set_plan(FaultPlan { name_error: 1, ..FaultPlan::default() });
    assert!(store.delete_expired().is_err());
    assert_eq!(content(&store), all);
    env.disk.set_plan(FaultPlan { sync_error: 1, ..FaultPlan::default() });
    assert!(store.delete_expired().is_err());
    env.disk.set_plan(FaultPlan::default());
    let env = env.kill();
    drop(store);
    let store = Store::open(env.clone(), settings.clone()).unwrap();
    assert_eq!(content(&store), all);
    store.delete_expired().unwrap();
    assert!(segments(&store) < 3);
    let left = content(&store);
    let env = env.crash();
    drop(store);
    let store = Store::open(env, settings).unwrap();
    let after = content(&store);
    for ((topic, id, left), (_, _, after)) in left.iter().zip(&after) {
        assert!(left.starts_with(after), "{topic}/{id}: there is no gap");
    }
}
