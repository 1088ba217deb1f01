//! Apache RocketMQ from its published artifacts: name server, broker, mqadmin.
//!
//! The jars come through Maven's ordinary client from `e2e/java/peer-<version>/pom.xml` into
//! `target/peers/<version>/`, once. Servers listen on loopback, keep everything they write in
//! one directory, and end with the value that holds them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::frame::Connection;
use crate::ports;
use crate::process::{Process, on_path};

/// The version that decides what "compatible" means.
pub const REFERENCE: &str = "5.4.0";

/// Settings of a server by their Java key.
pub type Settings = BTreeMap<String, String>;

/// Request code: all brokers that a name server knows.
const GET_BROKER_CLUSTER_INFO: i64 = 106;
const BOOT_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What a broker's JVM needs from Java 16 on: the store unmaps buffers by internal calls.
const OPENS: [&str; 5] = [
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
];

/// Memory settings of a server's JVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heap {
    /// 1 GiB: up in 3 s. What correctness tests use.
    Small,
    /// As the reference's own start script has it: 8 GiB touched at start, up in 15 s.
    Stock,
}

impl Heap {
    fn options(self) -> &'static [&'static str] {
        match self {
            Heap::Small => &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxDirectMemorySize=2g"],
            Heap::Stock => &[
                "-Xms8g",
                "-Xmx8g",
                "-XX:+UseG1GC",
                "-XX:G1HeapRegionSize=16m",
                "-XX:G1ReservePercent=25",
                "-XX:InitiatingHeapOccupancyPercent=30",
                "-XX:SoftRefLRUPolicyMSPerMB=0",
                "-XX:+AlwaysPreTouch",
                "-XX:MaxDirectMemorySize=15g",
            ],
        }
    }
}

/// Names the missing tool, or `None` when Java programs can be fetched, compiled and run.
pub fn missing_tool() -> Option<&'static str> {
    ["java", "javac", "mvn"].into_iter().find(|tool| !on_path(tool))
}

/// The workspace's `target` directory.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

/// The jars of one version.
#[derive(Clone, Debug)]
pub struct Artifacts {
    dir: PathBuf,
}

impl Artifacts {
    /// The jars of `version`, fetched if this workspace does not have them yet.
    ///
    /// Safe to call from several processes at once: the directory appears complete or not at all.
    pub fn fetch(version: &str) -> Result<Self> {
        let peers = target_dir().join("peers");
        fs::create_dir_all(&peers)?;
        let dir = peers.join(version);
        let lock = File::create(peers.join(".lock"))?;
        lock.lock()?;
        if !dir.is_dir() {
            let pom =
                Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("java/peer-{version}/pom.xml"));
            ensure!(pom.is_file(), "no {}: version {version} is not described", pom.display());
            let partial = tempfile::tempdir_in(&peers)?;
            let jars = partial.path().join("lib");
            let output = Command::new("mvn")
                .args(["-q", "-B", "-f"])
                .arg(&pom)
                .arg("dependency:copy-dependencies")
                .arg(format!("-DoutputDirectory={}", jars.display()))
                .output()
                .context("running mvn")?;
            ensure!(output.status.success(), "fetching {version}: {}", text_of(&output));
            fs::rename(&jars, &dir)?;
        }
        Ok(Self { dir: dir.canonicalize()? })
    }

    /// The directory that holds the jars.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All jars, as a class path argument.
    pub fn class_path(&self) -> String {
        format!("{}/*", self.dir.display())
    }

    /// Runs one mqadmin command to its end; its standard output, or an error with all it printed.
    ///
    /// mqadmin exits with 0 also when a command fails: look at what it says.
    pub fn mqadmin(&self, namesrv: &str, args: &[&str]) -> Result<String> {
        let home = tempfile::tempdir()?;
        let output = Command::new("java")
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg(format!("-Duser.home={}", home.path().display()))
            .args(["-cp", &self.class_path()])
            .arg("org.apache.rocketmq.tools.command.MQAdminStartup")
            .args(args)
            .args(["-n", namesrv])
            .env("ROCKETMQ_HOME", home.path())
            .output()
            .context("running mqadmin")?;
        ensure!(output.status.success(), "mqadmin {args:?}: {}", text_of(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A server's JVM, still without main class arguments.
    fn server(&self, heap: &[&str], home: &Path, main: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(heap)
            .args(OPENS)
            .arg(format!("-Duser.home={}", home.display()))
            .args(["-cp", &self.class_path(), main])
            .env("ROCKETMQ_HOME", home)
            .current_dir(home);
        command
    }
}

/// A running Java name server.
#[derive(Debug)]
pub struct NameServer {
    process: Process,
    port: u16,
}

impl NameServer {
    /// Starts one on a free port; `dir` receives its settings, configuration and log.
    pub fn start(artifacts: &Artifacts, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let port = ports::free(&[])?;
        let file = dir.join("namesrv.properties");
        let settings = Settings::from([
            ("listenPort".to_owned(), port.to_string()),
            ("bindAddress".to_owned(), Ipv4Addr::LOCALHOST.to_string()),
        ]);
        write_settings(&file, &settings)?;
        let heap = ["-Xms256m", "-Xmx256m", "-XX:+UseSerialGC"];
        let mut command =
            artifacts.server(&heap, dir, "org.apache.rocketmq.namesrv.NamesrvStartup");
        command.arg("-c").arg(&file);
        let mut process = Process::start("Java name server", command, &dir.join("namesrv.log"))?;
        process.wait_for_output("boot success", BOOT_LIMIT)?;
        Ok(Self { process, port })
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// What a Java broker is started with.
#[derive(Clone, Debug)]
pub struct BrokerSetup {
    /// Receives the settings file, the log and, under `store`, all data.
    pub dir: PathBuf,
    /// Address of the name server.
    pub namesrv: SocketAddr,
    /// Memory of its JVM.
    pub heap: Heap,
    /// Settings on top of those that place it (ports, address, directory, names).
    pub settings: Settings,
}

impl BrokerSetup {
    /// A small broker in `dir` with default settings.
    pub fn new(dir: &Path, namesrv: SocketAddr) -> Self {
        Self { dir: dir.to_owned(), namesrv, heap: Heap::Small, settings: Settings::new() }
    }

    /// Sets one key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.insert(key.to_owned(), value.to_string());
        self
    }
}

/// A Java broker; it can be ended and started again on the same port and directory.
#[derive(Debug)]
pub struct Broker {
    artifacts: Artifacts,
    setup: BrokerSetup,
    port: u16,
    process: Option<Process>,
}

impl Broker {
    /// Starts one on free ports and waits until it has booted and registered.
    pub fn start(artifacts: &Artifacts, setup: BrokerSetup) -> Result<Self> {
        let port = ports::free(&[-2, 1])?;
        let mut broker = Self { artifacts: artifacts.clone(), setup, port, process: None };
        broker.start_again()?;
        Ok(broker)
    }

    /// Starts it on the directory and port that it had; an error if it runs.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the broker on port {} runs already", self.port);
        let dir = &self.setup.dir;
        fs::create_dir_all(dir)?;
        let file = dir.join("broker.properties");
        let mut settings = placement(dir, self.port, self.setup.namesrv);
        settings.extend(self.setup.settings.clone());
        write_settings(&file, &settings)?;
        let main = "org.apache.rocketmq.broker.BrokerStartup";
        let mut command = self.artifacts.server(self.setup.heap.options(), dir, main);
        command.arg("-c").arg(&file);
        let mut process = Process::start("Java broker", command, &dir.join("broker.log"))?;
        process.wait_for_output("boot success", BOOT_LIMIT)?;
        let (namesrv, addr) = (self.setup.namesrv, self.addr());
        // Whoever has it advertise another address waits for what is to be seen there.
        if !self.setup.settings.contains_key("brokerIP1") {
            process.wait_until(BOOT_LIMIT, "registration at the name server", |_| {
                is_registered(namesrv, addr)
            })?;
        }
        self.process = Some(process);
        Ok(())
    }

    /// Its main address.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The directory that holds its commit log, consume queues, index and configuration.
    pub fn store_dir(&self) -> PathBuf {
        self.setup.dir.join("store")
    }

    /// Process id, `None` while it is ended.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// SIGKILL, as a crash of the process.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the broker does not run")?.kill()
    }

    /// SIGTERM, and waits for the clean end (which removes the `abort` file).
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().context("the broker does not run")?.terminate(STOP_LIMIT)?;
        if self.store_dir().join("abort").exists() {
            bail!("the broker ended by SIGTERM without removing its abort file");
        }
        Ok(())
    }
}

/// Whether the name server at `namesrv` knows the broker at `addr`.
pub(crate) fn is_registered(namesrv: SocketAddr, addr: SocketAddr) -> bool {
    let answer = Connection::open(namesrv, Duration::from_secs(1))
        .and_then(|mut connection| connection.call(GET_BROKER_CLUSTER_INFO, &[], &[]));
    answer
        .is_ok_and(|answer| String::from_utf8_lossy(&answer.body).contains(&format!("\"{addr}\"")))
}

/// Where a broker is: shared with the built binary, which reads the same keys.
pub(crate) fn placement(dir: &Path, port: u16, namesrv: SocketAddr) -> Settings {
    let store = dir.join("store");
    [
        ("brokerClusterName", "DefaultCluster".to_owned()),
        ("brokerName", "broker-a".to_owned()),
        ("brokerId", "0".to_owned()),
        ("brokerIP1", Ipv4Addr::LOCALHOST.to_string()),
        ("brokerIP2", Ipv4Addr::LOCALHOST.to_string()),
        ("bindAddress", Ipv4Addr::LOCALHOST.to_string()),
        ("listenPort", port.to_string()),
        ("namesrvAddr", namesrv.to_string()),
        ("storePathRootDir", store.display().to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Writes a properties file; no value here needs escaping.
pub(crate) fn write_settings(file: &Path, settings: &Settings) -> Result<()> {
    let text: String = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn text_of(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    format!("{}\n{stdout}{stderr}", output.status)
}
