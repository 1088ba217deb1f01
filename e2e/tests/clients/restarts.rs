//! The server goes and comes back.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use apogee_e2e::client::finish;
use apogee_e2e::peer::Cluster;
use apogee_e2e::process::Process;
use serde_json::json;

use crate::Context;
use crate::results::{all_got, all_sent, number, same_places};
use crate::topics::stored_in;

const PROGRESS_LIMIT: Duration = Duration::from_secs(60);

/// Shows that a clean restart under load loses nothing acknowledged and that producer and
/// consumer go on by themselves.
pub(crate) fn stopped_under_load(context: &Context) -> Result<()> {
    under_load(context, Cluster::stop)
}

/// Shows the same for kill -9 with asynchronous flush: the page cache survives the process.
pub(crate) fn killed_under_load(context: &Context) -> Result<()> {
    under_load(context, Cluster::kill)
}

fn under_load(context: &Context, end: fn(&mut Cluster) -> Result<()>) -> Result<()> {
    let _alone = context.shared.alone();
    let stop = context.shared.case_dir(&context.topic())?.join("stop");
    let stop_argument = stop.display().to_string();
    let args = [("stop", &*stop_argument), ("sendTimeout", "3000"), ("limit", "110")];
    let mut load = context.start("Load", "Load", &[], &args)?;
    wait_for_more(&mut load, 500)?;
    {
        let mut cluster = context.shared.cluster()?;
        end(&mut cluster)?;
        cluster.start_again()?;
    }
    wait_for_more(&mut load, 500)?;
    fs::write(&stop, [])?;
    let results = finish(load)?;
    ensure!(results["missing"] == json!([]), "{results:#}");
    ensure!(results["moved"] == json!([]), "{results:#}");
    ensure!(results["damaged"] == json!([]), "{results:#}");
    let acked = number(&results, "acked")?;
    ensure!(acked >= 1000, "{results:#}");
    // A client that had received everything before would not notice that the log is gone.
    let stored = stored_in(context.broker()?, &context.topic())?;
    ensure!(stored >= acked, "{stored} messages for {acked} acknowledged: {results:#}");
    Ok(())
}

/// Waits until the load has `count` more acknowledged, and as many received, than now.
pub(crate) fn wait_for_more(load: &mut Process, count: u64) -> Result<()> {
    let (acked, received) = progress(load);
    load.wait_until(PROGRESS_LIMIT, "progress of producer and consumer", |load| {
        let now = progress(load);
        now.0 >= acked + count && now.1 >= received + count
    })
}

/// The last `ACKED n RECEIVED m` line.
fn progress(load: &Process) -> (u64, u64) {
    let output = load.output();
    let mut words = output.lines().rev().find_map(|line| {
        let mut words = line.strip_prefix("ACKED ")?.split(" RECEIVED ").map(str::parse);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    });
    words.take().unwrap_or((0, 0))
}

/// Shows that a group goes on after a restart where it had committed, without a repeat or a gap.
pub(crate) fn consumer_offset_survives_restart(context: &Context) -> Result<()> {
    let _alone = context.shared.alone();
    let args = [("count", "40"), ("prefix", "old"), ("expect", "40")];
    let results = context.run("Roundtrip", &args)?;
    same_places(&all_sent(&results, 40)?, &all_got(&results, 40)?)?;
    {
        let mut cluster = context.shared.cluster()?;
        cluster.stop()?;
        cluster.start_again()?;
    }
    let args = [("count", "40"), ("prefix", "new"), ("expect", "40")];
    let results = context.run("Roundtrip", &args)?;
    same_places(&all_sent(&results, 40)?, &all_got(&results, 40)?)
}
