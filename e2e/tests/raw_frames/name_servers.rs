//! Several name servers side by side.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use apogee_e2e::apogee;
use apogee_e2e::frame::Connection;
use apogee_e2e::ports;
use apogee_e2e::process::Process;

use crate::LIMIT;

const CREATE_TOPIC: i64 = 17;
const GET_ROUTE: i64 = 105;
const POLL: Duration = Duration::from_millis(20);
/// Much less than a registration may take here.
const SOON: Duration = Duration::from_secs(30);

/// Shows that a broker is known to each of several name servers, that one which takes connections
/// and never answers delays nothing, that a new topic is known to the living while another is dead,
/// and to the dead one when it is back.
pub(crate) fn one_dead_does_not_delay_the_others() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (one, two) = (ports::free(&[])?, ports::free(&[])?);
    let broker_port = ports::free(&[-2, 1])?;
    let _one = name_server(dir.path(), "one", one)?;
    let mut other = name_server(dir.path(), "two", two)?;
    let list = format!("{};127.0.0.1:{one};127.0.0.1:{two}", silent.local_addr()?);
    let settings = format!(
        "namesrvAddr={list}\nlistenPort={broker_port}\nwebEnable=false\nbindAddress=127.0.0.1\n\
         brokerIP1=127.0.0.1\nregisterBrokerTimeoutMills=120000\nstorePathRootDir={}\n",
        dir.path().join("store").display()
    );
    let _broker = start(dir.path(), "broker", &settings)?;
    create(broker_port, "Before")?;
    knows(one, "Before")?;
    knows(two, "Before")?;
    other.kill()?;
    create(broker_port, "After")?;
    knows(one, "After")?;
    let _other = name_server(dir.path(), "two", two)?;
    knows(two, "After")
}

fn name_server(dir: &Path, name: &str, port: u16) -> Result<Process> {
    let settings = format!(
        "listenPort={port}\nwebEnable=false\nbindAddress=127.0.0.1\nkvConfigPath={}\n",
        dir.join(format!("{name}-kvConfig.json")).display()
    );
    let role = format!("namesrv-{name}");
    start(dir, &role, &settings)
}

/// Starts a process whose role is the first part of `name`.
fn start(dir: &Path, name: &str, settings: &str) -> Result<Process> {
    let file = dir.join(format!("{name}.properties"));
    fs::write(&file, settings)?;
    let mut command = Command::new(apogee::binary().context("no apogee binary")?);
    for variable in ["APOGEE_BIN", "APOGEE_E2E_PEERS", "APOGEE_KILL_POINTS"] {
        command.env_remove(variable);
    }
    let role = name.split('-').next().unwrap_or(name);
    command.args(["server", "--roles", role, "-c"]).arg(&file).current_dir(dir);
    Process::start(name, command, &dir.join(format!("{name}.log")))
}

/// Calls `ask` until it succeeds.
fn soon<T>(mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + SOON;
    loop {
        match ask() {
            Err(_) if Instant::now() < end => std::thread::sleep(POLL),
            done => return done,
        }
    }
}

fn open(port: u16) -> Result<Connection> {
    Connection::open(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LIMIT)
}

fn create(broker_port: u16, topic: &str) -> Result<()> {
    let fields = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
    ];
    let answer = soon(|| open(broker_port)?.call(CREATE_TOPIC, &fields, &[]))?;
    ensure!(answer.code == 0, "{answer:?}");
    Ok(())
}

fn knows(namesrv_port: u16, topic: &str) -> Result<()> {
    soon(|| {
        let answer = open(namesrv_port)?.call(GET_ROUTE, &[("topic", topic)], &[])?;
        ensure!(answer.code == 0, "the name server on port {namesrv_port}: {answer:?}");
        Ok(())
    })
}
