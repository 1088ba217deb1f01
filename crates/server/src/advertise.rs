//! The address that this broker tells clients: `brokerIP1`, or the address of this machine that leads outside, or
//! loopback where there is no other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use anyhow::Context;

/// Resolves `host` (empty: find out) to an address with `port`. IPv4 is preferred: C++ and Node clients know no other.
pub(crate) fn address(host: &str, port: u16) -> anyhow::Result<SocketAddr> {
    if host.is_empty() {
        let ip = outward_ip().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        return Ok(SocketAddr::new(ip, port));
    }
    let addresses = (host, port)
        .to_socket_addrs()
        .with_context(|| format!("brokerIP1={host} cannot be resolved"))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    v4.or(addresses.first()).copied().with_context(|| format!("brokerIP1={host} has no address"))
}

/// The address from which this machine would reach others. Connecting a datagram socket sends nothing: it only asks
/// the routing table.
fn outward_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}
