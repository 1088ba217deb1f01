//! The address that this broker registers with name servers, and what the one in this process tells clients instead.
//! See `docs/design/advertised-address.md`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use anyhow::{Context, ensure};

/// Addresses that belong to nobody: only the routing table is asked about them.
const OUTSIDE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// What decides the address.
#[derive(Debug)]
pub(crate) struct Advertise<'a> {
    /// `brokerIP1`; empty: find out.
    pub(crate) host: &'a str,
    /// Where the broker listens.
    pub(crate) listens: SocketAddr,
    /// Name servers in other processes, separated by `;` or `,`; empty: none.
    pub(crate) elsewhere: &'a str,
}

impl Advertise<'_> {
    /// Whether clients reach the broker at every address of this machine, and none was chosen for them.
    pub(crate) fn is_anywhere(&self) -> bool {
        self.host.is_empty() && self.listens.ip().is_unspecified()
    }

    /// The address to register. IPv4 is preferred: C++ and Node clients know no other.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        let others = self.others();
        let ip = if !self.host.is_empty() {
            named(self.host)?
        } else if !self.is_anywhere() {
            self.listens.ip()
        } else {
            let towards = others.iter().copied().chain(OUTSIDE);
            towards
                .into_iter()
                .find_map(ip_towards)
                .or_else(any_ip)
                .unwrap_or(Ipv4Addr::LOCALHOST.into())
        };
        if ip.is_loopback() && !others.is_empty() {
            ensure!(
                !self.is_anywhere(),
                "this machine has no address but loopback, at which clients elsewhere cannot reach the broker, and \
                 namesrvAddr={} names servers elsewhere: set brokerIP1",
                self.elsewhere
            );
            tracing::warn!(
                address = %ip,
                namesrv = self.elsewhere,
                "a loopback address is registered with name servers on other machines: their clients cannot reach \
                 this broker (brokerIP1, bindAddress)"
            );
        }
        Ok(SocketAddr::new(ip, self.listens.port()))
    }

    /// Addresses of the name servers on other machines, as far as they are known now.
    fn others(&self) -> Vec<IpAddr> {
        let servers =
            self.elsewhere.split([';', ',']).map(str::trim).filter(|addr| !addr.is_empty());
        let addresses = servers.filter_map(|addr| addr.to_socket_addrs().ok()).flatten();
        addresses.map(|addr| addr.ip().to_canonical()).filter(|ip| !ip.is_loopback()).collect()
    }
}

fn named(host: &str) -> anyhow::Result<IpAddr> {
    let addresses = (host, 0)
        .to_socket_addrs()
        .with_context(|| format!("brokerIP1={host} cannot be resolved"))?;
    let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
    let v4 = addresses.iter().find(|address| address.is_ipv4());
    v4.or(addresses.first()).copied().with_context(|| format!("brokerIP1={host} has no address"))
}

/// The address from which this machine would reach `other`. Connecting a datagram socket sends nothing: it only asks
/// the routing table.
fn ip_towards(other: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match other {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((other, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

/// Some address of this machine that is not loopback, where no route leads outside.
fn any_ip() -> Option<IpAddr> {
    let ips = || if_addrs::get_if_addrs().unwrap_or_default().into_iter().map(|card| card.ip());
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    ips().filter(IpAddr::is_ipv4).find(usable).or_else(|| ips().find(usable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertise<'a>(host: &'a str, listens: &str, elsewhere: &'a str) -> Advertise<'a> {
        Advertise { host, listens: listens.parse().unwrap(), elsewhere }
    }

    /// Shows that what was said counts as it was said, and that a broker bound to one address is told by it.
    #[test]
    fn what_was_set_counts() {
        let address = |a: Advertise<'_>| a.address().unwrap().to_string();
        assert_eq!(address(advertise("203.0.113.9", "0.0.0.0:10911", "")), "203.0.113.9:10911");
        assert_eq!(address(advertise("localhost", "0.0.0.0:1", "")), "127.0.0.1:1");
        assert_eq!(address(advertise("", "127.0.0.7:10911", "")), "127.0.0.7:10911");
        assert_eq!(address(advertise("127.0.0.1", "0.0.0.0:1", "203.0.113.1:9876")), "127.0.0.1:1");
        let error = advertise("no such host", "0.0.0.0:1", "").address().unwrap_err();
        assert!(
            error.to_string().starts_with("brokerIP1=no such host cannot be resolved"),
            "{error}"
        );
    }

    /// Shows that only a broker that listens everywhere and was told nothing may be reached at any address.
    #[test]
    fn anywhere_is_only_what_nobody_narrowed() {
        assert!(advertise("", "0.0.0.0:1", "").is_anywhere());
        assert!(advertise("", "[::]:1", "").is_anywhere());
        assert!(!advertise("10.0.0.1", "0.0.0.0:1", "").is_anywhere());
        assert!(!advertise("", "10.0.0.1:1", "").is_anywhere());
    }
}
