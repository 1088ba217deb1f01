//! Unmodified client libraries, driven by small programs in their own languages: `e2e/java/client`,
//! `e2e/go`, `e2e/node`.
//!
//! A program is chosen by name, takes `name=value` arguments and ends by printing `RESULT` and one
//! JSON object. Programs of one name do the same in every language that has them.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::java;
use crate::process::{Process, on_path};
use crate::programs;

/// A program prints its results by itself after 60 s; this is for one that hangs.
const RUN_LIMIT: Duration = Duration::from_secs(120);
/// How much of the results is quoted in an error.
const QUOTED_CHARS: usize = 3_000;
const RESULT: &str = "RESULT ";

/// A client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// `rocketmq-client` of this version.
    Java(&'static str),
    /// `rocketmq-client-go/v2`.
    Go,
    /// `ali-ons`.
    Node,
}

impl Library {
    /// Those that scenarios run with: of Java the last of the 4.x line and the reference.
    pub const ALL: [Library; 4] =
        [Library::Java("4.9.8"), Library::Java(java::REFERENCE), Library::Go, Library::Node];

    /// Why its programs cannot be built here, if so.
    pub fn missing(self) -> Option<String> {
        let tool = match self {
            Library::Java(_) => java::missing_tool(),
            Library::Go => ["go"].into_iter().find(|tool| !on_path(tool)),
            Library::Node => ["node", "npm"].into_iter().find(|tool| !on_path(tool)),
        };
        tool.map(|tool| format!("{tool} is not installed"))
    }

    /// As a part of topic and group names, where dots are illegal.
    pub fn tag(self) -> String {
        self.to_string().replace('.', "_")
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Library::Java(version) => write!(f, "java-{version}"),
            Library::Go => f.write_str("go-2.1.2"),
            Library::Node => f.write_str("node-3.12.0"),
        }
    }
}

/// The programs of one library, ready to run.
#[derive(Clone, Debug)]
pub struct Client {
    library: Library,
    /// Class path of Java, executable of Go, script of Node.
    built: OsString,
}

impl Client {
    /// As [`Client::of`], for this version of the Java library.
    pub fn build(version: &'static str) -> Result<Self> {
        Self::of(Library::Java(version))
    }

    /// Fetches the library and builds the programs, each once per workspace.
    pub fn of(library: Library) -> Result<Self> {
        let built = match library {
            Library::Java(version) => programs::java(version),
            Library::Go => programs::go(),
            Library::Node => programs::node(),
        };
        Ok(Self { library, built: built.with_context(|| format!("building for {library}"))? })
    }

    /// Starts a program; `dir` receives what the library writes and the output as `<name>.log`.
    pub fn start(&self, name: &str, main: &str, dir: &Path, args: &[Arg<'_>]) -> Result<Process> {
        self.start_with(name, main, dir, &[], args)
    }

    /// As [`Client::start`], with system properties (`key=value`) for a library that has them.
    pub fn start_with(
        &self,
        name: &str,
        main: &str,
        dir: &Path,
        properties: &[&str],
        args: &[Arg<'_>],
    ) -> Result<Process> {
        let command = self.command(main, dir, properties, args);
        Process::start(name, command, &dir.join(format!("{name}.log")))
    }

    /// Starts a program that reads its standard input; else as [`Client::start`].
    pub fn start_fed(&self, name: &str, main: &str, dir: &Path) -> Result<Process> {
        let command = self.command(main, dir, &[], &[]);
        Process::start_fed(name, command, &dir.join(format!("{name}.log")))
    }

    fn command(&self, main: &str, dir: &Path, properties: &[&str], args: &[Arg<'_>]) -> Command {
        let mut command = match self.library {
            Library::Java(_) => {
                let mut command = Command::new("java");
                command
                    .args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                    .arg(format!("-Duser.home={}", dir.display()))
                    .args(properties.iter().map(|property| format!("-D{property}")))
                    .arg("-cp")
                    .arg(&self.built)
                    .arg(format!("apogee.{main}"));
                command
            }
            Library::Go => {
                let mut command = Command::new(&self.built);
                command.arg(main);
                command
            }
            Library::Node => {
                let mut command = Command::new("node");
                command.arg(&self.built).arg(main);
                command
            }
        };
        command
            .args(args.iter().map(|(name, value)| format!("{name}={value}")))
            .env("HOME", dir)
            .current_dir(dir);
        command
    }

    /// Runs a program to its end; its results. One that ran out of time is an error.
    pub fn run(&self, main: &str, dir: &Path, args: &[Arg<'_>]) -> Result<Value> {
        finish(self.start(main, main, dir, args)?)
    }
}

/// One argument of a program.
pub type Arg<'a> = (&'a str, &'a str);

/// Waits for a program to end; its results. One that ran out of time is an error.
pub fn finish(mut process: Process) -> Result<Value> {
    process.wait_for_exit(RUN_LIMIT)?;
    let output = process.output();
    let line = output.lines().find_map(|line| line.strip_prefix(RESULT));
    let Some(line) = line else { bail!("no result:\n{output}") };
    let results: Value = serde_json::from_str(line).context("result is not JSON")?;
    if let Some(what) = results.get("timeout") {
        let text: String = results.to_string().chars().take(QUOTED_CHARS).collect();
        bail!("no {what} in time; results so far: {text}");
    }
    Ok(results)
}
