//! `cargo xtask test` and `cargo xtask prove`: what must hold for every change, and before an end is claimed.

mod report;
mod step;

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;

use self::step::{Outcome, Step, run_side_by_side};
use crate::fixtures::workspace;

/// How much `prove` does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A tenth of the counts: does the proof itself still work?
    Quick,
    /// The stated counts.
    Full,
}

impl Extent {
    fn share(self, count: u32) -> u32 {
        if self == Extent::Quick { count / 10 } else { count }
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

/// The long tests that have the machine for themselves. Counts are read by the tests themselves.
fn long(extent: Extent) -> Vec<Step> {
    // Others every day, and the report says which.
    let day = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400);
    let model = |histories: u32, first: u64| {
        let args = ["test", "--release", "-p", "apogee-store", "--test", "model", "--"];
        Step::new("store against its model", &[&args[..], &["--nocapture"]].concat())
            .with("APOGEE_HISTORIES", extent.share(histories))
            .with("APOGEE_SEED", first)
    };
    let binary = workspace().join("target/release/apogee");
    vec![
        model(10_000, day * 100_000),
        model(10_000, day * 100_000 + 50_000).with("APOGEE_FAILING", 1),
        Step::new("the binary under test", &["build", "--release", "-p", "apogee-server"]),
        Step::new("end to end, with kills and power cuts", &["test", "-p", "apogee-e2e"])
            .with("APOGEE_BIN", binary.display())
            .with("APOGEE_KILL_POINTS", extent.share(100))
            .with("APOGEE_HOSTILE_PERCENT", extent.share(100)),
    ]
}

fn fuzz_build() -> Vec<Step> {
    let mut steps = Vec::new();
    if !has_fuzzer() {
        // Without one, this or the steps that need it fail, and the report says so.
        steps.push(Step::new("the fuzzer", &["install", "cargo-fuzz", "--locked"]));
    }
    steps.push(Step::new("fuzz targets", &["+nightly", "fuzz", "build"]));
    steps
}

fn has_fuzzer() -> bool {
    let output = Command::new("cargo").args(["fuzz", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Every target for some time, each from the committed corpus and what it found here before.
fn fuzzing(extent: Extent) -> anyhow::Result<Vec<Step>> {
    let time = format!("-max_total_time={}", extent.share(300));
    let mut steps = Vec::new();
    for target in fuzz_targets()? {
        // Where finds go: the committed corpus does not grow by itself.
        let found = format!("fuzz/target/found/{target}");
        fs::create_dir_all(workspace().join(&found))?;
        let corpus = format!("fuzz/corpus/{target}");
        let args = ["+nightly", "fuzz", "run", &target, &found, &corpus, "--"];
        let limits = [&*time, "-timeout=20", "-rss_limit_mb=2048"];
        steps.push(Step::new("fuzzing", &[&args[..], &limits].concat()));
    }
    Ok(steps)
}

/// Names of the programs under `fuzz/fuzz_targets`.
fn fuzz_targets() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

/// What every change must pass.
pub(crate) fn test() -> anyhow::Result<()> {
    for step in gate() {
        ensure_holds(&[step.run()])?;
    }
    Ok(())
}

/// The gate and the long tests; writes `docs/proofs/<date>.md`, also when something failed.
pub(crate) fn prove(extent: Extent) -> anyhow::Result<()> {
    let start = Instant::now();
    let fuzzing = fuzzing(extent)?;
    let alone = [gate(), long(extent), fuzz_build()].concat();
    let mut outcomes: Vec<Outcome> = alone.iter().map(Step::run).collect();
    outcomes.extend(run_side_by_side(&fuzzing));
    report::write("", extent, &outcomes, start.elapsed())?;
    ensure_holds(&outcomes)
}

/// All of [`prove`] but the fuzzing; writes `docs/proofs/<date>-long.md`.
pub(crate) fn prove_long() -> anyhow::Result<()> {
    let start = Instant::now();
    let outcomes: Vec<Outcome> =
        [gate(), long(Extent::Full)].concat().iter().map(Step::run).collect();
    report::write("-long", Extent::Full, &outcomes, start.elapsed())?;
    ensure_holds(&outcomes)
}

/// The fuzzing part of [`prove`] alone, which does not mind a busy machine; writes `docs/proofs/<date>-fuzz.md`.
pub(crate) fn prove_fuzz() -> anyhow::Result<()> {
    let start = Instant::now();
    let fuzzing = fuzzing(Extent::Full)?;
    let mut outcomes: Vec<Outcome> = fuzz_build().iter().map(Step::run).collect();
    outcomes.extend(run_side_by_side(&fuzzing));
    report::write("-fuzz", Extent::Full, &outcomes, start.elapsed())?;
    ensure_holds(&outcomes)
}

fn ensure_holds(outcomes: &[Outcome]) -> anyhow::Result<()> {
    let failures = outcomes.iter().filter_map(|outcome| outcome.failure.as_deref());
    let failures: Vec<&str> = failures.collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
