//! kill -9 of the server under load, and power cuts, again and again on one directory.
//!
//! `APOGEE_KILL_POINTS` is the number of ends per case (default 10).
#![allow(clippy::disallowed_methods, reason = "drives real processes and clocks")]

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use apogee_e2e::cases::{Cases, counted};
use apogee_e2e::java::Settings;
use apogee_e2e::load::{self, Acked, Load, Shape};
use apogee_e2e::peer::{Cluster, Peer};
use apogee_e2e::power;
use apogee_e2e::view::View;

/// The server is killed between this many acknowledged messages and twice as many …
const LEAST_ACKED: u64 = 200;
/// … and up to this many microseconds later.
const MOST_DELAY_US: u64 = 20_000;
const BODY_BYTES: usize = 700;
/// Keys looked up in the index after each kill.
const LOOKED_UP: usize = 5;
/// Messages that are sent and synced before a power cut.
const SETTLED: usize = 50;
/// One MiB: some rounds of load fill a file.
const SEGMENT_BYTES: &str = "1048576";
const SYNC_LIMIT: Duration = Duration::from_secs(20);

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
            // What the reference keeps in a power cut is its own affair.
            if peer == Peer::Apogee {
                let name = format!("{peer}::power_cut_under_load::{}", flush.to_lowercase());
                cases.add(name, peer.missing(), move || {
                    let dir = tempfile::tempdir()?;
                    power_cut_under_load(peer, dir.path(), flush, kills)
                });
            }
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
    counted(format!("{peer} {flush}: {kills} kills under load, {} messages kept", acked.len()));
    cluster.check_log()
}

/// Shows that after each of many power cuts the server knows that it was one, and every message that a
/// sync had covered is where it was acknowledged; that with synchronous flush these are all; and that
/// what was lost without is the end of the log and nothing before.
fn power_cut_under_load(peer: Peer, dir: &Path, flush: &str, cuts: u32) -> Result<()> {
    let settings = [
        ("flushDiskType", flush),
        ("flushIntervalCommitLog", "50"),
        ("mappedFileSizeCommitLog", SEGMENT_BYTES),
    ];
    let settings: Settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut cluster = Cluster::start(peer, dir, &settings)?;
    let mut acked = Vec::new();
    for cut in 0..cuts {
        let shape = Shape { body_bytes: BODY_BYTES, ..Shape::new("power", &format!("cut{cut}")) };
        let settled = Shape { prefix: format!("settled{cut}"), ..shape.clone() };
        let settled = load::send(cluster.broker(), &settled, SETTLED)?;
        wait_for_sync(&cluster, &settled)?;
        acked.extend_from_slice(&settled);
        let load = Load::start(cluster.broker(), &shape);
        let random = RandomState::new().hash_one(cut);
        load.wait_for(usize::try_from(LEAST_ACKED + random % LEAST_ACKED)?)?;
        thread::sleep(Duration::from_micros((random >> 32) % MOST_DELAY_US));
        cluster.kill()?;
        acked.extend(load.after_kill()?);
        let synced = power::cut(&cluster.store_dir())?;
        cluster.start_again()?;
        let how = how_left(&cluster.log()?)?;
        ensure!(how == "PowerCut", "cut {cut}: the server took it for {how}");
        let kept = |one: &&Acked| one.physical < synced;
        if flush == "SYNC_FLUSH" {
            let lost = acked.iter().find(|one| !kept(one));
            ensure!(lost.is_none(), "cut {cut}: acknowledged before its sync: {lost:?}");
        }
        let synced: Vec<Acked> = acked.iter().filter(kept).cloned().collect();
        ensure!(settled.iter().all(|one| synced.contains(one)), "cut {cut}: settled, not synced");
        verify(&cluster, &shape, &synced, &settled).with_context(|| format!("after cut {cut}"))?;
        acked = survivors(&cluster, &shape, acked).with_context(|| format!("after cut {cut}"))?;
    }
    counted(format!("{peer} {flush}: {cuts} power cuts under load, {} messages kept", acked.len()));
    cluster.check_log()
}

/// How the last start found the store, by its own words.
fn how_left(log: &str) -> Result<String> {
    let last = log.lines().rfind(|line| line.contains("recovering the store"));
    let (_, how) =
        last.and_then(|line| line.split_once("left=")).context("no recovery in the log")?;
    Ok(how.split(' ').next().unwrap_or_default().to_owned())
}

/// Waits until a sync has covered these messages and left its mark.
fn wait_for_sync(cluster: &Cluster, settled: &[Acked]) -> Result<()> {
    let last = settled.iter().map(|one| one.physical).max().context("nothing sent")?;
    let end = Instant::now() + SYNC_LIMIT;
    while power::synced(&cluster.store_dir())? <= last {
        ensure!(Instant::now() < end, "{last} was not synced in {SYNC_LIMIT:?}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The messages that are still there; those that are not must be the last of the log.
fn survivors(cluster: &Cluster, shape: &Shape, acked: Vec<Acked>) -> Result<Vec<Acked>> {
    let queues = View::open(cluster.broker())?.topic(&shape.topic, shape.queues)?;
    let records = queues.values().flat_map(|queue| &queue.records);
    let stored: Result<BTreeSet<&str>> = records.map(|one| one.property("KEYS")).collect();
    let stored = stored?;
    let (kept, lost): (Vec<Acked>, Vec<Acked>) =
        acked.into_iter().partition(|one| stored.contains(&*one.key));
    let first = lost.iter().min_by_key(|one| one.physical);
    let behind = kept.iter().find(|one| first.is_some_and(|lost| one.physical > lost.physical));
    ensure!(behind.is_none(), "{behind:?} was kept, but {first:?} was not");
    Ok(kept)
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
