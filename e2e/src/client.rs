//! The reference's own client library, driven by the programs in `e2e/java/client`.
//!
//! Each program takes `name=value` arguments and ends by printing `RESULT` and one JSON object.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::java::{Artifacts, target_dir};
use crate::process::Process;

/// Client versions that every scenario runs with: the last of the 4.x line and the reference.
pub const VERSIONS: [&str; 2] = ["4.9.8", crate::java::REFERENCE];

/// A program prints its results by itself after 60 s; this is for one that hangs.
const RUN_LIMIT: Duration = Duration::from_secs(120);
/// How much of the results is quoted in an error.
const QUOTED_CHARS: usize = 3_000;
const RESULT: &str = "RESULT ";

/// The client programs compiled against one version of the library.
#[derive(Clone, Debug)]
pub struct Client {
    version: &'static str,
    class_path: String,
}

impl Client {
    /// Fetches the library of `version` and compiles the programs, each once per workspace.
    pub fn build(version: &'static str) -> Result<Self> {
        let artifacts = Artifacts::fetch(version)?;
        let sources = sources()?;
        let mut hasher = DefaultHasher::new();
        for source in &sources {
            fs::read(source)?.hash(&mut hasher);
        }
        let peers = target_dir().join("peers");
        let classes = peers.join(format!("client-{version}-{:016x}", hasher.finish()));
        let lock = File::create(peers.join(".lock"))?;
        lock.lock()?;
        if !classes.is_dir() {
            let partial = tempfile::tempdir_in(&peers)?;
            let output = Command::new("javac")
                .args(["-nowarn", "-cp", &artifacts.class_path(), "-d"])
                .arg(partial.path())
                .args(&sources)
                .output()
                .context("running javac")?;
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "compiling for {version}: {errors}");
            fs::rename(partial.keep(), &classes)?;
        }
        let class_path = format!("{}:{}", classes.display(), artifacts.class_path());
        Ok(Self { version, class_path })
    }

    /// Version of the library.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// The version as a part of topic and group names, where dots are illegal.
    pub fn tag(&self) -> String {
        self.version.replace('.', "_")
    }

    /// Starts a program; `dir` receives what the library writes and the output as `<name>.log`.
    pub fn start(&self, name: &str, main: &str, dir: &Path, args: &[Arg<'_>]) -> Result<Process> {
        self.start_with(name, main, dir, &[], args)
    }

    /// As [`Client::start`], with system properties (`key=value`) for the library.
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
        let mut command = Command::new("java");
        command
            .args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg(format!("-Duser.home={}", dir.display()))
            .args(properties.iter().map(|property| format!("-D{property}")))
            .args(["-cp", &self.class_path, &format!("apogee.{main}")])
            .args(args.iter().map(|(name, value)| format!("{name}={value}")))
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

fn sources() -> Result<Vec<PathBuf>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("java/client/src/main/java/apogee");
    let entries: std::io::Result<Vec<_>> = fs::read_dir(dir)?.collect();
    let mut paths: Vec<_> = entries?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}
