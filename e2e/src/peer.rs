//! One scenario, two servers: the reference proves the test, then Apogee takes it.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::apogee;
use crate::java::{self, Artifacts, BrokerSetup, NameServer, REFERENCE, Settings};

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Apache RocketMQ of the reference version.
    Java,
    /// The built binary.
    Apogee,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::Java => "java",
            Peer::Apogee => "apogee",
        })
    }
}

impl Peer {
    /// Those that `APOGEE_E2E_PEERS` names (comma-separated), by default both.
    pub fn selected() -> Vec<Peer> {
        let names = std::env::var("APOGEE_E2E_PEERS").unwrap_or_else(|_| "java,apogee".to_owned());
        [Peer::Java, Peer::Apogee]
            .into_iter()
            .filter(|peer| names.split(',').any(|name| name.trim() == peer.to_string()))
            .collect()
    }

    /// Why this peer cannot be run here, if so.
    pub fn missing(self) -> Option<String> {
        match self {
            Peer::Java => java::missing_tool().map(|tool| format!("{tool} is not installed")),
            Peer::Apogee if apogee::binary().is_none() => {
                Some("no apogee binary: build it or set APOGEE_BIN".to_owned())
            }
            Peer::Apogee => None,
        }
    }
}

/// A name server and a broker of one peer over one directory.
#[derive(Debug)]
pub struct Cluster(Servers);

#[derive(Debug)]
enum Servers {
    Java { namesrv: NameServer, broker: java::Broker },
    Apogee(apogee::Server),
}

impl Cluster {
    /// Starts both and waits until the name server knows the broker. A directory with a `store`
    /// that another peer left is taken over.
    pub fn start(peer: Peer, dir: &Path, settings: &Settings) -> Result<Self> {
        Ok(Self(match peer {
            Peer::Java => {
                let artifacts = Artifacts::fetch(REFERENCE)?;
                let namesrv = NameServer::start(&artifacts, dir)?;
                // It refuses sends that waited 200 ms, as they do on a busy machine while it is cold.
                let mut setup =
                    BrokerSetup::new(dir, namesrv.addr()).with("brokerFastFailureEnable", false);
                setup.settings.extend(settings.clone());
                let broker = java::Broker::start(&artifacts, setup)?;
                Servers::Java { namesrv, broker }
            }
            Peer::Apogee => {
                let binary = apogee::binary().context("no apogee binary")?;
                return Self::start_binary(&binary, dir, settings);
            }
        }))
    }

    /// As [`Cluster::start`], with an Apogee of one's own choice.
    pub fn start_binary(binary: &Path, dir: &Path, settings: &Settings) -> Result<Self> {
        Ok(Self(Servers::Apogee(apogee::Server::start(binary, dir, settings.clone())?)))
    }

    /// Address of the name server.
    pub fn namesrv(&self) -> SocketAddr {
        match &self.0 {
            Servers::Java { namesrv, .. } => namesrv.addr(),
            Servers::Apogee(server) => server.namesrv(),
        }
    }

    /// Main address of the broker.
    pub fn broker(&self) -> SocketAddr {
        match &self.0 {
            Servers::Java { broker, .. } => broker.addr(),
            Servers::Apogee(server) => server.broker(),
        }
    }

    /// The directory that holds the data.
    pub fn store_dir(&self) -> PathBuf {
        match &self.0 {
            Servers::Java { broker, .. } => broker.store_dir(),
            Servers::Apogee(server) => server.store_dir(),
        }
    }

    /// Process ids of what runs now; the broker's is the first.
    pub fn ids(&self) -> Vec<u32> {
        match &self.0 {
            Servers::Java { namesrv, broker } => {
                broker.id().into_iter().chain([namesrv.id()]).collect()
            }
            Servers::Apogee(server) => server.id().into_iter().collect(),
        }
    }

    /// An error that quotes log lines which a quiet server would not have written. The reference
    /// may write what it likes.
    pub fn check_log(&self) -> Result<()> {
        let lines = match &self.0 {
            Servers::Java { .. } => return Ok(()),
            Servers::Apogee(server) => server.unexpected_log_lines(),
        };
        ensure!(lines.is_empty(), "unexpected log lines:\n{}", lines.join("\n"));
        Ok(())
    }

    /// What Apogee printed, over all starts; nothing for the reference.
    pub fn log(&self) -> Result<String> {
        match &self.0 {
            Servers::Java { .. } => Ok(String::new()),
            Servers::Apogee(server) => Ok(fs::read_to_string(server.log_file())?),
        }
    }

    /// SIGKILL to the broker's process.
    pub fn kill(&mut self) -> Result<()> {
        match &mut self.0 {
            Servers::Java { broker, .. } => broker.kill(),
            Servers::Apogee(server) => server.kill(),
        }
    }

    /// SIGTERM to the broker's process, and waits for its clean end.
    pub fn stop(&mut self) -> Result<()> {
        match &mut self.0 {
            Servers::Java { broker, .. } => broker.stop(),
            Servers::Apogee(server) => server.stop(),
        }
    }

    /// Starts the ended broker again on its port and directory.
    pub fn start_again(&mut self) -> Result<()> {
        match &mut self.0 {
            Servers::Java { broker, .. } => broker.start_again(),
            Servers::Apogee(server) => server.start_again(),
        }
    }
}
