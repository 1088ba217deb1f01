//! The reference's own `mqadmin`, against the reference and against the binary over the same data:
//! what an operator reads is the same but for times, addresses and identifiers.
#![allow(clippy::disallowed_methods, reason = "drives real processes and clocks")]

mod changes;
mod commands;
mod mask;
mod side;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};
use apogee_e2e::cases::Cases;
use apogee_e2e::java;
use apogee_e2e::peer::Peer;

use side::Side;

type Case = fn(&Sides) -> Result<()>;

const CASES: [(&str, Case); 25] = [
    ("cluster_list", commands::cluster_list),
    ("topic_list", commands::topic_list),
    ("topic_route", commands::topic_route),
    ("topic_status", commands::topic_status),
    ("consumer_progress", commands::consumer_progress),
    ("consumer_connection", commands::consumer_connection),
    ("producer_connection", commands::producer_connection),
    ("broker_status", commands::broker_status),
    ("get_broker_config", commands::get_broker_config),
    ("query_msg_by_id", commands::query_msg_by_id),
    ("query_msg_by_key", commands::query_msg_by_key),
    ("query_msg_by_unique_key", commands::query_msg_by_unique_key),
    ("query_msg_by_offset", commands::query_msg_by_offset),
    ("clients", commands::clients),
    ("stats_all", commands::stats_all),
    ("exports", commands::exports),
    ("topics", changes::topics),
    ("groups", changes::groups),
    ("broker_settings", changes::broker_settings),
    ("offsets", changes::offsets),
    ("messages", changes::messages),
    ("kv_config", changes::kv_config),
    ("write_permission", changes::write_permission),
    ("namesrv_settings", changes::namesrv_settings),
    ("cleaning", changes::cleaning),
];

/// Both servers, with the same messages and the same clients.
pub(crate) struct Sides {
    pub(crate) java: Side,
    pub(crate) apogee: Side,
}

fn main() -> Result<ExitCode> {
    // Each takes back what it changes before the next one looks.
    let mut cases = Cases::at_once(1);
    let java = Side::new(Peer::Java)?;
    let apogee = Side::new(Peer::Apogee)?;
    cases.watch(&apogee.shared);
    let sides = Arc::new(Sides { java, apogee });
    let started: Arc<OnceLock<Result<(), String>>> = Arc::default();
    let selected = Peer::selected();
    let missing = [Peer::Java, Peer::Apogee].into_iter().find_map(Peer::missing);
    let missing = missing
        .or_else(|| java::missing_tool().map(|tool| format!("{tool} is not installed")))
        .or_else(|| (selected.len() < 2).then(|| "compares the two peers".to_owned()));
    for (name, case) in CASES {
        let (sides, started) = (Arc::clone(&sides), Arc::clone(&started));
        cases.add(format!("both::{name}"), missing.clone(), move || {
            let start = || commands::on_both(&sides, Side::start).map(drop);
            let started = started.get_or_init(|| start().map_err(|error| format!("{error:#}")));
            started.as_ref().map_err(|error| anyhow!("{error}"))?;
            case(&sides)
        });
    }
    Ok(cases.run())
}
