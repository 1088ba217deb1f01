//! Peers that would use up the server: connections with garbage, more large requests than there is
//! memory for, a small machine, a disk that others use. Against the binary alone: the reference has no such bounds.
//!
//! `APOGEE_HOSTILE_PERCENT` is the share of the stated counts that is run (default 5).
#![allow(clippy::disallowed_methods, reason = "drives real sockets and clocks")]

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use apogee_e2e::apogee::Server;
use apogee_e2e::cases::Cases;
use apogee_e2e::java::Settings;
use apogee_e2e::peer::Peer;
use apogee_e2e::{apogee, usage};

mod busy_disk;
mod garbage;
mod many_files;
mod small_machine;
mod storm;

/// How long the server may take to give back what it does not need any more.
const SETTLE: Duration = Duration::from_secs(60);
/// What memory may differ by besides 5 percent: pages that the allocator keeps for each thread.
const SLACK_BYTES: u64 = 8 << 20;
/// The same where large buffers were used: the allocator keeps what a thread freed last until that thread
/// allocates again, in segments of 32 MiB.
const LARGE_SLACK_BYTES: u64 = 32 << 20;

type Case = fn(&Path, u32) -> Result<()>;

const CASES: [(&str, Case); 5] = [
    ("100_000_connections_with_garbage", garbage::connections),
    ("10_000_parallel_sends_of_4_mib", storm::parallel_sends),
    ("5_gib_in_a_group_of_256_mib", small_machine::consumes_cold),
    ("20_000_sends_a_second_beside_a_writer_of_2_gib", busy_disk::beside_a_writer),
    ("open_files_of_a_log_of_1_500_files", many_files::open_files),
];

fn main() -> Result<ExitCode> {
    let percent = std::env::var("APOGEE_HOSTILE_PERCENT").map_or(Ok(5), |text| text.parse())?;
    let mut cases = Cases::default();
    if Peer::selected().contains(&Peer::Apogee) {
        for (name, case) in CASES {
            let missing = Peer::Apogee.missing().or_else(|| match name {
                "5_gib_in_a_group_of_256_mib" => small_machine::missing(),
                _ => None,
            });
            cases.add(format!("apogee::{name}"), missing, move || {
                let dir = tempfile::tempdir()?;
                case(dir.path(), percent)
            });
        }
    }
    Ok(cases.run())
}

/// A share of a stated count, at least 1.
fn share(count: usize, percent: u32) -> usize {
    (count * percent as usize / 100).max(1)
}

fn start(dir: &Path, settings: &[(&str, &str)]) -> Result<Server> {
    let settings: Settings =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Server::start(&apogee::binary().context("no apogee binary")?, dir, settings)
}

fn id(server: &Server) -> Result<u32> {
    server.id().context("the server does not run")
}

/// Ends the server; an error that quotes log lines which a quiet server would not have written.
fn finish(mut server: Server) -> Result<()> {
    server.stop()?;
    let lines = server.unexpected_log_lines();
    ensure!(lines.is_empty(), "unexpected log lines:\n{}", lines.join("\n"));
    Ok(())
}

/// Waits until `holds` says nothing more against it.
fn eventually(limit: Duration, mut holds: impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        let error = match holds() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        ensure!(Instant::now() < end, "after {limit:?}: {error:#}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the process uses no more memory of its own than `before`, 5 percent and `slack`.
fn memory_is_back(id: u32, before: u64, slack: u64) -> Result<u64> {
    let most = before + before / 20 + slack;
    let mut now = 0;
    eventually(SETTLE, || {
        now = usage::own_memory(id)?;
        ensure!(now <= most, "{now} bytes of memory, {before} before");
        Ok(())
    })?;
    Ok(now)
}
