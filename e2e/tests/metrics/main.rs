//! What monitoring systems read: the same names, labels, bounds and counts from the reference (`metricsExporterType`
//! PROM) and from the binary after the same load; and what only the binary has.
#![allow(clippy::disallowed_methods, reason = "drives real sockets and clocks")]

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use apogee_e2e::cases::{Cases, Shared};
use apogee_e2e::peer::Peer;
use apogee_e2e::ports;

mod load;
mod own;
mod same;

use load::Metered;

type Case = fn(&Metered) -> Result<()>;
type OwnCase = fn() -> Result<()>;

const SAME: [(&str, Case); 4] = [
    ("names_labels_and_bounds", same::names_labels_and_bounds),
    ("messages_in", same::messages_in),
    ("messages_out_and_lag", same::messages_out_and_lag),
    ("requests", same::requests),
];

const OWN: [(&str, OwnCase); 5] = [
    ("health_says_why_not", own::health_says_why_not),
    ("json_logs_and_floods", own::json_logs_and_floods),
    ("taken_port_ends_the_start", own::taken_port_ends_the_start),
    ("a_failed_start_closes_the_store", own::a_failed_start_closes_the_store),
    ("a_mistyped_filter_ends_the_start", own::a_mistyped_filter_ends_the_start),
];

fn main() -> Result<ExitCode> {
    let mut cases = Cases::default();
    for peer in Peer::selected() {
        let port = ports::free(&[])?;
        let settings = [
            ("metricsExporterType", "PROM"),
            ("metricsPromExporterPort", &port.to_string()),
            ("metricsPromExporterHost", "127.0.0.1"),
            ("metricsLabel", "zone:z1"),
        ];
        let shared = Arc::new(Shared::new(peer, &settings)?);
        cases.watch(&shared);
        let metered = Arc::new(Metered::new(Arc::clone(&shared), port));
        for (name, case) in SAME {
            let metered = Arc::clone(&metered);
            cases.add(format!("{peer}::{name}"), peer.missing(), move || case(&metered));
        }
    }
    for (name, case) in OWN {
        if Peer::selected().contains(&Peer::Apogee) {
            cases.add(format!("apogee::{name}"), Peer::Apogee.missing(), case);
        }
    }
    Ok(cases.run())
}
