//! One turn of one side: start it fresh, warm it up, measure it, end it, remove its data.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::{DiskReport, Report};
use e2e::java::Settings;
use e2e::peer::{Cluster, Peer};
use serde::{Deserialize, Serialize};

use super::rows::{Figure, Row, Work};

/// Who takes the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Java,
    Apogee,
    /// An Apogee that was built before.
    Earlier,
    /// The server that stores nothing.
    Null,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Java => "java",
            Side::Apogee => "apogee",
            Side::Earlier => "earlier",
            Side::Null => "null",
        })
    }
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Side, String> {
        [Side::Java, Side::Apogee, Side::Null]
            .into_iter()
            .find(|side| side.to_string() == text)
            .ok_or_else(|| format!("{text:?} is none of java, apogee, null"))
    }
}

/// What one turn found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Sample {
    Load(Box<Report>),
    Memory { mib: f64 },
    Seconds { seconds: f64 },
}

impl Sample {
    pub(crate) fn figure(&self, figure: Figure) -> Option<f64> {
        match (self, figure) {
            (Sample::Load(report), Figure::Rate) => Some(report.messages_per_s),
            (Sample::Load(report), Figure::P50) => Some(report.latency_us.p50),
            (Sample::Load(report), Figure::P99) => Some(report.latency_us.p99),
            (Sample::Load(report), Figure::P999) => Some(report.latency_us.p999),
            (Sample::Load(report), Figure::Cpu) => Some(report.server.as_ref()?.cpu_us_per_message),
            (Sample::Load(report), Figure::Disk) => {
                Some(report.messages_per_s * stored_bytes(report.size) / 1e6)
            }
            (Sample::Memory { mib }, Figure::Memory) => Some(*mib),
            (Sample::Seconds { seconds }, Figure::Seconds) => Some(*seconds),
            _ => None,
        }
    }

    /// Cores that were busy with neither side nor generator while this was measured.
    pub(crate) fn others_cores(&self) -> Option<f64> {
        match self {
            Sample::Load(report) => report.others_cores,
            _ => None,
        }
    }
}

/// Bytes that a broker writes for one message of the generator: record, queue entry, two index items.
fn stored_bytes(size: usize) -> f64 {
    const RECORD_FIXED: usize = 91;
    const TOPIC_AND_PROPERTIES: usize = 10 + 130;
    const QUEUE_AND_INDEX: usize = 20 + 2 * 24;
    (RECORD_FIXED + TOPIC_AND_PROPERTIES + QUEUE_AND_INDEX + size) as f64
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sample::Load(report) => {
                let (latency, others) = (&report.latency_us, report.others_cores.unwrap_or(0.0));
                write!(f, "{:.0} msg/s, ", report.messages_per_s)?;
                write!(f, "p50 {:.0} p99 {:.0} ", latency.p50, latency.p99)?;
                write!(f, "p99.9 {:.0} µs, others {others:.2} cores", latency.p999)?;
                for error in &report.errors {
                    write!(f, "; {} × code {}: {}", error.count, error.code, error.remark)?;
                }
                Ok(())
            }
            Sample::Memory { mib } => write!(f, "{mib:.1} MiB"),
            Sample::Seconds { seconds } => write!(f, "{seconds:.3} s"),
        }
    }
}

/// How turns are run.
#[derive(Debug)]
pub(crate) struct Runner {
    pub generator: PathBuf,
    /// The binary of [`Side::Earlier`].
    pub earlier: Option<PathBuf>,
    pub work: PathBuf,
    pub quick: bool,
    pub kill_gib: u64,
    pub disk_bytes: u64,
}

/// Longest wait for a message to be accepted after a start.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Seconds after the pause for the disk until the load is steady again.
const AGAIN_WARM: f64 = 1.0;
const TOPIC: &str = "BenchTopic";
const IDLE_SETTLE: Duration = Duration::from_secs(5);

impl Runner {
    /// Runs one turn; None where the side has no part in the row.
    pub(crate) fn run(&self, row: &Row, side: Side) -> Result<Option<Sample>> {
        let dir = self.work.join(format!("{}-{side}", row.name));
        remove(&dir)?;
        fs::create_dir_all(&dir)?;
        let sample = match side {
            Side::Null => self.null(row),
            Side::Java | Side::Apogee | Side::Earlier => self.broker(row, side, &dir).map(Some),
        };
        remove(&dir)?;
        sample.with_context(|| format!("row {}, {side}", row.name))
    }

    /// The disk alone, for rows that are set against it.
    pub(crate) fn disk(&self, row: &Row) -> Result<DiskReport> {
        let mib = match row.work {
            Work::Sustained => self.disk_bytes >> 20,
            _ => 0,
        };
        self.use_disk(2, mib)
    }

    /// Appends with a sync each for some seconds, and writes a file that is left to the kernel.
    fn use_disk(&self, seconds: u32, mib: u64) -> Result<DiskReport> {
        let json = tempfile::NamedTempFile::new()?;
        let mut command = Command::new(&self.generator);
        let (seconds, mib) = (seconds.to_string(), mib.to_string());
        command.args(["disk", "--seconds", &seconds, "--write-mib", &mib, "--dir"]);
        finish(command.arg(&self.work).arg("--json").arg(json.path()), |_| Ok(()))?;
        Ok(serde_json::from_slice(&fs::read(json.path())?)?)
    }

    fn null(&self, row: &Row) -> Result<Option<Sample>> {
        let (Work::Send { .. } | Work::Pull { .. }) = row.work else { return Ok(None) };
        if row.sync {
            return Ok(None);
        }
        let size = match row.work {
            Work::Pull { size, .. } => size,
            _ => 1024,
        };
        let server = NullServer::start(&self.generator, size)?;
        let target = Target { addr: server.addr, pid: server.child.id(), dir: None };
        self.load(row, &target, 1.0).map(Some)
    }

    fn broker(&self, row: &Row, side: Side, dir: &Path) -> Result<Sample> {
        let mut cluster = match (side, &self.earlier) {
            (Side::Java, _) => Cluster::start(Peer::Java, dir, &settings(row))?,
            (Side::Earlier, Some(binary)) => Cluster::start_binary(binary, dir, &settings(row))?,
            _ => Cluster::start(Peer::Apogee, dir, &settings(row))?,
        };
        let target = |cluster: &Cluster| -> Result<Target> {
            let pid = *cluster.ids().first().context("the broker has ended")?;
            Ok(Target { addr: cluster.broker(), pid, dir: Some(cluster.store_dir()) })
        };
        match row.work {
            Work::Idle => {
                thread::sleep(IDLE_SETTLE);
                let bytes = bench::usage(&cluster.ids()).rss_anon_bytes;
                Ok(Sample::Memory { mib: bytes as f64 / f64::from(1 << 20) })
            }
            Work::Start => {
                cluster.kill()?;
                remove(&cluster.store_dir())?;
                restart(&mut cluster)
            }
            Work::Kill => {
                let messages = (self.kill_gib << 30) / stored_bytes(1024) as u64;
                self.fill(&target(&cluster)?, 1024, messages)?;
                cluster.kill()?;
                let sample = restart(&mut cluster)?;
                self.count(&target(&cluster)?, messages)?;
                Ok(sample)
            }
            _ => {
                let target = target(&cluster)?;
                if side != Side::Java {
                    return self.load(row, &target, 1.0);
                }
                self.warm_jit(&target)?;
                self.load(row, &target, 5.0)
            }
        }
    }

    /// Sends at 4 × 64 to a topic of its own until Java's compilers have settled: its rate rose until
    /// the 22nd second on two cores, from 2,000 to 60,000 a second.
    fn warm_jit(&self, target: &Target) -> Result<()> {
        let mut command: Vec<String> = ["send", "-c", "4", "-f", "64"].map(str::to_owned).into();
        command.extend(target.options());
        *command.last_mut().expect("options end with the topic") = "BenchWarm".into();
        self.measure(target, &command, if self.quick { 12.0 } else { 22.0 }, 0.0).map(drop)
    }

    /// Warm-up and measured run of a load row.
    fn load(&self, row: &Row, target: &Target, warmup: f64) -> Result<Sample> {
        let window = match row.work {
            Work::Sustained => 60.0,
            // The kernel writes back what the other wrote for about as long as it took to write it.
            Work::BesideWriter { .. } => 10.0,
            Work::Send { .. } => 4.0,
            _ => 5.0,
        };
        let (warmup, window) =
            if self.quick { (warmup / 2.0, window / 2.0) } else { (warmup, window) };
        let command = match row.work {
            Work::Pull { size, backlog } => {
                if target.dir.is_some() {
                    self.fill(target, size, u64::from(backlog))?;
                }
                self.pull(target, size)
            }
            _ => self.send(row, target),
        };
        self.measure(target, &command, warmup, 0.0)?;
        // What the warm-up left dirty would be written back during the measurement.
        rustix::fs::sync();
        thread::scope(|scope| {
            let writer = match row.work {
                Work::BesideWriter { mib, .. } => Some(scope.spawn(move || self.use_disk(0, mib))),
                _ => None,
            };
            let sample = self.measure(target, &command, window, AGAIN_WARM)?;
            let written = writer.map(|writer| writer.join().expect("the writer does not panic"));
            written.transpose()?;
            Ok(sample)
        })
    }

    fn send(&self, row: &Row, target: &Target) -> Vec<String> {
        let (mode, options) = match row.work {
            Work::Send { connections, in_flight, size, batch } => {
                ("send", format!("-c {connections} -f {in_flight} -s {size} -b {batch}"))
            }
            Work::Deliver { rate } => ("deliver", format!("--rate {rate} -c 4 -q 4")),
            Work::BesideWriter { rate, .. } => {
                ("send", format!("-c 4 -f 64 -s 1024 --rate {rate} --eager"))
            }
            _ => ("send", "-c 4 -f 64 -s 1024".to_owned()),
        };
        let words = format!("{mode} {options}");
        words.split(' ').map(str::to_owned).chain(target.options()).collect()
    }

    fn pull(&self, target: &Target, size: u32) -> Vec<String> {
        let options = ["pull", "-c", "4", "-f", "4", "-s"].map(str::to_owned);
        options.into_iter().chain([size.to_string()]).chain(target.options()).collect()
    }

    /// Stores `messages` messages of `size` bytes.
    fn fill(&self, target: &Target, size: u32, messages: u64) -> Result<()> {
        let mut command = Command::new(&self.generator);
        command.args(["send", "-c", "4", "-f", "4", "-b", "32", "--warmup", "0", "--quiet"]);
        command.args(["-s", &size.to_string(), "-m", &messages.to_string()]);
        command.args(target.options());
        finish(&mut command, |child| self.guard(target, child))
    }

    /// Pulls everything once: nothing that was acknowledged may be missing.
    fn count(&self, target: &Target, messages: u64) -> Result<()> {
        let mut command = self.pull(target, 1024);
        command.push("--once".into());
        let Sample::Load(report) = self.measure(target, &command, 1.0, 0.0)? else {
            bail!("a pull gives a report")
        };
        let found = report.messages;
        ensure!(found >= messages, "{messages} messages were acknowledged, {found} are left");
        Ok(())
    }

    fn measure(
        &self,
        target: &Target,
        command: &[String],
        window: f64,
        warmup: f64,
    ) -> Result<Sample> {
        let json = tempfile::NamedTempFile::new()?;
        let mut process = Command::new(&self.generator);
        process.args(command).arg("--quiet").arg("--json").arg(json.path());
        process.args(["--seconds", &window.to_string(), "--warmup", &warmup.to_string()]);
        finish(&mut process, |child| self.guard(target, child))?;
        let report: Report = serde_json::from_slice(&fs::read(json.path())?)?;
        Ok(Sample::Load(Box::new(report)))
    }

    /// Ends a generator whose broker has written more than this machine may lose.
    fn guard(&self, target: &Target, child: &mut Child) -> Result<()> {
        let Some(dir) = &target.dir else { return Ok(()) };
        let used = allocated(dir);
        if used > self.disk_bytes {
            child.kill()?;
            bail!("the broker holds {} MiB, the limit is --disk-gib", used >> 20);
        }
        Ok(())
    }
}

impl Row {
    pub(crate) fn needs_disk(&self) -> bool {
        self.sync || matches!(self.work, Work::Sustained)
    }
}

/// The server that a generator is pointed at.
#[derive(Debug)]
struct Target {
    addr: SocketAddr,
    pid: u32,
    dir: Option<PathBuf>,
}

impl Target {
    fn options(&self) -> [String; 6] {
        let (addr, pid) = (self.addr.to_string(), self.pid.to_string());
        let name = |text: &str| text.to_owned();
        [name("--broker"), addr, name("--server-pid"), pid, name("--topic"), name(TOPIC)]
    }
}

fn settings(row: &Row) -> Settings {
    let mut settings = Settings::new();
    if row.sync {
        settings.insert("flushDiskType".into(), "SYNC_FLUSH".into());
    }
    if matches!(row.work, Work::Sustained) {
        let hours: Vec<String> = (0..24).map(|hour| format!("{hour:02}")).collect();
        settings.insert("fileReservedTime".into(), "0".into());
        settings.insert("deleteWhen".into(), hours.join(";"));
    }
    settings
}

/// Starts the ended broker and measures until it accepts a message.
fn restart(cluster: &mut Cluster) -> Result<Sample> {
    let addr = cluster.broker();
    let probe = thread::spawn(move || bench::first_accepted(addr, "BenchProbe", START_LIMIT));
    let started = cluster.start_again();
    let took = probe.join().map_err(|_| anyhow::anyhow!("the probe panicked"))?;
    started?;
    Ok(Sample::Seconds { seconds: took?.as_secs_f64() })
}

/// A running `bench null-server`; ended with this value.
#[derive(Debug)]
struct NullServer {
    child: Child,
    addr: SocketAddr,
}

impl NullServer {
    fn start(generator: &Path, size: u32) -> Result<NullServer> {
        let mut command = Command::new(generator);
        command.args(["null-server", "--listen", "127.0.0.1:0", "--size", &size.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let mut server = NullServer { child, addr: ([127, 0, 0, 1], 0).into() };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let addr = line.trim().strip_prefix("listening on ");
        server.addr = addr.with_context(|| format!("null-server said {line:?}"))?.parse()?;
        Ok(server)
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a generator to its end, calling `watch` now and then.
fn finish(command: &mut Command, mut watch: impl FnMut(&mut Child) -> Result<()>) -> Result<()> {
    const STEP: Duration = Duration::from_millis(20);
    const LOOK: Duration = Duration::from_millis(500);
    let mut child = command.stdout(Stdio::null()).spawn().context("starting the generator")?;
    let mut looked = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "{command:?} ended with {status}");
            return Ok(());
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if let Err(e) = watch(&mut child) {
                child.wait()?;
                return Err(e);
            }
        }
        thread::sleep(STEP);
    }
}

/// Bytes that the files below `dir` take on the disk.
fn allocated(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => allocated(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}
