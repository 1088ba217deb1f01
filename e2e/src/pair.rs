//! Two name servers and a broker that registers with both, each a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::apogee::{self, BOOT_LIMIT};
use crate::java::{self, Artifacts, BrokerSetup, NameServer, REFERENCE, Settings};
use crate::peer::Peer;
use crate::ports;
use crate::process::Process;

/// Two name servers and a broker; all end when this is dropped.
#[derive(Debug)]
pub struct Pair {
    namesrvs: [Namesrv; 2],
    broker: Broker,
    /// Directories of servers whose logs must be quiet.
    logs: Vec<PathBuf>,
}

#[derive(Debug)]
enum Namesrv {
    Java(NameServer),
    Apogee(Process, SocketAddr),
}

#[derive(Debug)]
enum Broker {
    Java(java::Broker),
    Apogee { _process: Process, addr: SocketAddr },
}

impl Pair {
    /// Starts all three and waits until both name servers know the broker.
    pub fn start(peer: Peer, dir: &Path) -> Result<Self> {
        let dirs = [dir.join("namesrv-1"), dir.join("namesrv-2")];
        match peer {
            Peer::Java => Self::start_java(dir, &dirs),
            Peer::Apogee => Self::start_apogee(dir, &dirs),
        }
    }

    fn start_java(dir: &Path, dirs: &[PathBuf; 2]) -> Result<Self> {
        let artifacts = Artifacts::fetch(REFERENCE)?;
        let [first, second] =
            [NameServer::start(&artifacts, &dirs[0])?, NameServer::start(&artifacts, &dirs[1])?];
        let both = format!("{};{}", first.addr(), second.addr());
        let setup = BrokerSetup::new(&dir.join("broker"), second.addr())
            .with("brokerFastFailureEnable", false)
            .with("namesrvAddr", both);
        let broker = java::Broker::start(&artifacts, setup)?;
        // The start has waited for the second.
        let (mut first, addr) = (first, broker.addr());
        let namesrv = first.addr();
        first.process().wait_until(BOOT_LIMIT, "a route of the broker", |_| {
            java::is_registered(namesrv, addr)
        })?;
        let namesrvs = [Namesrv::Java(first), Namesrv::Java(second)];
        Ok(Self { namesrvs, broker: Broker::Java(broker), logs: Vec::new() })
    }

    fn start_apogee(dir: &Path, dirs: &[PathBuf; 2]) -> Result<Self> {
        let binary = apogee::binary().context("no apogee binary")?;
        let start = |dir: &PathBuf| {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free(&[])?));
            let settings = [
                ("listenPort", addr.port().to_string()),
                ("bindAddress", addr.ip().to_string()),
                ("storePathRootDir", dir.join("store").display().to_string()),
            ];
            let settings = settings.map(|(key, value)| (key.to_owned(), value));
            let process = apogee::launch(&binary, dir, "namesrv", &Settings::from(settings))?;
            anyhow::Ok((process, addr))
        };
        let [(first, one), (second, two)] = [start(&dirs[0])?, start(&dirs[1])?];
        let (home, port) = (dir.join("broker"), ports::free(&[-2, 1])?);
        let mut settings = java::placement(&home, port, two);
        settings.insert("namesrvAddr".to_owned(), format!("{one};{two}"));
        let mut broker = apogee::launch(&binary, &home, "broker", &settings)?;
        let addr = (Ipv4Addr::LOCALHOST, port).into();
        broker.wait_until(BOOT_LIMIT, "its route in both name servers", |_| {
            [one, two].into_iter().all(|namesrv| java::is_registered(namesrv, addr))
        })?;
        let namesrvs = [Namesrv::Apogee(first, one), Namesrv::Apogee(second, two)];
        let logs = vec![dirs[1].clone(), home];
        Ok(Self { namesrvs, broker: Broker::Apogee { _process: broker, addr }, logs })
    }

    /// Both addresses, as clients take them.
    pub fn namesrvs(&self) -> String {
        let [first, second] = self.namesrvs.each_ref().map(|namesrv| match namesrv {
            Namesrv::Java(server) => server.addr(),
            Namesrv::Apogee(_, addr) => *addr,
        });
        format!("{first};{second}")
    }

    /// Main address of the broker.
    pub fn broker(&self) -> SocketAddr {
        match &self.broker {
            Broker::Java(broker) => broker.addr(),
            Broker::Apogee { addr, .. } => *addr,
        }
    }

    /// SIGKILL to the first name server.
    pub fn kill_first(&mut self) -> Result<()> {
        match &mut self.namesrvs[0] {
            Namesrv::Java(server) => server.process().kill(),
            Namesrv::Apogee(process, _) => process.kill(),
        }
    }

    /// As [`Cluster::check_log`](crate::peer::Cluster::check_log), of the servers that are left. The
    /// broker has to say that it cannot reach the one that was killed.
    pub fn check_log(&self) -> Result<()> {
        let lines = self.logs.iter().flat_map(|dir| apogee::unexpected_lines(dir));
        let lines: Vec<_> = lines.filter(|line| !line.contains("registration failed")).collect();
        ensure!(lines.is_empty(), "unexpected log lines:\n{}", lines.join("\n"));
        Ok(())
    }
}
