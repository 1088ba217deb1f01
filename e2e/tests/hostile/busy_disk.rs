//! A disk that another process writes to.

use std::fs::File;
use std::io::{Write as _, sink};
use std::path::Path;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use apogee_e2e::cases::counted;
use bench::Report;
use clap::Parser;

use crate::{finish, share, start};

const RATE: usize = 20_000;
const WRITER_MIB: usize = 2048;
/// About three times as long as the other process writes.
const SECONDS: usize = 15;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: bench::Args,
}

/// Shows that of 20,000 sends a second none is refused or left without an answer while another process
/// makes 2 GiB of the page cache dirty; how long they take is counted here and judged by
/// `cargo xtask compare --rows beside-writer`.
pub(crate) fn beside_a_writer(dir: &Path, percent: u32) -> Result<()> {
    let server = start(dir, &[])?;
    let json = dir.join("report.json");
    let (seconds, mib) = (share(SECONDS, percent), share(WRITER_MIB, percent));
    let line = format!(
        "bench send --broker {} --rate {RATE} --eager -s 1024 -q 4 --warmup 1 --seconds {seconds} --quiet --json {}",
        server.broker(),
        json.display()
    );
    let args = Line::try_parse_from(line.split(' '))?.args;
    let load = thread::spawn(move || bench::run(&args, &mut sink()));
    let mut file = File::create(dir.join("of another process"))?;
    for _ in 0..mib {
        file.write_all(&[0xa5; 1 << 20])?;
    }
    load.join().map_err(|_| anyhow!("the load panicked"))??;
    let report: Report = serde_json::from_slice(&std::fs::read(&json)?)?;
    ensure!((report.errors.len(), report.unanswered) == (0, 0), "{report:?}");
    ensure!(report.messages > 0, "{report:?}");
    let times = &report.latency_us;
    counted(format!(
        "{} sends at {RATE} a second beside a writer of {mib} MiB, none refused: p50 {:.0} µs, p99.9 {:.0} µs",
        report.messages, times.p50, times.p999
    ));
    finish(server)
}
