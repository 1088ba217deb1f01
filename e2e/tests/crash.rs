//! kill -9 of the server under load, again and again on one directory.
//!
//! `APOGEE_KILL_POINTS` is the number of kills per flush mode (default 10).
#![allow(clippy::disallowed_methods, reason = "drives real processes and clocks")]

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use apogee_e2e::cases::Cases;
use apogee_e2e::java::Settings;
use apogee_e2e::load::{self, Acked, Load, Shape};
use apogee_e2e::peer::{Cluster, Peer};
use apogee_e2e::view::View;

/// The server is killed between this many acknowledged messages and twice as many …
const LEAST_ACKED: u64 = 200;
/// … and up to this many microseconds later.
const MOST_DELAY_US: u64 = 20_000;
const BODY_BYTES: usize = 700;
/// Keys looked up in the index after each kill.
const LOOKED_UP: usize = 5;

fn main() -> Result<ExitCode> {
    let kills = std::env::var("APOGEE_KILL_POINTS").map_or(Ok(10), |text| text.parse())?;
    let mut cases = Cases::default();
    for peer in Peer::selected() {
        // The reference is killed less often: it only proves the test, and starts slowly.
        let kills = if peer == Peer::Java { 2 } else { kills };
        for flush in ["ASYNC_FLUSH", "SYNC_FLUSH"] {
            let name = format!("{peer}::killed_under_load::{}", flush.to_lowercase());
            cases.add(name, peer.missing(), move || {
                let dir = tempfile::tempdir()?;
                killed_under_load(peer, dir.path(), flush, kills)
            });
        }
    }
    Ok(cases.run())
}

/// Shows that after each of many kills under load every message that was ever acknowledged is
/// readable exactly once at its acknowledged queue offset, queues have no gap, and the key index
/// finds what it should.
fn killed_under_load(peer: Peer, dir: &Path, flush: &str, kills: u32) -> Result<()> {
    let settings = Settings::from([("flushDiskType".to_owned(), flush.to_owned())]);
    let mut cluster = Cluster::start(peer, dir, &settings)?;
    let mut acked = Vec::new();
    for kill in 0..kills {
        let shape = Shape { body_bytes: BODY_BYTES, ..Shape::new("crash", &format!("kill{kill}")) };
        let load = Load::start(cluster.broker(), &shape);
        let random = RandomState::new().hash_one(kill);
        load.wait_for(usize::try_from(LEAST_ACKED + random % LEAST_ACKED)?)?;
        thread::sleep(Duration::from_micros((random >> 32) % MOST_DELAY_US));
        cluster.kill()?;
        let fresh = load.after_kill()?;
        cluster.start_again()?;
        acked.extend_from_slice(&fresh);
        verify(&cluster, &shape, &acked, &fresh).with_context(|| format!("after kill {kill}"))?;
    }
    cluster.check_log()
}

fn verify(cluster: &Cluster, shape: &Shape, acked: &[Acked], fresh: &[Acked]) -> Result<()> {
    let mut view = View::open(cluster.broker())?;
    let queues = view.topic(&shape.topic, shape.queues)?;
    let stored = load::check(&queues, acked, BODY_BYTES)?;
    ensure!(stored >= acked.len(), "{stored} stored, {} acknowledged", acked.len());
    for one in fresh.iter().rev().take(LOOKED_UP) {
        let found = view.by_key(&shape.topic, &one.key)?;
        ensure!(found.len() == 1, "{} records with key {}", found.len(), one.key);
    }
    Ok(())
}
