//! `cargo xtask compare`: Apache RocketMQ of the reference version and Apogee under the same load, on
//! this machine, in turn, and the table of their ratios.
//!
//! Each row runs on a fresh broker with an empty directory, warms it up with the row's own load, waits
//! until the disk is quiet and measures; the sides take turns, and the table gives medians over the
//! rounds. The generator is `apogee bench` and beside each pair it also measures the server that stores
//! nothing and the disk alone. Processes end with the values that hold them, also on failure.

mod goal;
mod memory;
mod rows;
mod side;
mod table;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use rows::{ROWS, Row};
use side::{Runner, Side};
use table::Table;

/// Measure Java RocketMQ and Apogee side by side.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask compare")]
struct Args {
    /// Rows to run, by name; `list` prints them.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Sides to run: java, apogee, null.
    #[arg(long, value_delimiter = ',', default_value = "java,apogee,null")]
    sides: Vec<Side>,
    /// The binary of an earlier Apogee: it takes its turns too, and a second table sets it beside this one.
    #[arg(long)]
    earlier: Option<PathBuf>,
    /// Times that each side takes its turn.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// One round, short windows: a look, not a result.
    #[arg(long)]
    quick: bool,
    /// GiB of log in the row `kill`.
    #[arg(long, default_value_t = 1)]
    kill_gib: u64,
    /// Most GiB that a broker may write before it is ended.
    #[arg(long, default_value_t = 15)]
    disk_gib: u64,
    /// Directory for the brokers' data; removed row by row.
    #[arg(long)]
    work: Option<PathBuf>,
    /// Directory of the reports.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Use the binaries under `target/release` as they are.
    #[arg(long)]
    no_build: bool,
}

/// Runs the comparison.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let args = Args::parse_from([&["compare"], args].concat());
    if args.rows.iter().any(|row| row == "list") {
        for row in ROWS {
            println!(
                "{:<10} {}{}",
                row.name,
                row.title,
                if row.default { "" } else { " (on demand)" }
            );
        }
        return Ok(());
    }
    let rows = chosen(&args.rows)?;
    let earlier = args.earlier.is_some().then_some(Side::Earlier);
    let mut sides: Vec<Side> = args.sides.iter().copied().chain(earlier).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    if !args.no_build {
        build(&root, args.sides.contains(&Side::Apogee))?;
    }
    let binary = root.join("target/release/apogee");
    if args.sides.contains(&Side::Apogee) && std::env::var_os("APOGEE_BIN").is_none() {
        // Without APOGEE_BIN the newest build serves, and a debug build may be newer.
        let file = File::open(&binary).with_context(|| binary.display().to_string())?;
        file.set_modified(SystemTime::now())?;
    }
    let folder = root.join("bench/compare");
    let runner = Runner {
        generator: root.join("target/release/examples/bench"),
        earlier: args.earlier.as_deref().map(Path::canonicalize).transpose()?,
        work: args.work.clone().unwrap_or_else(|| folder.join("work")),
        quick: args.quick,
        kill_gib: args.kill_gib,
        disk_bytes: args.disk_gib << 30,
    };
    let backed = memory::Backed::new()?;
    if backed.is_none() {
        eprintln!(
            "no room in /dev/shm: on a virtual machine, first touches of memory may be measured"
        );
    }
    let mut table = Table::new(&commit(&root));
    let rounds = if args.quick { 1 } else { args.rounds };
    for row in &rows {
        for round in 1..=rounds {
            // The first of a round may be slower, and must not always be the same.
            sides.reverse();
            for &side in &sides {
                eprintln!("{} · {side} · round {round} of {rounds}", row.name);
                if let Some(sample) = runner.run(row, side)? {
                    eprintln!("    {sample}");
                    table.add(row, side, sample);
                }
            }
            if row.needs_disk() {
                table.add_disk(row, runner.disk(row)?);
            }
        }
    }
    let text = table.markdown(&rows);
    println!("{text}");
    let results = args.results.clone().unwrap_or_else(|| folder.join("results"));
    let name = format!("{}-{}", today(), set_name(&args.rows, args.quick));
    table.save(&results, &name, &text)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Row>> {
    let known = |name: &String| ROWS.iter().any(|row| row.name == name);
    let unknown: Vec<_> = names.iter().filter(|name| !known(name)).collect();
    ensure!(unknown.is_empty(), "no such row: {unknown:?}; --rows list prints them");
    let wanted = |row: &&Row| match names {
        [] => row.default,
        _ => names.iter().any(|name| name == row.name),
    };
    Ok(ROWS.iter().filter(wanted).collect())
}

fn build(root: &Path, apogee: bool) -> Result<()> {
    let mut targets = vec![vec!["-p", "apogee-bench", "--example", "bench"]];
    if apogee {
        targets.push(vec!["-p", "apogee-server", "--bin", "apogee"]);
    }
    for target in targets {
        let mut command = Command::new("cargo");
        command.args(["build", "--quiet", "--release"]).args(target).current_dir(root);
        ensure!(command.status().context("running cargo")?.success(), "cargo build failed");
    }
    Ok(())
}

fn commit(root: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(root).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let dirty = git(&["status", "--porcelain"]).is_some_and(|text| !text.is_empty());
    if dirty { format!("{head} and changes") } else { head }
}

fn set_name(rows: &[String], quick: bool) -> String {
    let set = if rows.is_empty() { "all".to_owned() } else { rows.join("+") };
    if quick { format!("{set}-quick") } else { set }
}

/// The date in UTC as year-month-day (civil calendar from days since 1970-01-01).
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + carry)
}
