//! A disk that runs out of space in the middle of a write, and then the end of the process or the machine.

use std::sync::Arc;
use std::time::Duration;

use env::disk::FaultPlan;
use env::{Env, Rng};
use wire::record::{PropertyCrc, RecordWriter};

use super::{append, bodies, head};
use crate::{AppendError, Batch, Keys, NewRecord, Queue, Store, StoreSettings, Tags};

const QUEUES: [(&str, u32); 3] = [("a", 0), ("a", 1), ("b", 0)];

/// Adds a message whose checksum covers all of its record: one that a power cut leaves can be known as whole.
fn push(batch: &mut Batch, queue: &Arc<Queue>, body: &[u8]) {
    let keys = Keys { unique: None, keys: None, tag: None };
    let new = NewRecord { queue, tags: Tags::Code(0), keys, with_previous: false };
    let encode = |out: &mut bytes::BytesMut| {
        let writer = RecordWriter::begin(out, &head(queue.id()), queue.topic().as_bytes(), body)?;
        writer.finish(PropertyCrc::Reserved)
    };
    batch.push(new, encode).unwrap();
}

/// A batch that goes over the end of a log file, mostly.
fn batch(rng: &Rng, store: &Store) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..3 + rng.below(3) {
        let (topic, id) = QUEUES[rng.below(3) as usize];
        push(&mut batch, &store.queue(topic, id), &vec![7; 200 + rng.below(900) as usize]);
    }
    batch
}

/// Sends batches while one write in two fails after a part.
fn send_while_writes_fail(env: &Env, store: &Store) {
    let rng = env.rng.child("messages");
    for round in 0..8 {
        let batch = batch(&rng, store);
        // The first ones are there for certain.
        let no_space = if round < 2 { 0 } else { 2 };
        env.disk.set_plan(FaultPlan { no_space, ..FaultPlan::default() });
        match append(store, batch) {
            Ok(_) => {}
            Err(AppendError::DiskFull(_)) => {
                env.clock.advance(Duration::from_secs(1));
                store.inner.keep_disk();
            }
            // What is derived could not be noted.
            Err(AppendError::Stopped(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    env.disk.set_plan(FaultPlan::default());
}

/// Whether every queue has a message at each of its offsets.
fn is_dense(store: &Store) -> bool {
    store.queues().iter().all(|queue| {
        let offsets = bodies(store, queue, 0).into_iter().map(|(offset, _)| offset);
        offsets.eq(0..queue.max_offset())
    })
}

/// The end of the process while what failed writes left is only half cleared leaves no queue with a hole: many
/// random ends are tried.
#[test]
fn what_failed_writes_left_makes_no_holes() {
    for seed in 0..400 {
        let env = Env::fault(seed, FaultPlan::default());
        let settings =
            StoreSettings { flush_interval_ms: 3_600_000, ..StoreSettings::test_min("/s") };
        let store = Store::open(env.clone(), settings.clone()).unwrap();
        send_while_writes_fail(&env, &store);
        let env = env.kill();
        drop(store);
        let store = Store::open(env, settings).unwrap();
        assert!(is_dense(&store), "seed {seed}");
    }
}

/// What a failed write left and was cleared does not come back by a power cut beside what was written in its
/// place, in the file before or behind it: no queue has a hole, and what is lost of messages that were taken
/// is an end of the log. Their checksums cover all of them, so that those no sync has covered are kept too.
/// (The random histories 472 and 480 found a queue with a hole.)
#[test]
fn a_power_cut_does_not_bring_back_what_was_cleared() {
    for seed in 0..3000 {
        let env = Env::fault(seed, FaultPlan::default());
        let settings =
            StoreSettings { flush_interval_ms: 3_600_000, ..StoreSettings::test_min("/s") };
        let store = Store::open(env.clone(), settings.clone()).unwrap();
        let rng = env.rng.child("messages");
        let (mut taken, mut failed) = (Vec::new(), false);
        // Up to the first failed write, and once more.
        for _ in 0..8 {
            let batch = batch(&rng, &store);
            let no_space = if failed { 0 } else { 3 };
            env.disk.set_plan(FaultPlan { no_space, ..FaultPlan::default() });
            let appended = append(&store, batch);
            env.disk.set_plan(FaultPlan::default());
            match appended {
                Ok(appended) => taken.extend(appended.offsets().map(|(_, physical)| physical)),
                Err(_) if failed => break,
                Err(_) => {
                    env.clock.advance(Duration::from_secs(1));
                    store.inner.keep_disk();
                }
            }
            if failed {
                break;
            }
            failed = store.inner.appender.lock().is_to_be_cleared();
        }
        let env = env.crash();
        drop(store);
        let store = Store::open(env, settings).unwrap();
        assert!(is_dense(&store), "seed {seed}");
        let is_there = |physical: &u64| store.record(*physical).unwrap().is_some();
        let there = taken.iter().map(is_there).collect::<Vec<_>>();
        assert!(there.is_sorted_by(|before, after| before >= after), "seed {seed}: {there:?}");
    }
}
