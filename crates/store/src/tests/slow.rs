//! A slow device (user pain 2).

use std::time::Duration;

use env::disk::FaultPlan;
use env::{Disk, Env};

use super::{append, push};
use crate::{AppendError, Batch, Durability, Store, StoreSettings};

/// User pain 2: with asynchronous flush and syncs of 800 ms, sends are taken on the spot until the bytes
/// that may await the device are used up; then one that has waited its time is refused with `fsync`, the
/// measured values, the limits and their keys. With a fast device sends go on.
#[test]
fn slow_fsync_is_felt_at_the_dirty_cap_and_named() {
    const LIMIT: u64 = 256 << 10;
    let env = Env { disk: Disk::fault(1, FaultPlan::default()), ..Env::real() };
    let settings = StoreSettings {
        segment_bytes: 1 << 20,
        dirty_bytes_max: LIMIT,
        append_timeout_ms: 200,
        flush_interval_ms: 1,
        ..StoreSettings::test_min("/s")
    };
    let store = Store::open(env.clone(), settings).unwrap();
    let queue = store.queue("t", 0);
    let batch = || {
        let mut batch = Batch::new();
        push(&mut batch, &queue, &[7; 4096], false);
        batch
    };
    let slow_sync_time = Duration::from_millis(800);
    env.disk.set_plan(FaultPlan { slow_sync: 1, slow_sync_time, ..FaultPlan::default() });
    let error = loop {
        let room = {
            let marks = store.watermarks();
            marks.appended - marks.durable + 8192 < LIMIT
        };
        match store.append(batch()).now() {
            Ok(result) => drop(result.unwrap()),
            // The flusher only ever makes more room.
            Err(_) if room => panic!("below the cap a send waits"),
            Err(waiting) => {
                if let Err(error) = super::wait(waiting) {
                    break error;
                }
            }
        }
    };
    let AppendError::Behind { sync_ms, dirty, dirty_limit, waited_ms, limit_ms } = error else {
        panic!("{error}")
    };
    assert_eq!((dirty_limit, limit_ms), (LIMIT, 200));
    assert!(sync_ms > 0 && waited_ms >= 200 && dirty > LIMIT - 8192 && dirty <= LIMIT, "{error}");
    let text = format!(
        "fsync takes {sync_ms} ms, and {dirty} bytes of the log await it, the limit is {LIMIT} (commitLogDirtyBytesMax); this send has waited {waited_ms} ms, the limit is 200 (osPageCacheBusyTimeOutMills)"
    );
    assert_eq!(error.to_string(), text);
    env.disk.set_plan(FaultPlan::default());
    while let Err(error) = append(&store, batch()) {
        assert!(matches!(error, AppendError::Behind { .. }), "{error}");
    }
}

/// A device that hangs keeps no answer back: neither a refusal, whether the bytes that may await it are used up
/// or the next file of the log is not there, nor the end of a wait for durability. All come while it hangs,
/// and no append waits for it on the thread that sends. A cap above three quarters of a file has a thread of
/// the store wait for the next file before the cap is reached.
#[test]
fn a_device_that_hangs_keeps_no_answer_back() {
    const SEGMENT: u64 = 64 << 10;
    const HANGS: Duration = Duration::from_secs(20);
    for (cap, text) in [
        (SEGMENT / 8 * 7, "fsync takes"),
        (2 * SEGMENT, "the next file of the log is not there, its fsync takes long"),
    ] {
        let env = Env { disk: Disk::fault(2, FaultPlan::default()), ..Env::real() };
        let settings = StoreSettings {
            segment_bytes: SEGMENT,
            dirty_bytes_max: cap,
            append_timeout_ms: 100,
            sync_flush_timeout_ms: 100,
            flush_interval_ms: 1,
            ..StoreSettings::test_min("/s")
        };
        let store = Store::open(env.clone(), settings).unwrap();
        let queue = store.queue("t", 0);
        super::send(&store, &queue, b"makes the first file");
        env.disk.set_plan(FaultPlan {
            slow_sync: 1,
            slow_sync_time: HANGS,
            ..FaultPlan::default()
        });
        let began = env.clock.mono();
        let mut end = 0;
        let error = loop {
            let mut batch = Batch::new();
            push(&mut batch, &queue, &[7; 4096], false);
            match append(&store, batch) {
                Ok(appended) => end = appended.end,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains(text), "{error}");
        assert!(end > SEGMENT / 4 * 3, "the next file was wanted");
        assert_eq!(super::wait(store.durable(end)), Durability::TimedOut);
        assert!(env.clock.mono() - began < HANGS, "the answers waited for the device");
    }
}
