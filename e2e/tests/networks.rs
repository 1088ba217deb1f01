//! A server with a leg in each of two networks that cannot reach each other, nothing configured: clients of both
//! find it. The networks are namespaces of the kernel, made here, so it takes root and `ip`.
#![allow(clippy::disallowed_methods, reason = "drives real processes")]

use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use apogee_e2e::apogee;
use apogee_e2e::cases::Cases;
use apogee_e2e::peer::Peer;
use apogee_e2e::process::Process;

const BOOT_LIMIT: Duration = Duration::from_secs(20);

type Case = fn(&Networks) -> Result<()>;

const CASES: [(&str, Case); 4] = [
    ("a_client_of_each_network_reaches_the_broker", a_client_of_each_network_reaches_the_broker),
    ("a_network_may_be_told_its_own_address", a_network_may_be_told_its_own_address),
    ("brokerip1_is_told_to_all", brokerip1_is_told_to_all),
    ("loopback_is_not_registered_elsewhere", loopback_is_not_registered_elsewhere),
];

fn main() -> Result<ExitCode> {
    let mut cases = Cases::default();
    if Peer::selected().contains(&Peer::Apogee) {
        for (number, (name, case)) in CASES.into_iter().enumerate() {
            let missing = Peer::Apogee.missing().or_else(missing);
            cases.add(format!("networks::{name}"), missing, move || case(&Networks::new(number)?));
        }
    }
    Ok(cases.run())
}

/// Why there can be no namespaces here, if so.
fn missing() -> Option<String> {
    let name = format!("apogee-probe-{}", std::process::id());
    let made = ip(&["netns", "add", &name]);
    let _ = ip(&["netns", "del", &name]);
    made.err().map(|error| format!("network namespaces cannot be made (root, iproute2): {error:#}"))
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("running ip")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {complaint}", arguments.join(" "));
    Ok(())
}

/// The server's namespace with one leg in each of two others: 10.9.1.1 seen from `left` (10.9.1.2), 10.9.2.1 and
/// 10.9.2.9 seen from `right` (10.9.2.2). None routes.
struct Networks {
    server: String,
    left: String,
    right: String,
    binary: PathBuf,
    dir: tempfile::TempDir,
}

impl Networks {
    fn new(number: usize) -> Result<Networks> {
        let name = |place| format!("apogee-{}-{number}-{place}", std::process::id());
        let binary = apogee::binary().context("no apogee binary")?.canonicalize()?;
        let (server, left, right) = (name("server"), name("left"), name("right"));
        let networks = Networks { server, left, right, binary, dir: tempfile::tempdir()? };
        let Networks { server, left, right, .. } = &networks;
        for namespace in [server, left, right] {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        for (leg, far, network) in [("leg1", left, "10.9.1"), ("leg2", right, "10.9.2")] {
            ip(&[
                "link", "add", leg, "netns", server, "type", "veth", "peer", "name", "leg",
                "netns", far,
            ])?;
            for (namespace, leg, host) in [(server, leg, 1), (far, "leg", 2)] {
                ip(&["-n", namespace, "addr", "add", &format!("{network}.{host}/24"), "dev", leg])?;
                ip(&["-n", namespace, "link", "set", leg, "up"])?;
            }
        }
        ip(&["-n", server, "addr", "add", "10.9.2.9/24", "dev", "leg2"])?;
        Ok(networks)
    }

    /// The binary, to be run in a namespace.
    fn command(&self, namespace: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(&self.binary).args(arguments);
        command
            .current_dir(self.dir.path())
            .env_remove("APOGEE_BIN")
            .env_remove("APOGEE_E2E_PEERS");
        command
    }

    fn start(&self, settings: &[&str]) -> Result<Process> {
        let mut command = self.command(&self.server, &["server"]);
        settings.iter().for_each(|setting| {
            command.args(["--set", setting]);
        });
        let mut process = Process::start("apogee", command, &self.dir.path().join("log"))?;
        process.wait_for_output("try it", BOOT_LIMIT)?;
        Ok(process)
    }

    /// The address of the broker that a client there is told.
    fn told(&self, namespace: &str, namesrv: &str) -> Result<String> {
        let arguments = ["topic", "describe", "TBW102", "--namesrv", namesrv];
        let output = finished(self.command(namespace, &arguments))?;
        let text = String::from_utf8(output.stdout)?;
        let address = text.split_whitespace().find_map(|word| word.strip_prefix("0="));
        Ok(address.with_context(|| format!("no address of a master in {text}"))?.to_owned())
    }

    /// Sends a message from there and consumes it again.
    fn send_and_consume(&self, namespace: &str, namesrv: &str) -> Result<()> {
        let topic = format!("from-{namespace}");
        finished(self.command(namespace, &["send", &topic, "hello", "--namesrv", namesrv]))?;
        let consume = ["consume", &topic, "--from", "first", "--count", "1", "--namesrv", namesrv];
        let output = finished(self.command(namespace, &consume))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(text.contains("hello"), "consumed {text:?}");
        Ok(())
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.left, &self.right] {
            let _ = ip(&["netns", "del", namespace]);
        }
    }
}

fn finished(mut command: Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {complaint}", output.status);
    Ok(output)
}

/// Shows that with nothing configured a client in either network, and one on the machine itself, is told an address
/// that it reaches, and sends and consumes there.
fn a_client_of_each_network_reaches_the_broker(networks: &Networks) -> Result<()> {
    let mut server = networks.start(&[])?;
    for (namespace, ip) in [
        (&networks.left, "10.9.1.1"),
        (&networks.right, "10.9.2.1"),
        (&networks.server, "127.0.0.1"),
    ] {
        let namesrv = format!("{ip}:9876");
        let told = networks.told(namespace, &namesrv)?;
        ensure!(told == format!("{ip}:10911"), "a client of {namesrv} was told {told}");
        networks.send_and_consume(namespace, &namesrv)?;
    }
    stop(&mut server)
}

/// Shows that `advertisedAddresses` goes before what the connection says, for clients of its network alone.
fn a_network_may_be_told_its_own_address(networks: &Networks) -> Result<()> {
    let mut server = networks.start(&["advertisedAddresses=10.9.2.0/24=10.9.2.9:10911"])?;
    ensure!(networks.told(&networks.left, "10.9.1.1:9876")? == "10.9.1.1:10911");
    ensure!(networks.told(&networks.right, "10.9.2.1:9876")? == "10.9.2.9:10911");
    networks.send_and_consume(&networks.right, "10.9.2.1:9876")?;
    stop(&mut server)
}

/// Shows that a `brokerIP1` that was set is told to everybody, as in the reference.
fn brokerip1_is_told_to_all(networks: &Networks) -> Result<()> {
    let mut server = networks.start(&["brokerIP1=10.9.1.1"])?;
    ensure!(networks.told(&networks.left, "10.9.1.1:9876")? == "10.9.1.1:10911");
    let unreachable = networks.send_and_consume(&networks.right, "10.9.2.1:9876");
    let error = unreachable.err().context("a broker that cannot be reached took a message")?;
    ensure!(error.to_string().contains("10.9.1.1:10911"), "{error:#}");
    stop(&mut server)
}

/// Shows that a broker that has no address but loopback says so instead of registering it with name servers
/// elsewhere, and that without a route outside it takes the address of any network card.
fn loopback_is_not_registered_elsewhere(networks: &Networks) -> Result<()> {
    let server = &networks.server;
    let broker = ["server", "--roles", "broker", "-n", "203.0.113.1:9876"];
    for leg in ["leg1", "leg2"] {
        ip(&["-n", server, "link", "set", leg, "down"])?;
        ip(&["-n", server, "addr", "flush", "dev", leg])?;
    }
    let refused = networks.command(server, &broker).output()?;
    let complaint = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(1), "it ended with {}", refused.status);
    ensure!(
        complaint.contains("203.0.113.1:9876 names servers elsewhere: set brokerIP1"),
        "{complaint}"
    );

    ip(&["-n", server, "addr", "add", "10.9.1.1/24", "dev", "leg1"])?;
    ip(&["-n", server, "link", "set", "leg1", "up"])?;
    let log = networks.dir.path().join("log");
    let mut process = Process::start("apogee", networks.command(server, &broker), &log)?;
    process.wait_for_output("clients are told 10.9.1.1:10911", BOOT_LIMIT)?;
    // No name server is there to take its leave from.
    process.kill()
}

fn stop(server: &mut Process) -> Result<()> {
    let status = server.terminate(BOOT_LIMIT)?;
    ensure!(status.success(), "apogee answered SIGTERM with {status}");
    Ok(())
}
