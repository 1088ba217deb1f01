//! The broker of this process, and at which address a client reaches it. See
//! `docs/design/advertised-address.md`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use env::settings::Value;
use ipnet::IpNet;
use wire::Peer;

/// `NETWORK=HOST:PORT` entries, separated by `;`: which address clients from a network are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByNetwork(Vec<(IpNet, String)>);

impl ByNetwork {
    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value for ByNetwork {
    const KIND: &'static str = "NETWORK/BITS=HOST:PORT entries, separated by ;";

    fn parse(text: &str) -> Result<ByNetwork, String> {
        let entries = text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| parse_entry(entry).ok_or_else(|| format!("{}, not `{entry}`", Self::KIND)))
            .collect::<Result<_, _>>()
            .map(ByNetwork)
    }

    fn render(&self) -> String {
        let entries: Vec<String> =
            self.0.iter().map(|(network, address)| format!("{network}={address}")).collect();
        entries.join(";")
    }
}

fn parse_entry(entry: &str) -> Option<(IpNet, String)> {
    let (network, address) = entry.split_once('=')?;
    let (host, port) = address.trim().rsplit_once(':')?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    // It goes into answers as it is: nothing but a name, an IPv4 address, or an IPv6 address in brackets.
    let is_name = |host: &str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let is_host = is_name(host) || address.trim().parse::<SocketAddr>().is_ok();
    (is_port && is_host).then_some(())?;
    Some((network.trim().parse().ok()?, address.trim().to_owned()))
}

/// The broker that shares this process with the name server.
#[derive(Debug)]
pub struct BrokerHere {
    /// The address it registers.
    pub registered: SocketAddr,
    /// Whether clients reach it at whatever address they reached this name server: nobody said which one to tell,
    /// and it listens on all.
    pub anywhere: bool,
    /// What clients of some networks are told instead.
    pub by_network: ByNetwork,
}

impl BrokerHere {
    /// The address to tell a client instead of the registered one; `None`: the registered one is right.
    fn address_for(&self, peer: &Peer) -> Option<String> {
        let remote = peer.remote().ip();
        if let Some((_, address)) = self.by_network.0.iter().find(|(net, _)| net.contains(&remote))
        {
            return Some(address.clone());
        }
        let reached = peer.local().ip();
        (self.anywhere && reached != self.registered.ip())
            .then(|| SocketAddr::new(reached, self.registered.port()).to_string())
    }

    /// How answers to this client are changed; `None`: not at all.
    pub(crate) fn view(&self, peer: &Peer) -> Option<View> {
        let told = self.address_for(peer)?;
        Some(View { registered: self.registered.to_string(), told })
    }
}

/// An answer as one client sees it.
pub(crate) struct View {
    registered: String,
    told: String,
}

impl View {
    /// Puts the address to be told where the registered one is.
    pub(crate) fn apply(&self, addrs: &mut BTreeMap<i64, String>) {
        addrs.values_mut().filter(|addr| **addr == self.registered).for_each(|addr| {
            addr.clone_from(&self.told);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(here: &BrokerHere, remote: &str, local: &str) -> Option<String> {
        here.address_for(&Peer::new(1, remote.parse().unwrap(), local.parse().unwrap()))
    }

    /// Shows which address a client is told, by where it comes from and which of our addresses it reached.
    #[test]
    fn the_address_suits_the_client() {
        let by_network =
            ByNetwork::parse(" 10.1.0.0/16=broker.lan:10911; ::/0=[2001:db8::7]:30911 ").unwrap();
        let registered = "192.0.2.2:10911".parse().unwrap();
        let mut here = BrokerHere { registered, anywhere: true, by_network };
        assert_eq!(
            told(&here, "10.1.2.3:5", "192.0.2.2:9876").as_deref(),
            Some("broker.lan:10911")
        );
        assert_eq!(told(&here, "10.2.2.3:5", "192.0.2.2:9876"), None);
        assert_eq!(told(&here, "10.2.2.3:5", "10.2.0.1:9876").as_deref(), Some("10.2.0.1:10911"));
        assert_eq!(
            told(&here, "127.0.0.1:5", "127.0.0.1:9876").as_deref(),
            Some("127.0.0.1:10911")
        );
        assert_eq!(told(&here, "[::1]:5", "[::1]:9876").as_deref(), Some("[2001:db8::7]:30911"));
        here.by_network = ByNetwork::default();
        assert_eq!(told(&here, "[::1]:5", "[::1]:9876").as_deref(), Some("[::1]:10911"));
        here.anywhere = false;
        assert_eq!(told(&here, "127.0.0.1:5", "127.0.0.1:9876"), None);
    }

    /// Shows that an entry that clients could not use is refused by name, and that what is taken is written as it was.
    #[test]
    fn entries_are_checked() {
        for bad in [
            "10.0.0.0/8",
            "10.0.0.0/33=a:1",
            "10.0.0.0/8=a",
            "10.0.0.0/8=a:0",
            "10.0.0.0/8=a\":1",
            "x=a:1",
            "::/0=::1:5",
        ] {
            let error = ByNetwork::parse(&format!("0.0.0.0/0=b:1;{bad}")).unwrap_err();
            assert!(error.ends_with(&format!("not `{bad}`")), "{error}");
        }
        let text = "10.0.0.0/8=a.b-c_d:1;::/0=[::1]:65535";
        assert_eq!(ByNetwork::parse(text).unwrap().render(), text);
        assert!(ByNetwork::parse(" ; ").unwrap().is_empty());
    }
}
