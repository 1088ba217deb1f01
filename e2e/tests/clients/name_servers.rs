//! More than one name server.

use std::fs;

use anyhow::{Result, ensure};
use apogee_e2e::client::{Arg, finish};
use apogee_e2e::pair::Pair;
use serde_json::json;

use crate::Context;
use crate::restarts::wait_for_more;
use crate::results::{all_got, all_sent, same_places};

/// Shows that with two name servers, of which one is killed, clients and broker go on, and that a
/// client that starts afterwards finds a topic that is new.
pub(crate) fn one_killed(context: &Context) -> Result<()> {
    let dir = context.shared.case_dir(&context.topic())?;
    let mut pair = Pair::start(context.shared.peer(), &dir.join("pair"))?;
    let (namesrv, stop) = (pair.namesrvs(), dir.join("stop"));
    let stop_argument = stop.display().to_string();
    let args = [("namesrv", &*namesrv), ("stop", &*stop_argument), ("limit", "110")];
    let broker = pair.broker();
    let start =
        |name, args: &[Arg<'_>]| context.start_of(context.library, broker, name, name, &[], args);
    let mut load = start("Load", &args)?;
    wait_for_more(&mut load, 100)?;
    pair.kill_first()?;
    wait_for_more(&mut load, 100)?;
    let (topic, group) = (context.topic() + "-new", context.group() + "-new");
    let args = [("namesrv", &*namesrv), ("topic", &*topic), ("group", &*group)];
    let args = [&args[..], &[("count", "20"), ("expect", "20")]].concat();
    let results = finish(start("Roundtrip", &args)?)?;
    same_places(&all_sent(&results, 20)?, &all_got(&results, 20)?)?;
    wait_for_more(&mut load, 100)?;
    fs::write(&stop, [])?;
    let results = finish(load)?;
    for what in ["missing", "moved", "damaged"] {
        ensure!(results[what] == json!([]), "{results:#}");
    }
    pair.check_log()
}
