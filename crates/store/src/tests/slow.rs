//! A slow device (user pain 2).

use std::time::Duration;

use env::disk::FaultPlan;
use env::{Disk, Env};

use super::{append, push};
use crate::{AppendError, Batch, Store, StoreSettings};

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
