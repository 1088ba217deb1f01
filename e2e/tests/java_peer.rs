//! The reference itself starts, is found through its name server, survives kill -9, ends cleanly.
#![allow(clippy::disallowed_methods, reason = "drives real processes")]

use apogee_e2e::java::{Artifacts, Broker, BrokerSetup, NameServer, REFERENCE, missing_tool};

/// Shows that the harness can start, crash, restart and cleanly stop the reference, by asking its
/// own mqadmin for the cluster after each start.
#[test]
fn reference_starts_and_stops() -> anyhow::Result<()> {
    if let Some(tool) = missing_tool() {
        eprintln!("SKIPPED reference_starts_and_stops: {tool} is not installed");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let artifacts = Artifacts::fetch(REFERENCE)?;
    let namesrv = NameServer::start(&artifacts, &dir.path().join("namesrv"))?;
    let setup = BrokerSetup::new(&dir.path().join("broker"), namesrv.addr());
    let mut broker = Broker::start(&artifacts, setup)?;
    broker.kill()?;
    assert!(broker.store_dir().join("abort").exists(), "kill -9 must leave the abort file");
    broker.start_again()?;
    let list = artifacts.mqadmin(&namesrv.addr().to_string(), &["clusterList"])?;
    assert!(list.contains(&broker.addr().to_string()), "{list}");
    broker.stop()
}
