//! `cargo xtask test` and `cargo xtask prove`: what must hold for every change, and before an end is claimed.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::fixtures::workspace;

/// How much `prove` does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A tenth of the counts: does the proof itself still work?
    Quick,
    /// The stated counts.
    Full,
}

/// One command of the gate.
struct Step {
    name: &'static str,
    args: Vec<&'static str>,
    variables: Vec<(&'static str, String)>,
}

impl Step {
    fn new(name: &'static str, args: &[&'static str]) -> Self {
        Self { name, args: args.to_vec(), variables: Vec::new() }
    }

    fn with(mut self, variable: &'static str, value: impl ToString) -> Self {
        self.variables.push((variable, value.to_string()));
        self
    }

    /// The command as one would type it.
    fn text(&self) -> String {
        let variables: String =
            self.variables.iter().map(|(name, value)| format!("{name}={value:?} ")).collect();
        format!("{variables}cargo {}", self.args.join(" "))
    }

    fn run(&self) -> anyhow::Result<Duration> {
        println!("== {}: {}", self.name, self.text());
        let start = Instant::now();
        let status = Command::new("cargo")
            .args(&self.args)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(workspace())
            .status()
            .context("running cargo")?;
        ensure!(status.success(), "{} failed: {}", self.name, self.text());
        Ok(start.elapsed())
    }
}

/// In order of speed; a warning is a failure.
fn gate() -> Vec<Step> {
    vec![
        Step::new("format", &["fmt", "--all", "--check"]),
        Step::new(
            "lints",
            &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
        ),
        Step::new("tests", &["test", "--workspace", "--exclude", "apogee-e2e"]),
        Step::new("documentation", &["doc", "--workspace", "--no-deps", "--quiet"])
            .with("RUSTDOCFLAGS", "-D warnings -D rustdoc::broken_intra_doc_links"),
    ]
}

/// The long tests. Counts are read by the tests themselves.
fn long(extent: Extent) -> Vec<Step> {
    let share = |count: u32| if extent == Extent::Quick { count / 10 } else { count };
    let mut steps = vec![
        Step::new("store against its model", &["test", "--release", "-p", "apogee-store"])
            .with("APOGEE_HISTORIES", share(10_000)),
        Step::new("the binary under test", &["build", "--release", "-p", "apogee-server"]),
        Step::new("end to end, with kills", &["test", "--release", "-p", "apogee-e2e"])
            .with("APOGEE_KILL_POINTS", share(100)),
    ];
    if workspace().join("fuzz").is_dir() && has_fuzzer() {
        let seconds =
            if extent == Extent::Quick { "-max_total_time=30" } else { "-max_total_time=300" };
        for target in ["frame", "record", "recovery"] {
            steps.push(Step::new("fuzzing", &["+nightly", "fuzz", "run", target, "--", seconds]));
        }
    }
    steps
}

fn has_fuzzer() -> bool {
    let output = Command::new("cargo").args(["+nightly", "fuzz", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// What every change must pass.
pub(crate) fn test() -> anyhow::Result<()> {
    for step in gate() {
        step.run()?;
    }
    Ok(())
}

/// The gate and the long tests; writes `docs/proofs/<date>.md`, also when something failed.
pub(crate) fn prove(extent: Extent) -> anyhow::Result<()> {
    let mut report = String::from("| what | command | time | result |\n|---|---|---|---|\n");
    let mut failed = Vec::new();
    for step in gate().into_iter().chain(long(extent)) {
        let (time, result) = match step.run() {
            Ok(time) => (format!("{:.0} s", time.as_secs_f64()), "holds"),
            Err(error) => {
                failed.push(error.to_string());
                (String::new(), "FAILED")
            }
        };
        writeln!(report, "| {} | `{}` | {time} | {result} |", step.name, step.text())?;
    }
    write_report(extent, &report, &failed)?;
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn write_report(extent: Extent, table: &str, failed: &[String]) -> anyhow::Result<()> {
    let ask = |program: &str, args: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(program).args(args).current_dir(workspace()).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let date = ask("date", &["+%F"])?;
    let commit = ask("git", &["rev-parse", "--short", "HEAD"])?;
    let changed = if ask("git", &["status", "--porcelain"])?.is_empty() {
        ""
    } else {
        ", with changes not committed"
    };
    let cores = std::thread::available_parallelism()?;
    let counts = if extent == Extent::Quick { "a tenth of the counts" } else { "full counts" };
    let verdict = if failed.is_empty() { "Everything holds." } else { "Something failed." };
    let text = format!(
        "# Proof of {date}\n\nCommit {commit}{changed}; {cores} cores; {counts}. {verdict}\n\n{table}\n{}",
        failed.join("\n")
    );
    let dir = workspace().join("docs/proofs");
    fs::create_dir_all(&dir)?;
    fs::write(dir.join(format!("{date}.md")), text)?;
    Ok(())
}
