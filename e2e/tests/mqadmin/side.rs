//! One server with its messages and clients.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use apogee_e2e::cases::Shared;
use apogee_e2e::client::Client;
use apogee_e2e::java::{Artifacts, REFERENCE};
use apogee_e2e::peer::Peer;
use apogee_e2e::process::Process;
use serde_json::Value;

use crate::mask::Mask;

pub(crate) const TOPIC: &str = "Inspected";
pub(crate) const GROUP: &str = "inspected";
/// As the client programs name it.
pub(crate) const PRODUCER: &str = "inspected_producer";
/// What the clients print when there is something to look at.
const READY: &str = "READY ";
const READY_LIMIT: Duration = Duration::from_secs(120);
/// How long the clients stay, seconds: longer than all commands take.
const STAY: &str = "1200";

/// One server, and what runs beside it once it is started.
pub(crate) struct Side {
    pub(crate) shared: Arc<Shared>,
    peer: Peer,
    running: OnceLock<Running>,
}

struct Running {
    artifacts: Artifacts,
    namesrv: String,
    broker: String,
    sent: Vec<Value>,
    /// Ends with the test.
    _clients: Process,
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
        let args = [("namesrv", &*namesrv), ("topic", TOPIC), ("group", GROUP), ("limit", STAY)];
        let dir = self.shared.case_dir("clients")?;
        let mut clients = Client::build(REFERENCE)?.start("clients", "Inspected", &dir, &args)?;
        clients.wait_for_output(READY, READY_LIMIT)?;
        let output = clients.output();
        let line = output.lines().find_map(|line| line.strip_prefix(READY)).context("no READY")?;
        let sent = serde_json::from_str(line).context("what was sent is JSON")?;
        let artifacts = Artifacts::fetch(REFERENCE)?;
        let running = Running { artifacts, namesrv, broker, sent, _clients: clients };
        assert!(self.running.set(running).is_ok(), "a side is started once");
        Ok(())
    }

    /// Address of the broker.
    pub(crate) fn broker(&self) -> &str {
        &self.running().broker
    }

    /// A field of what the n-th send was answered.
    pub(crate) fn sent(&self, n: usize, field: &str) -> Result<String> {
        let value = &self.running().sent[n][field];
        let text = value.as_str().map(str::to_owned).or_else(|| Some(value.as_i64()?.to_string()));
        text.with_context(|| format!("no {field} in what was sent"))
    }

    /// What a command prints.
    pub(crate) fn run(&self, command: &[&str]) -> Result<String> {
        let Running { artifacts, namesrv, .. } = self.running();
        artifacts.mqadmin(namesrv, command).with_context(|| format!("against {}", self.peer))
    }

    /// What a command prints, without what differs from server to server.
    pub(crate) fn masked(&self, command: &[&str]) -> Result<String> {
        Ok(self.mask().text(&self.run(command)?))
    }

    pub(crate) fn mask(&self) -> Mask {
        let Running { namesrv, broker, sent, .. } = self.running();
        let mut mask = Mask::default();
        mask.name(broker, "<broker>");
        mask.name(namesrv, "<namesrv>");
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
