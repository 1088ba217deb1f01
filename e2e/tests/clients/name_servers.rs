//! More than one name server.

use std::fs;

use anyhow::{Result, ensure};
use apogee_e2e::client::{Arg, finish};
use apogee_e2e::pair::Pair;
use serde_json::json;

use crate::Context;
use crate::restarts::wait_for_more;
use crate::results::{all_got, all_sent, same_places};

/// A Java client that starts chooses one of its name servers at random, and may give up if that one is
/// down instead of asking the next (seen with 5.4.0). Its user starts it again.
const GAVE_UP: &str = "RemotingConnectException";
const ATTEMPTS: usize = 6;

/// Shows that with two name servers, of which one is killed, clients and broker go on, and that a
/// client that starts afterwards finds a topic that is new.
pub(crate) fn one_killed(context: &Context) -> Result<()> {
    let dir = context.shared.case_dir(&context.topic())?;
    let mut pair = Pair::start(context.shared.peer(), &dir.join("pair"))?;
    let (namesrv, stop) = (pair.namesrvs(), dir.join("stop"));
    let stop_argument = stop.display().to_string();
    // One sender, since this is about name servers and other cases run beside; `stop` ends it long before.
    let args =
        [("namesrv", &*namesrv), ("stop", &*stop_argument), ("senders", "1"), ("limit", "600")];
    let broker = pair.broker();
    let start =
        |name, args: &[Arg<'_>]| context.start_of(context.library, broker, (name, name), &[], args);
    let mut load = start("Load", &args)?;
    wait_for_more(&mut load, 100)?;
    pair.kill_first()?;
    wait_for_more(&mut load, 100)?;
    let new_client = |attempt: usize| {
        let name = |of: String| format!("{of}-new{attempt}");
        let (topic, group) = (name(context.topic()), name(context.group()));
        let args = [("namesrv", &*namesrv), ("topic", &*topic), ("group", &*group)];
        let args = [&args[..], &[("count", "20"), ("expect", "20")]].concat();
        let results = finish(start("Roundtrip", &args)?)?;
        same_places(&all_sent(&results, 20)?, &all_got(&results, 20)?)
    };
    let mut outcome = new_client(0);
    for attempt in 1..ATTEMPTS {
        match &outcome {
            Err(error) if format!("{error:#}").contains(GAVE_UP) => outcome = new_client(attempt),
            _ => break,
        }
    }
    outcome?;
    wait_for_more(&mut load, 100)?;
    fs::write(&stop, [])?;
    let results = finish(load)?;
    for what in ["missing", "moved", "damaged"] {
        ensure!(results[what] == json!([]), "{results:#}");
    }
    pair.check_log()
}
