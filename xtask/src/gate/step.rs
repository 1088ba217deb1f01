//! One command of the gate: how it is run, and what it says that belongs into a report.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::fixtures::workspace;

/// One command of the gate.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) name: &'static str,
    args: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

/// How a step went.
pub(super) struct Outcome {
    pub(super) step: Step,
    pub(super) time: Duration,
    /// What it counted.
    pub(super) counts: Vec<String>,
    pub(super) failure: Option<String>,
}

impl Step {
    pub(super) fn new(name: &'static str, args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { name, args, variables: Vec::new() }
    }

    pub(super) fn with(mut self, variable: &'static str, value: impl ToString) -> Self {
        self.variables.push((variable, value.to_string()));
        self
    }

    /// The command as one would type it in the root of the repository.
    pub(super) fn text(&self) -> String {
        let value = |value: &str| {
            let below = value.strip_prefix(&*workspace().to_string_lossy());
            below.map_or_else(|| format!("{value:?}"), |below| format!("\"$PWD{below}\""))
        };
        let variables: String =
            self.variables.iter().map(|(name, text)| format!("{name}={} ", value(text))).collect();
        format!("{variables}cargo {}", self.args.join(" "))
    }

    /// Runs it to its end and prints what it prints.
    pub(super) fn run(&self) -> Outcome {
        println!("== {}: {}", self.name, self.text());
        let (start, counts) = (Instant::now(), Mutex::default());
        let failure = self.run_counting(&counts).err().map(|error| format!("{error:#}"));
        let counts = counts.into_inner().unwrap_or_default();
        Outcome { step: self.clone(), time: start.elapsed(), counts: merged(counts), failure }
    }

    fn run_counting(&self, counts: &Mutex<Vec<String>>) -> anyhow::Result<()> {
        let mut child = Command::new("cargo")
            .args(&self.args)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(workspace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("running cargo")?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            scope.spawn(|| stdout.map(|output| follow(output, counts)));
            scope.spawn(|| stderr.map(|output| follow(output, counts)));
        });
        let status = child.wait()?;
        ensure!(status.success(), "{} failed: {}", self.name, self.text());
        Ok(())
    }
}

/// Runs steps that do not disturb each other, as many at a time as there are cores.
pub(super) fn run_side_by_side(steps: &[Step]) -> Vec<Outcome> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = step.run();
                    outcomes.lock().expect("nobody panics with it").push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_default();
    outcomes.sort_by_key(|outcome| outcome.step.text());
    outcomes
}

/// Prints the lines of an output, and keeps those that count something.
fn follow(output: impl Read, counts: &Mutex<Vec<String>>) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        println!("{text}");
        if let Some(count) = count_of(text) {
            counts.lock().expect("nobody panics with it").push(count);
        }
        line.clear();
    }
}

/// What a line counts: our tests say it behind `counted:`, others in their own words.
fn count_of(line: &str) -> Option<String> {
    if let Some(count) = line.strip_prefix("counted: ") {
        return Some(count.to_owned());
    }
    if line.starts_with("SKIPPED ") {
        return Some(line.to_owned());
    }
    if let Some(seed) = line.strip_prefix("INFO: Seed: ") {
        return Some(format!("seed {seed}"));
    }
    // libFuzzer: `Done 5182 runs in 31 second(s)`.
    if let Some(runs) = line.strip_prefix("Done ").filter(|rest| rest.contains(" runs in ")) {
        return Some(runs.replace(" runs in ", " executions in ").replace(" second(s)", " s"));
    }
    let result = line.strip_prefix("test result: ")?;
    Some(result.split(". ").nth(1)?.split("; finished").next()?.to_owned())
}

/// Adds up the results of test programs, and leaves the rest as it is.
fn merged(counts: Vec<String>) -> Vec<String> {
    const RESULTS: [&str; 3] = ["passed", "failed", "ignored"];
    let mut sums = [0_u64; 3];
    let (results, mut rest): (Vec<String>, Vec<String>) =
        counts.into_iter().partition(|count| count.contains(" passed; "));
    for part in results.iter().flat_map(|result| result.split("; ")) {
        let Some((number, what)) = part.split_once(' ') else { continue };
        for (sum, _) in sums.iter_mut().zip(RESULTS).filter(|(_, result)| *result == what) {
            *sum += number.parse().unwrap_or(0);
        }
    }
    if !results.is_empty() {
        let [passed, failed, ignored] = sums;
        rest.insert(0, format!("{passed} tests passed, {failed} failed, {ignored} ignored"));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tests and fuzzers print becomes what a report says.
    #[test]
    fn counts_are_taken_from_what_is_printed() {
        let printed = "\
running 2 tests
counted: 10 histories, seeds 5..15
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s
test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s
SKIPPED 3 cases: java is not installed
INFO: Seed: 7
Done 5182 runs in 31 second(s)
";
        let counts = Mutex::default();
        follow(printed.as_bytes(), &counts);
        let said = merged(counts.into_inner().unwrap());
        let expected = [
            "5 tests passed, 4 failed, 1 ignored",
            "10 histories, seeds 5..15",
            "SKIPPED 3 cases: java is not installed",
            "seed 7",
            "5182 executions in 31 s",
        ];
        assert_eq!(said, expected);
    }
}
