//! One server with its messages, its clients, and an `mqadmin` that asks it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use apogee_e2e::cases::Shared;
use apogee_e2e::client::Client;
use apogee_e2e::java::REFERENCE;
use apogee_e2e::peer::Peer;
use apogee_e2e::process::Process;
use serde_json::Value;

use crate::mask::Mask;

pub(crate) const TOPIC: &str = "Inspected";
pub(crate) const GROUP: &str = "inspected";
/// As the client programs name it.
pub(crate) const PRODUCER: &str = "inspected_producer";
/// Stands for the broker's address in a command.
pub(crate) const BROKER_ADDR: &str = "<broker>";
/// What the clients print when there is something to look at.
const READY: &str = "READY ";
/// For programs that hang; on a busy machine the start of three virtual machines takes its time.
const READY_LIMIT: Duration = Duration::from_secs(300);
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// How long the clients stay, seconds: longer than all commands take.
const STAY: &str = "1200";

/// One server, and what runs beside it once it is started.
pub(crate) struct Side {
    pub(crate) shared: Arc<Shared>,
    peer: Peer,
    running: OnceLock<Running>,
}

struct Running {
    namesrv: String,
    broker: String,
    sent: Vec<Value>,
    /// Where the commands of `mqadmin` write files.
    dir: PathBuf,
    mqadmin: Mutex<Mqadmin>,
    /// Ends with the test.
    _clients: Process,
}

/// A process that runs one command of `mqadmin` after the other.
struct Mqadmin {
    process: Process,
    commands: usize,
    /// How much it had printed after the last command.
    read: usize,
}

impl Side {
    pub(crate) fn new(peer: Peer) -> Result<Self> {
        let shared = Arc::new(Shared::new(peer, &[])?);
        Ok(Self { shared, peer, running: OnceLock::new() })
    }

    /// Starts the server and the clients, and waits until all is sent and consumed.
    pub(crate) fn start(&self) -> Result<()> {
        let (namesrv, broker) = {
            let cluster = self.shared.cluster()?;
            (cluster.namesrv().to_string(), cluster.broker().to_string())
        };
        let client = Client::build(REFERENCE)?;
        let dir = self.shared.case_dir("mqadmin")?;
        let process = client.start_fed("mqadmin", "Admin", &dir)?;
        let args = [("namesrv", &*namesrv), ("topic", TOPIC), ("group", GROUP), ("limit", STAY)];
        let clients_dir = self.shared.case_dir("clients")?;
        let mut clients = client.start("clients", "Inspected", &clients_dir, &args)?;
        clients.wait_for_output(READY, READY_LIMIT)?;
        let output = clients.output();
        let line = output.lines().find_map(|line| line.strip_prefix(READY)).context("no READY")?;
        let sent = serde_json::from_str(line).context("what was sent is JSON")?;
        let mqadmin = Mutex::new(Mqadmin { process, commands: 0, read: 0 });
        let running = Running { namesrv, broker, sent, dir, mqadmin, _clients: clients };
        assert!(self.running.set(running).is_ok(), "a side is started once");
        Ok(())
    }

    /// Where commands write files, and find those that they are to read.
    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.running().dir
    }

    /// A field of what the n-th send was answered.
    pub(crate) fn sent(&self, n: usize, field: &str) -> Result<String> {
        let value = &self.running().sent[n][field];
        let text = value.as_str().map(str::to_owned).or_else(|| Some(value.as_i64()?.to_string()));
        text.with_context(|| format!("no {field} in what was sent"))
    }

    /// What a command prints, errors included.
    pub(crate) fn run(&self, command: &[&str]) -> Result<String> {
        let Running { namesrv, broker, mqadmin, .. } = self.running();
        let words = [command, &["-n", namesrv]].concat();
        let line = words.join("\t").replace(BROKER_ADDR, broker);
        mqadmin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .run(&line)
            .with_context(|| format!("{command:?} against {}", self.peer))
    }

    /// What a command prints, without what differs from server to server.
    pub(crate) fn masked(&self, command: &[&str]) -> Result<String> {
        Ok(self.mask().text(&self.run(command)?))
    }

    pub(crate) fn mask(&self) -> Mask {
        let Running { namesrv, broker, sent, dir, .. } = self.running();
        let mut mask = Mask::default();
        mask.name(broker, BROKER_ADDR);
        mask.name(namesrv, "<namesrv>");
        mask.name(&dir.display().to_string(), "<dir>");
        for (number, sent) in sent.iter().enumerate() {
            for field in ["id", "offsetId"] {
                mask.name(sent[field].as_str().unwrap_or_default(), &format!("<{field} {number}>"));
            }
        }
        mask
    }

    fn running(&self) -> &Running {
        self.running.get().expect("cases run after the start")
    }
}

impl Mqadmin {
    /// Runs a command, its words separated by tabs; what it prints.
    fn run(&mut self, line: &str) -> Result<String> {
        self.commands += 1;
        self.process.feed(line)?;
        let done = format!("\nDONE {}\n", self.commands);
        self.process.wait_for_output(&done, COMMAND_LIMIT)?;
        let output = self.process.output();
        let end = output.find(&done).context("its end")?;
        let text = output[self.read..end].to_owned();
        self.read = end + done.len();
        Ok(text)
    }
}
