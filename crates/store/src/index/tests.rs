use std::path::Path;

use env::disk::FaultPlan;

use super::*;

const LAYOUT: Layout = Layout { slots: 7, items: 16 };

fn open(disk: &Disk, end: u64, slots_valid: bool) -> Index {
    let log = OpenAt { min: 0, end, slots_valid };
    Index::open(disk.clone(), Clock::sim(), Path::new("/i").to_owned(), LAYOUT, log).unwrap()
}

fn found(index: &Index, hash: u32) -> Vec<u64> {
    let mut all = Vec::new();
    let add = |offset| {
        all.push(offset);
        true
    };
    index.find(hash, 0..=i64::MAX, add).unwrap();
    all
}

/// Items are found over several files, newest first; after a close, and after a crash, in which items
/// from the known end on are dropped and can be added again.
#[test]
fn survives_close_and_crash() {
    let disk = Disk::mem();
    let index = open(&disk, 0, true);
    for n in 0..50u64 {
        index.staging().add(n * 10, 1000 + n as i64, &[(n % 9) as u32]);
    }
    let all: Vec<u64> = (0..50).filter(|n| n % 9 == 4).rev().map(|n| n * 10).collect();
    assert_eq!(found(&index, 4), all);
    index.close().unwrap();
    assert_eq!(found(&open(&disk, 500, true), 4), all);
    let crashed = open(&disk, 480, false);
    let kept: Vec<u64> = all.iter().copied().filter(|offset| *offset < 480).collect();
    assert_eq!(found(&crashed, 4), kept);
    for n in 48..60u64 {
        crashed.staging().add(n * 10, 1000 + n as i64, &[(n % 9) as u32]);
    }
    assert_eq!(found(&crashed, 4)[..2], [580, 490]);
    assert_eq!(crashed.lost(), None);
}

/// Where the sync of a full file failed, the next one does not claim what this one did not write.
#[test]
fn a_failed_sync_is_not_followed_by_one_that_succeeds() {
    let disk = Disk::fault(1, FaultPlan::default());
    let index = open(&disk, 0, true);
    index.staging().add(0, 1000, &[1]);
    index.write_out().unwrap();
    for n in 1..20u64 {
        index.staging().add(n * 10, 1000 + n as i64, &[1]);
    }
    disk.set_plan(FaultPlan { sync_error: 1, ..FaultPlan::default() });
    assert!(index.write_out().is_err());
    disk.set_plan(FaultPlan::default());
    assert!(index.has_failed());
    assert!(index.write_out().is_ok(), "nothing is left in memory");
    assert!(index.sync().is_err());
}

/// A file that was begun and got no item before a kill says where it goes on, also when one without a
/// header was found (as versions before this test left it): otherwise Java, which keeps such a file and
/// derives the end of the log again, adds keys that the file before holds.
#[test]
fn a_file_without_items_says_what_it_follows() {
    let disk = Disk::mem();
    let index = open(&disk, 0, true);
    for n in 0..15u64 {
        index.staging().add(700 + n, 5_000 + n as i64, &[1]);
    }
    index.write_out().unwrap();
    let path = Path::new("/i/30000101000000000");
    let before = index.files.lock().back().map(IndexFile::ends);
    assert_eq!(before, Some((714, 5_014)));
    let head = || {
        let mut head = [0; 40];
        disk.open(path).unwrap().read_exact_at(&mut head, 0).unwrap();
        head
    };
    let follows = {
        let longs = [5_014_i64, 5_014, 714, 714].map(i64::to_be_bytes);
        let ints = [0_i32, 1].map(i32::to_be_bytes);
        [longs.concat(), ints.concat()].concat()
    };
    IndexFile::create(&disk, path.to_owned(), LAYOUT, before).unwrap();
    assert_eq!(head(), *follows);
    index.close().unwrap();
    disk.open(path).unwrap().write_at(&[0; 40], 0).unwrap();
    open(&disk, 1_000, false);
    assert_eq!(head(), *follows);
}

/// Names are UTC times in order, also within one millisecond.
#[test]
fn names() {
    assert_eq!(file::name_at(1_700_000_000_123, None), "20231114221320123");
    assert_eq!(file::name_at(951_782_400_000, None), "20000229000000000");
    let next = file::name_at(1_700_000_000_123, Some("20231114221320123"));
    assert_eq!(next, "20231114221320124");
}

/// Without files, the whole log has to be read back, and a full list loses what does not fit.
#[test]
fn says_what_is_lost() {
    let index = open(&Disk::mem(), 700, true);
    assert_eq!(index.lost(), Some(Lost { from: 0, last: 699 }));
    assert!(index.restored(700));
    let hashes = vec![1; limits::INDEX_QUEUE];
    index.staging().add(700, 1, &hashes);
    index.staging().add(800, 1, &[2]);
    index.staging().add(900, 1, &[2]);
    assert_eq!(index.lost(), Some(Lost { from: 800, last: 900 }));
    assert!(!index.restored(850));
    assert!(index.restored(950));
}

/// Recovery may derive again what the files already hold: nothing is found twice, not even by the keys
/// of the last record, and not where the next file begins with it.
#[test]
fn known_records_are_not_added_again() {
    for records in [3, 5, 8] {
        let disk = Disk::mem();
        let fill = |index: &Index| {
            for n in 0..records {
                index.staging().add(n * 10, 1000, &[1, 2, 3]);
            }
        };
        let index = open(&disk, 0, true);
        fill(&index);
        index.close().unwrap();
        let again = open(&disk, records * 10, true);
        fill(&again);
        again.staging().add(records * 10, 1000, &[1]);
        let all: Vec<u64> = (0..=records).rev().map(|n| n * 10).collect();
        assert_eq!(found(&again, 1), all, "{records} records");
        assert_eq!(found(&again, 3), all[1..], "{records} records");
    }
}

/// Only the file that is written stays open, however many there are, also after they were searched and opened
/// anew: counted among the descriptors of this process.
#[test]
#[allow(clippy::disallowed_methods, reason = "the test looks at the descriptors of its process")]
fn full_files_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let in_dir = |fd: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_link(fd.unwrap().path()).is_ok_and(|path| path.starts_with(dir.path()))
    };
    let open_files = || {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|fd| in_dir(fd).then_some(()))
            .count()
    };
    let at = |end| {
        let log = OpenAt { min: 0, end, slots_valid: true };
        Index::open(Disk::real(), Clock::sim(), dir.path().to_owned(), LAYOUT, log).unwrap()
    };
    let index = at(0);
    for n in 0..100u64 {
        index.staging().add(n * 10, 1000 + n as i64, &[(n % 9) as u32]);
    }
    assert_eq!(found(&index, 4).len(), 11);
    assert!(index.files.lock().len() > 5);
    assert_eq!(open_files(), 1);
    index.close().unwrap();
    assert_eq!(open_files(), 0);
    let again = at(1000);
    assert_eq!(found(&again, 4).len(), 11);
    assert_eq!(open_files(), 0);
}
