//! What only the binary has: health, logs, its own port.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use apogee_e2e::apogee::{self, Server};
use apogee_e2e::frame::Connection;
use apogee_e2e::java::Settings;
use apogee_e2e::ports;
use apogee_e2e::process::Process;
use apogee_e2e::scrape::{Scrape, get};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn binary() -> Result<std::path::PathBuf> {
    apogee::binary().context("no apogee binary")
}

fn wait_until(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while !ready()? {
        ensure!(Instant::now() < end, "no {what} after {LIMIT:?}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Shows that a server is ready once it runs, that what it measures is documented, and that one whose disk counts as
/// full lives on but is not ready, and says why in JSON, and to mqadmin in its state.
pub(crate) fn health_says_why_not() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(&binary()?, &dir.path().join("good"), Settings::new())?;
    // Name servers know it a moment before all of it has started.
    wait_until("readiness", || Ok(get(server.web(), "/health/ready")?.status == 200))?;
    for path in ["/health", "/health/live", "/health/ready"] {
        let answer = get(server.web(), path)?;
        let body: Value = serde_json::from_str(&answer.body)?;
        ensure!(answer.status == 200 && body["status"] == "UP", "{path}: {answer:?}");
        ensure!(body["problems"] == Value::Array(Vec::new()), "{path}: {answer:?}");
    }
    ensure!(get(server.web(), "/nothing")?.status == 404);
    let page = Scrape::fetch(server.web(), "/metrics")?;
    for name in [
        "rocketmq_build_info",
        "process_resident_memory_bytes",
        "apogee_net_connections",
        "apogee_net_slow_total",
        "apogee_net_refused_total",
        "apogee_memory_pool_bytes",
        "apogee_memory_pool_limit_bytes",
        "apogee_memory_pool_refused_total",
        "apogee_store_append_wait_seconds",
        "apogee_store_flush_duration_seconds",
        "apogee_name_servers",
    ] {
        ensure!(page.families.contains_key(name), "no {name}");
    }
    let documented = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating/metrics.md");
    let documented = std::fs::read_to_string(documented)?;
    for name in page.families.keys() {
        ensure!(documented.contains(&format!("`{name}`")), "{name} is not in metrics.md");
    }
    ensure!(server.unexpected_log_lines().is_empty(), "{:?}", server.unexpected_log_lines());
    server.stop()?;
    // The smallest share that may be asked for: every disk is fuller than this.
    let full = settings(&[("diskSpaceWarningLevelRatio", "1")]);
    let server = Server::start(&binary()?, &dir.path().join("full"), full)?;
    wait_until("full disk", || {
        let ready = get(server.web(), "/health/ready")?;
        Ok(ready.body.contains("disk_full") && !ready.body.contains("starting"))
    })?;
    let ready = get(server.web(), "/health/ready")?;
    let body: Value = serde_json::from_str(&ready.body)?;
    let problem = &body["problems"][0];
    ensure!(body["status"] == "DOWN" && problem["reason"] == "disk_full", "{ready:?}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("diskSpaceWarningLevelRatio"), "names the key: {ready:?}");
    let answer = Connection::open(server.broker(), LIMIT)?.call(28, &[], &[])?;
    let state: Value = serde_json::from_slice(&answer.body)?;
    let refused = state["table"]["sendsRefused"].as_str().unwrap_or_default();
    ensure!(refused.contains("diskSpaceWarningLevelRatio"), "the state of the broker: {state}");
    let live = get(server.web(), "/health")?;
    ensure!(live.status == 200 && live.body.contains("disk_full"), "{live:?}");
    Ok(())
}

/// Shows that every line of the log is JSON where that is asked for, and that a flood of garbage writes few of them
/// and is counted.
pub(crate) fn json_logs_and_floods() -> Result<()> {
    const GARBAGE: usize = 500;
    let dir = tempfile::tempdir()?;
    let server = Server::start(&binary()?, dir.path(), settings(&[("logFormat", "JSON")]))?;
    let start = Instant::now();
    for _ in 0..GARBAGE {
        let mut socket = std::net::TcpStream::connect(server.broker())?;
        socket.write_all(b"\x00\x00\x00\x01garbage\r\n\r\n")?;
        // It is closed, perhaps with a reset.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let seconds = start.elapsed().as_secs() as usize + 2;
    let faulted = || -> Result<Option<f64>> {
        let page = Scrape::fetch(server.web(), "/metrics")?;
        page.value("apogee_net_faulted_total", &[("listener", "broker")])
    };
    wait_until("500 faults", || Ok(faulted()? == Some(GARBAGE as f64)))?;
    let log = std::fs::read_to_string(server.log_file())?;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("connection closed")).collect();
    ensure!(lines.len() <= seconds, "{} lines in {seconds} s", lines.len());
    for line in log.lines().filter(|line| line.contains("level") || line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        for key in ["timestamp", "level", "message", "target"] {
            ensure!(line[key].is_string(), "no {key} in {line}");
        }
    }
    let one: Value = serde_json::from_str(lines.first().context("no line at all")?)?;
    ensure!(one["level"] == "WARN" && one["peer"].is_string(), "fields are keys: {one}");
    Ok(())
}

/// Shows that a port for pages that is taken ends the start with the key that moves it.
pub(crate) fn taken_port_ends_the_start() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let web = format!("webPort={}", taken.local_addr()?.port());
    let output = fails(dir.path(), start(dir.path(), &[&web])?)?;
    ensure!(output.contains("webPort"), "{output}");
    Ok(())
}

/// Shows that a start that fails with the store open, for a port that is taken or a trial message that is refused,
/// closes it: the next start has nothing to recover.
pub(crate) fn a_failed_start_closes_the_store() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = format!("listenPort={}", taken.local_addr()?.port());
    let output = fails(dir.path(), start(dir.path(), &[&port])?)?;
    ensure!(output.contains("cannot listen") && output.contains("listenPort"), "{output}");
    let mut trial = start(dir.path(), &["autoCreateTopicEnable=false"])?;
    trial.arg("--try");
    let output = fails(dir.path(), trial)?;
    ensure!(output.contains("the trial message did not come through"), "{output}");
    let how = output.lines().rfind(|line| line.contains("recovering the store"));
    ensure!(how.is_some_and(|line| line.contains("left=Closed")), "{output}");
    ensure!(dir.path().join("data/store/commitlog").is_dir(), "the store is elsewhere");
    ensure!(!dir.path().join("data/store/abort").exists(), "the store was left open");
    Ok(())
}

/// Shows that a filter of the log that cannot be meant ends the start, with the value.
pub(crate) fn a_mistyped_filter_ends_the_start() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut command = start(dir.path(), &[])?;
    command.env("APOGEE_LOG", "warn,broker=debgu");
    let output = fails(dir.path(), command)?;
    ensure!(output.contains("APOGEE_LOG=warn,broker=debgu"), "{output}");
    Ok(())
}

/// The start of a server on free ports, with its data in `dir`; `settings` come last.
fn start(dir: &Path, settings: &[&str]) -> Result<Command> {
    let mut command = apogee::command(&binary()?);
    command.arg("--data").arg(dir.join("data"));
    let port = |key: &str| Ok(format!("{key}={}", ports::free(&[-2, 1])?));
    let ports: Result<Vec<String>> =
        ["webPort", "namesrv.listenPort", "listenPort"].into_iter().map(port).collect();
    let ports = ports?;
    let all = ["bindAddress=127.0.0.1"].into_iter().chain(ports.iter().map(String::as_str));
    all.chain(settings.iter().copied()).for_each(|set| {
        command.args(["--set", set]);
    });
    Ok(command)
}

/// What a server prints that must end by itself, and not well.
fn fails(dir: &Path, command: Command) -> Result<String> {
    let mut process = Process::start("apogee", command, &dir.join("log"))?;
    let status = process.wait_for_exit(LIMIT)?;
    let output = process.output();
    ensure!(!status.success(), "{status}: {output}");
    Ok(output)
}
