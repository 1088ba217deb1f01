use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::*;

const FILE: &str = "/d/file";

fn fault(seed: u64) -> Disk {
    let disk = Disk::fault(seed, FaultPlan::default());
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk
}

/// The file's content, if it is there.
fn content(disk: &Disk) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(FILE)).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// All outcomes of a power cut over enough seeds to see each.
fn outcomes<T: Ord>(run: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..400).map(run).collect()
}

// The contract holds on the machine's disk, including locks by another process's rules.
#[test]
fn real_disk_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    suite::check(&Disk::real(), dir.path()).unwrap();
}

// The contract holds in memory.
#[test]
fn mem_disk_keeps_the_contract() {
    suite::check(&Disk::mem(), Path::new("/data")).unwrap();
}

// The contract holds on a disk with faults when none occurs, also after kill and power cut.
#[test]
fn fault_disk_keeps_the_contract() {
    let disk = fault(1);
    suite::check(&disk, Path::new("/d/first")).unwrap();
    let disk = disk.kill();
    suite::check(&disk, Path::new("/d/second")).unwrap();
    suite::check(&disk.crash(), Path::new("/d/third")).unwrap();
}

// The kernel's lock is real: another process can't take it while it is held.
#[test]
fn real_lock_excludes_other_processes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let other = || {
        let script =
            "import fcntl,sys\nfcntl.lockf(open(sys.argv[1],'r+'),fcntl.LOCK_EX|fcntl.LOCK_NB,1,0)";
        let mut python = std::process::Command::new("python3");
        python.arg("-c").arg(script).arg(&path).stderr(std::process::Stdio::null());
        python.status().unwrap().success()
    };
    let held = Disk::real().lock(&path).unwrap();
    assert!(!other());
    drop(held);
    assert!(other());
}

// Killing the process loses nothing that was written, frees locks, keeps the boot id, and stops the old
// process from writing; a power cut after it can still lose what was not synced.
#[test]
fn kill_keeps_the_page_cache() {
    let lengths = outcomes(|seed| {
        let disk = fault(seed);
        disk.sync_dir(Path::new("/")).unwrap();
        let file = disk.create(Path::new(FILE)).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(b"abc", 0).unwrap();
        let _held = disk.lock(Path::new("/d/lock")).unwrap();
        let after = disk.kill();
        assert_eq!(file.write_at(b"x", 0).unwrap_err().kind(), ErrorKind::Other);
        assert_eq!(content(&after).unwrap(), b"abc");
        after.lock(Path::new("/d/lock")).unwrap();
        let boot = after.boot_id().unwrap();
        let crashed = after.crash();
        assert_ne!(crashed.boot_id().unwrap(), boot);
        content(&crashed).unwrap().len()
    });
    assert_eq!(lengths, BTreeSet::from([0, 3]));
}

// A power cut leaves each sector in any state it went through since the sync, and any length.
#[test]
fn crash_keeps_any_sectors() {
    let sector = SECTOR as usize;
    let states = outcomes(|seed| {
        let disk = fault(seed);
        let file = disk.create(Path::new(FILE)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(&vec![1; 2 * sector], 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(&vec![2; 2 * sector], 0).unwrap();
        file.write_at(&vec![3; 2 * sector], sector as u64).unwrap();
        let bytes = content(&disk.crash()).unwrap();
        assert!(bytes.chunks(sector).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        bytes.chunks(sector).map(|sector| sector[0]).collect::<Vec<u8>>()
    });
    let mut expected = BTreeSet::new();
    for first in [1, 2] {
        for second in [1, 2, 3] {
            expected.insert(vec![first, second]);
            expected.extend([0, 3].map(|third| vec![first, second, third]));
        }
    }
    assert_eq!(states, expected);
}

// After a sync nothing before it is lost; what is written while a slow one runs is not covered by it.
#[test]
fn sync_covers_what_came_before() {
    let states = outcomes(|seed| {
        let disk = fault(seed);
        let file = disk.create(Path::new(FILE)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(b"a", 0).unwrap();
        let slow_sync_time = Duration::from_millis(1);
        disk.set_plan(FaultPlan { slow_sync: 1, slow_sync_time, ..FaultPlan::default() });
        std::thread::scope(|scope| {
            let sync = scope.spawn(|| file.sync_data().unwrap());
            for _ in 0..10 {
                file.write_at(b"b", 1).unwrap();
            }
            sync.join().unwrap();
        });
        file.write_at(b"c", 1).unwrap();
        content(&disk.crash()).unwrap()
    });
    let expected = [&b"a"[..], b"a\0", b"ab", b"ac"];
    assert!(states.iter().all(|state| expected.contains(&&state[..])), "{states:?}");
    assert!(states.contains(&b"ac"[..]));

    let states = outcomes(|seed| {
        let mut unsynced = fault::Unsynced::new(Vec::new());
        unsynced.write(b"a", 0, 1);
        let mark = unsynced.mark();
        unsynced.write(b"b", 1, 2);
        unsynced.sync(mark);
        fault::Faults::new(Rng::seeded(seed), FaultPlan::default()).survivor(&unsynced)
    });
    assert_eq!(states, [&b"a"[..], b"a\0", b"ab"].map(<[u8]>::to_vec).into());
}

// Names survive only a sync of their directory, each change with those before it of the same names.
#[test]
fn crash_keeps_any_names() {
    let states = outcomes(|seed| {
        let disk = fault(seed);
        disk.sync_dir(Path::new("/")).unwrap();
        let path = |name: &str| Path::new("/d").join(name);
        for name in ["a", "b"] {
            disk.create(&path(name)).unwrap().write_at(name.as_bytes(), 0).unwrap();
            disk.open(&path(name)).unwrap().sync_data().unwrap();
        }
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.create(&path("tmp")).unwrap().write_at(b"t", 0).unwrap();
        disk.open(&path("tmp")).unwrap().sync_data().unwrap();
        disk.rename(&path("tmp"), &path("a")).unwrap();
        disk.remove(&path("b")).unwrap();
        let disk = disk.crash();
        let read = |name: &str| {
            let mut byte = [0];
            disk.open(&path(name)).unwrap().read_exact_at(&mut byte, 0).unwrap();
            format!("{name}={} ", char::from(byte[0]))
        };
        let entries = disk.list(Path::new("/d")).unwrap();
        entries.iter().map(|entry| read(&entry.name)).collect::<String>()
    });
    let expected = ["a=a ", "a=a b=b ", "a=a b=b tmp=t ", "a=a tmp=t ", "a=t ", "a=t b=b "];
    assert_eq!(states, expected.map(str::to_owned).into());
}

// A directory that was not synced into its parent is lost with everything below it, or not at all.
#[test]
fn crash_may_lose_a_directory() {
    let states = outcomes(|seed| {
        let disk = fault(seed);
        disk.create(Path::new(FILE)).unwrap().write_at(b"x", 0).unwrap();
        disk.open(Path::new(FILE)).unwrap().sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        let disk = disk.crash();
        (disk.exists(Path::new("/d")).unwrap(), content(&disk))
    });
    assert_eq!(states, BTreeSet::from([(false, None), (true, Some(b"x".to_vec()))]));
}

// A failed sync forgets what it did not write: a later success does not cover it.
#[test]
fn failed_sync_forgets() {
    let states = outcomes(|seed| {
        let disk = fault(seed);
        let file = disk.create(Path::new(FILE)).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(b"a", 0).unwrap();
        disk.set_plan(FaultPlan { sync_error: 1, ..FaultPlan::default() });
        assert!(file.sync_data().is_err());
        disk.set_plan(FaultPlan::default());
        file.sync_data().unwrap();
        content(&disk.crash()).unwrap()
    });
    assert_eq!(states, BTreeSet::from([vec![], vec![0], b"a".to_vec()]));
}

// A full disk takes what fits and says so; removing a file makes room.
#[test]
fn full_disk() {
    let disk = fault(1);
    disk.set_plan(FaultPlan { capacity: 10, ..FaultPlan::default() });
    let file = disk.create(Path::new(FILE)).unwrap();
    file.allocate(8).unwrap();
    file.write_at(&[1; 8], 0).unwrap();
    assert_eq!(file.write_at(&[2; 8], 4).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(content(&disk).unwrap(), [1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    assert_eq!(file.allocate(11).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.space(Path::new("/d")).unwrap(), Space { total: 10, used: 10, free: 0 });
    file.set_len(9).unwrap();
    assert_eq!(disk.space(Path::new("/d")).unwrap().free, 1);
    disk.remove(Path::new(FILE)).unwrap();
    let other = disk.create(Path::new("/d/other")).unwrap();
    other.write_at(&[3; 10], 0).unwrap();
    disk.set_plan(FaultPlan { capacity: 100, foreign: 85, ..FaultPlan::default() });
    assert_eq!(disk.space(Path::new("/d")).unwrap(), Space { total: 100, used: 95, free: 5 });
    disk.set_plan(FaultPlan { no_space: 1, ..FaultPlan::default() });
    assert_eq!(other.write_at(&[4; 2], 0).unwrap_err().kind(), ErrorKind::StorageFull);
}

// Zeros that a failed sync lost are on the disk after they were asked for again and synced, although
// the page cache had them all along.
#[test]
fn zeros_survive_a_failed_sync() {
    let states = outcomes(|seed| {
        let disk = fault(seed);
        let file = disk.create(Path::new(FILE)).unwrap();
        file.write_at(b"old", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(&[0; 3], 0).unwrap();
        disk.set_plan(FaultPlan { sync_error: 1, ..FaultPlan::default() });
        assert!(file.sync_data().is_err());
        disk.set_plan(FaultPlan::default());
        file.zero(0, 3).unwrap();
        file.sync_data().unwrap();
        content(&disk.crash()).unwrap()
    });
    assert_eq!(states, BTreeSet::from([vec![0; 3]]));
}

// Each fault occurs, and none without being asked for; the same seed gives the same ones.
#[test]
fn faults_follow_the_plan() {
    let trace = |plan: FaultPlan| {
        let disk = fault(7);
        let file = disk.create(Path::new(FILE)).unwrap();
        file.write_at(&[0; 64], 0).unwrap();
        let map = file.map(64).unwrap();
        disk.set_plan(plan);
        let mut trace = String::new();
        for _ in 0..200 {
            let mut buf = [0; 64];
            let mut step = |name: &str, failed: bool| {
                if failed {
                    trace.push_str(name);
                }
            };
            step("r", file.read_at(&mut buf, 0).is_err());
            step("f", buf != [0; 64] || map.slice(0..64) != [0; 64][..]);
            step("w", file.write_at(&[0; 64], 0).is_err());
            step("s", file.sync_data().is_err());
            step(
                "n",
                disk.create(Path::new("/d/x")).is_err() || disk.remove(Path::new("/d/x")).is_err(),
            );
            step("c", !map.resident(0..1) || matches!(file.read_resident(&mut buf, 0), Ok(None)));
        }
        trace
    };
    assert_eq!(trace(FaultPlan::default()), "");
    let all = FaultPlan {
        read_error: 9,
        write_error: 9,
        sync_error: 9,
        name_error: 9,
        bit_flip: 9,
        cold: 9,
        ..FaultPlan::default()
    };
    let faults = trace(all.clone());
    assert!("rfwsnc".chars().all(|fault| faults.contains(fault)), "{faults}");
    assert_eq!(faults, trace(all));
}
