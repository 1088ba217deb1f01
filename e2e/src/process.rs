//! One child process: its log, its readiness, its end.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

const POLL: Duration = Duration::from_millis(10);
/// How much of a log is quoted in an error.
const TAIL_BYTES: usize = 4_000;

/// A child process whose standard output and error go to one file; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Length of the log when this process started: what stood there before is another's.
    log_start: u64,
}

impl Process {
    /// Starts `command`; its output is appended to `log`.
    pub fn start(name: &str, command: Command, log: &Path) -> Result<Self> {
        Self::start_reading(name, command, log, Stdio::null())
    }

    /// As [`Process::start`], for a program that reads the lines given to [`Process::feed`].
    pub fn start_fed(name: &str, command: Command, log: &Path) -> Result<Self> {
        Self::start_reading(name, command, log, Stdio::piped())
    }

    fn start_reading(name: &str, mut command: Command, log: &Path, input: Stdio) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let log_start = file.metadata()?.len();
        command.stdin(input).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), log_start })
    }

    /// Process id, for signals and for `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives it one more line to read; an error unless it was started to be fed.
    pub fn feed(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut();
        let input = input.with_context(|| format!("{} reads nothing", self.name))?;
        writeln!(input, "{line}").with_context(|| format!("feeding {}", self.name))
    }

    /// What this process has printed so far.
    pub fn output(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(0).min(bytes.len());
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// Waits until the output contains `text`; an early end or `limit` is an error that quotes
    /// the end of the output.
    pub fn wait_for_output(&mut self, text: &str, limit: Duration) -> Result<()> {
        self.wait_until(limit, &format!("{text:?} in its output"), |process| {
            process.output().contains(text)
        })
    }

    /// Waits until `ready` holds, as long as the process lives and at most `limit`.
    pub fn wait_until(
        &mut self,
        limit: Duration,
        what: &str,
        mut ready: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            if ready(self) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before {what}\n{}", self.name, self.tail());
            }
            if Instant::now() >= end {
                bail!("{}: no {what} after {limit:?}\n{}", self.name, self.tail());
            }
            thread::sleep(POLL);
        }
    }

    /// SIGKILL, then waits for the end.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("killing {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits at most `limit` for the end.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("process id out of range")?, Signal::TERM)?;
        self.wait_for_exit(limit)
    }

    /// Waits at most `limit` for the process to end by itself.
    pub fn wait_for_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= end {
                bail!("{} still runs after {limit:?}\n{}", self.name, self.tail());
            }
            thread::sleep(POLL);
        }
    }

    fn tail(&self) -> String {
        let output = self.output();
        let mut start = output.len().saturating_sub(TAIL_BYTES);
        while !output.is_char_boundary(start) {
            start += 1;
        }
        format!("--- end of {} ---\n{}", self.log.display(), &output[start..])
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child may have ended by itself; nothing is left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `program` can be found on the search path.
pub fn on_path(program: impl AsRef<OsStr>) -> bool {
    let program = Path::new(program.as_ref());
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
