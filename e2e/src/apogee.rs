//! The built binary: name server and broker in one process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::java::{Settings, is_registered, placement, target_dir, write_settings};
use crate::ports;
use crate::process::Process;

/// Far above what a start may take; what it does take is measured elsewhere.
pub(crate) const BOOT_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The binary under test: `APOGEE_BIN`, else the newest of `target/{release,debug}/apogee`.
pub fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("APOGEE_BIN") {
        return Some(PathBuf::from(path));
    }
    let built = |profile| target_dir().join(profile).join("apogee");
    let modified = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    ["release", "debug"]
        .map(built)
        .into_iter()
        .filter(|path| path.is_file())
        .max_by_key(|path| modified(path))
}

/// Warnings that a test may see; any other WARN or ERROR line fails it.
const EXPECTED_WARNINGS: [&str; 6] = [
    // Until there is access control, each start says so.
    "there is no access control",
    // Settings of the reference without a counterpart here.
    "has no effect here",
    // What hostile frames deserve; a connection of a real client that ends so fails its case.
    "connection closed: header",
    "connection closed: a header",
    "connection closed: a frame",
    "connection closed: it starts",
];

/// What a server prints, in its directory.
const LOG: &str = "apogee.log";

/// `apogee server`, without what steers the tests: to it every `APOGEE_…` variable is a setting.
pub fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for variable in
        ["APOGEE_BIN", "APOGEE_E2E_PEERS", "APOGEE_KILL_POINTS", "APOGEE_HOSTILE_PERCENT"]
    {
        command.env_remove(variable);
    }
    command.arg("server");
    command
}

/// Starts a server with these roles and settings, and does not wait for it. `dir` is its working
/// directory and receives its settings file and its log.
pub(crate) fn launch(
    binary: &Path,
    dir: &Path,
    roles: &str,
    settings: &Settings,
) -> Result<Process> {
    fs::create_dir_all(dir)?;
    let file = dir.join("apogee.properties");
    let mut settings = settings.clone();
    if !settings.contains_key("webPort") {
        // The usual one is for one server of a machine.
        settings.insert("webEnable".to_owned(), "false".to_owned());
    }
    write_settings(&file, &settings)?;
    let mut command = command(binary);
    command.args(["--roles", roles, "-c"]).arg(&file).current_dir(dir);
    Process::start("apogee", command, &dir.join(LOG))
}

/// Lines of the log in `dir` that a quiet server would not have written.
pub(crate) fn unexpected_lines(dir: &Path) -> Vec<String> {
    let log = fs::read(dir.join(LOG)).unwrap_or_default();
    String::from_utf8_lossy(&log)
        .lines()
        .filter(|line| ["WARN ", "ERROR ", "panicked at"].iter().any(|word| line.contains(word)))
        .filter(|line| !EXPECTED_WARNINGS.iter().any(|warning| line.contains(warning)))
        .map(str::to_owned)
        .collect()
}

/// One `apogee server` process; it can be ended and started again on the same ports and directory.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    dir: PathBuf,
    settings: Settings,
    namesrv_port: u16,
    broker_port: u16,
    web_port: u16,
    process: Option<Process>,
}

impl Server {
    /// Starts name server and broker on free ports; `dir` receives the settings file, the log
    /// and, under `store`, all data.
    pub fn start(binary: &Path, dir: &Path, settings: Settings) -> Result<Self> {
        let mut server = Self {
            binary: binary.to_owned(),
            dir: dir.to_owned(),
            settings,
            namesrv_port: ports::free(&[])?,
            broker_port: ports::free(&[-2, 1])?,
            web_port: ports::free(&[])?,
            process: None,
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it on the directory and ports that it had; an error if it runs.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the server on port {} runs already", self.broker_port);
        let mut settings = placement(&self.dir, self.broker_port, self.namesrv());
        settings.insert("namesrv.listenPort".to_owned(), self.namesrv_port.to_string());
        settings.insert("webPort".to_owned(), self.web_port.to_string());
        settings.extend(self.settings.clone());
        let mut process = launch(&self.binary, &self.dir, "namesrv,broker", &settings)?;
        let (namesrv, broker) = (self.namesrv(), self.broker());
        process
            .wait_until(BOOT_LIMIT, "route of its broker", |_| is_registered(namesrv, broker))?;
        self.process = Some(process);
        Ok(())
    }

    /// Address of the name server.
    pub fn namesrv(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.namesrv_port).into()
    }

    /// Main address of the broker.
    pub fn broker(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.broker_port).into()
    }

    /// Address of its port for VIP channels.
    pub fn vip(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.broker_port - 2).into()
    }

    /// Address of its HTTP port.
    pub fn web(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.web_port).into()
    }

    /// The directory that holds its commit log, consume queues, index and configuration.
    pub fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// All that it printed, over all starts.
    pub fn log_file(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// Lines of its log, over all starts, that a quiet server would not have written.
    pub fn unexpected_log_lines(&self) -> Vec<String> {
        unexpected_lines(&self.dir)
    }

    /// Process id, `None` while it is ended.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// SIGKILL, as a crash of the process.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the server does not run")?.kill()
    }

    /// SIGTERM, and waits for the clean end; an exit status other than 0 is an error.
    pub fn stop(&mut self) -> Result<()> {
        let status =
            self.process.take().context("the server does not run")?.terminate(STOP_LIMIT)?;
        ensure!(status.success(), "apogee answered SIGTERM with {status}");
        ensure!(!self.store_dir().join("abort").exists(), "a clean end left the abort file");
        Ok(())
    }
}
