//! Acceptance checks of the store format that need no other program. The others: 1 to 5 and 13 in
//! `e2e/tests/disk`; 1, 3, 9 and 10 in `tests/reference.rs`; 7 beside; 15 in `config_files.rs`; 18 and 19 in
//! `space.rs` and `e2e/tests/disk_full`. Not served yet: 11 (batch queues), 12 (compaction), 14 (POP) and
//! 16 (epochs).

use std::path::Path;

use bytes::BytesMut;
use env::Env;
use wire::record::{self, MAGIC_BLANK, MAGIC_V2, PropertyCrc, RecordWriter, Stamp};

use super::{bodies, head, send};
use crate::{OpenError, Store, StoreSettings};

/// A record of queue t/0 with so many bytes of body, as it lies in the log.
fn in_log(body: usize, queue_offset: u64, physical_offset: u64) -> BytesMut {
    let mut bytes = BytesMut::new();
    let writer = RecordWriter::begin(&mut bytes, &head(0), b"t", &vec![7; body]).unwrap();
    writer.finish(PropertyCrc::Absent).unwrap();
    record::patch(&mut bytes, &Stamp { queue_offset, physical_offset, store_timestamp: 5 });
    bytes
}

/// Store-format check 6: segments that the reference filled so that 8, 9 or a few more bytes are left,
/// fewer than the next record needs: the filler is read as such, the next record is the first of the
/// next file, and what is sent goes on behind it.
#[test]
fn segments_filled_to_the_last_bytes() {
    const SEGMENT: usize = 4096;
    for left in [8, 9, 100] {
        let env = Env::sim(1);
        let dir = Path::new("/s/commitlog");
        env.disk.create_dir_all(dir).unwrap();
        let body = SEGMENT - left - in_log(0, 0, 0).len();
        let records = [in_log(body, 0, 0), in_log(200, 1, SEGMENT as u64)];
        assert_eq!(records[0].len(), SEGMENT - left);
        let filler = [(left as i32).to_be_bytes(), MAGIC_BLANK.to_be_bytes()].concat();
        for (index, record) in records.iter().enumerate() {
            let file = env.disk.create(&dir.join(format!("{:020}", index * SEGMENT))).unwrap();
            file.allocate(SEGMENT as u64).unwrap();
            file.write_at(record, 0).unwrap();
            if index == 0 {
                file.write_at(&filler, record.len() as u64).unwrap();
            }
        }
        let store = Store::open(env, StoreSettings::test_min("/s")).unwrap();
        let queue = store.queue("t", 0);
        let lengths: Vec<_> = bodies(&store, &queue, 0).iter().map(|(_, b)| b.len()).collect();
        assert_eq!(lengths, [body, 200], "{left} bytes left");
        let next = (2, (SEGMENT + records[1].len()) as u64);
        assert_eq!(send(&store, &queue, b"more"), next, "{left} bytes left");
    }
}

/// Store-format check 8: a topic longer than 127 bytes makes records of version 2, which are read back,
/// also by recovery without any queue file.
#[test]
fn long_topics() {
    let env = Env::sim(1);
    let topic = "%RETRY%".to_owned() + &"g".repeat(200);
    let store = Store::open(env.clone(), StoreSettings::test_min("/s")).unwrap();
    let physical = send(&store, &store.queue(&topic, 0), b"body").1;
    let bytes = store.record(physical).unwrap().unwrap();
    assert_eq!(bytes[4..8], MAGIC_V2.to_be_bytes());
    let env = env.kill();
    drop(store);
    let store = Store::open(env, StoreSettings::test_min("/s")).unwrap();
    let all = bodies(&store, &store.queue(&topic, 0), 0);
    assert_eq!(all.len(), 1);
    assert_eq!(&all[0].1[..], b"body");
}

/// Store-format check 17: a directory that is in use is refused to a second store, and free when the first
/// has ended.
#[test]
fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let store = super::open(dir.path());
    let second = || Store::open(Env::real(), StoreSettings::test_min(dir.path()));
    assert!(matches!(second().err().unwrap(), OpenError::Locked(_)));
    store.close();
    second().unwrap().close();
}

/// The largest message that `maxMessageSize` allows is found by its offset in the log: it is viewed and sent back so.
#[test]
fn the_largest_record_is_found_by_its_offset() {
    let env = Env::fault(1, env::FaultPlan::default());
    let settings = StoreSettings { segment_bytes: 16 << 20, ..StoreSettings::test_min("/s") };
    let store = Store::open(env, settings).unwrap();
    let (_, at) = send(&store, &store.queue("a", 0), &vec![1; 8 << 20]);
    let record = store.record(at).unwrap().unwrap();
    assert_eq!(record::RecordView::parse(&record).unwrap().body().len(), 8 << 20);
}
