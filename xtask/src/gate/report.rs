//! `docs/proofs/<date>….md`: what was run, where, and what it counted.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use super::Extent;
use super::step::Outcome;
use crate::fixtures::workspace;

/// Writes the report of a proof, or of a `part` of it, that took `time`, also when something failed.
pub(super) fn write(
    part: &str,
    extent: Extent,
    outcomes: &[Outcome],
    time: Duration,
) -> anyhow::Result<()> {
    let date = ask("date", &["-u", "+%F"])?;
    let commit = ask("git", &["rev-parse", "HEAD"])?;
    let changed = if ask("git", &["status", "--porcelain"])?.is_empty() {
        ""
    } else {
        ", with changes not committed"
    };
    let counts = match extent {
        Extent::Quick => {
            "A quick run: a tenth of the counts, which proves nothing but that it works."
        }
        Extent::Full => "Full counts.",
    };
    let failed = outcomes.iter().any(|outcome| outcome.failure.is_some());
    let verdict = if failed { "**Something failed.**" } else { "Everything holds." };
    let minutes = time.as_secs().div_ceil(60);
    let text = format!(
        "# Proof of {date}\n\nCommit {commit}{changed}. {counts} {verdict}\n\n\
         Machine: {}. It took {minutes} minutes.\n\n{}",
        machine()?,
        table(outcomes)
    );
    let dir = workspace().join("docs/proofs");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join(format!("{date}{part}.md")), text)?;
    Ok(())
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table =
        String::from("| what | command | time | result | counted |\n|---|---|---|---|---|\n");
    for Outcome { step, time, counts, failure } in outcomes {
        let result = if failure.is_some() { "**FAILED**" } else { "holds" };
        let counts = counts.join("<br>").replace('|', "\\|");
        let seconds = time.as_secs_f64();
        let row = format!("| {} | `{}` | {seconds:.0} s", step.name, step.text());
        // Writing to a text cannot fail.
        let _ = writeln!(table, "{row} | {result} | {counts} |");
    }
    table
}

/// Cores, memory, kernel, processor and compiler.
fn machine() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
        value.unwrap_or("unknown").to_owned()
    };
    Ok(format!(
        "{cores} cores ({}), memory {}, {}, {}",
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal"),
        ask("uname", &["-sr"])?,
        ask("rustc", &["--version"])?
    ))
}

/// The first program's output.
fn ask(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(args).current_dir(workspace()).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
