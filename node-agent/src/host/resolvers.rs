//! Whom questions about names are passed on to, and questions to whom are redirected.
//!
//! A pod asks its resolvers, which are most often those of the agent's own file; questions to these and to
//! the ones that the agent was given are the mesh's. A pod may ask other servers, too: those are meant.

use std::fs;
use std::net::{IpAddr, SocketAddr};

/// Where the agent's own resolvers stand.
pub(crate) const FILE: &str = "/etc/resolv.conf";
/// As many are asked as the C library asks.
const MOST: usize = 3;
/// Where resolvers listen.
const PORT: u16 = 53;

/// The resolvers of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolvers {
    /// Whom questions are passed on to.
    pub(crate) asked: Vec<SocketAddr>,
    /// Questions to whom are redirected.
    pub(crate) captured: Vec<IpAddr>,
}

impl Resolvers {
    /// Those that were given, and those of the agent itself.
    pub(crate) fn of_node(given: &[SocketAddr]) -> Self {
        let own = match fs::read_to_string(FILE) {
            Ok(text) => listed(&text),
            Err(error) => {
                tracing::warn!(%error, "{FILE} cannot be read: its resolvers are not known");
                Vec::new()
            }
        };
        Self::of(given, own)
    }

    /// The given ones are asked, or else the agent's own; questions to any of them are redirected.
    fn of(given: &[SocketAddr], own: Vec<SocketAddr>) -> Self {
        let mut captured = Vec::new();
        for resolver in own.iter().chain(given) {
            let ip = resolver.ip().to_canonical();
            if !captured.contains(&ip) {
                captured.push(ip);
            }
        }
        let asked = if given.is_empty() {
            own
        } else {
            given.to_vec()
        };
        Self { asked, captured }
    }
}

/// The resolvers of such a file that can be reached from another network namespace.
fn listed(text: &str) -> Vec<SocketAddr> {
    let mut resolvers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some("nameserver"), Some(address)) = (words.next(), words.next()) else {
            continue;
        };
        match address.parse::<IpAddr>() {
            Ok(ip) if is_reachable(ip) => resolvers.push(SocketAddr::new(ip, PORT)),
            _ => tracing::warn!(address, "a resolver of {FILE} is of no use in pods"),
        }
    }
    resolvers.truncate(MOST);
    resolvers
}

/// In a pod, these would be the pod itself.
fn is_reachable(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()
}

/// Reads an address, with a port or not.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let read = text.parse().or_else(|_no_port| {
        let ip: Result<IpAddr, _> = text.parse();
        ip.map(|ip| SocketAddr::new(ip, PORT))
    });
    match read {
        Ok(address) if is_reachable(address.ip()) && address.port() != 0 => Ok(address),
        Ok(_) => Err(format!("{text} cannot be reached from pods")),
        Err(_) => Err(format!("{text:?} is no ADDRESS or ADDRESS:PORT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_resolvers_are_taken_but_those_of_the_node_alone() {
        let text = "# by the kubelet\nsearch shop.svc.cluster.local\nnameserver 10.96.0.10\n\
                    nameserver\t127.0.0.53\nnameserver fd00::a # second\nnameserver fe80::1%eth0\n\
                    options ndots:5\nnameserver ::1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        let found: Vec<String> = listed(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.96.0.10:53", "[fd00::a]:53", "192.0.2.1:53"]);
        assert!(listed("").is_empty());
    }

    #[test]
    fn questions_to_all_that_are_known_are_redirected_and_the_given_ones_are_asked() {
        let at = |text: &str| address(text).unwrap();
        let ips = |all: &[&str]| -> Vec<IpAddr> {
            all.iter().map(|text| text.parse().unwrap()).collect()
        };
        let own = vec![at("10.96.0.10"), at("169.254.20.10"), at("fd00::a")];
        let alone = Resolvers::of(&[], own.clone());
        assert_eq!(alone.asked, own);
        assert_eq!(
            alone.captured,
            ips(&["10.96.0.10", "169.254.20.10", "fd00::a"])
        );
        let given = [at("10.96.0.10:5353"), at("192.0.2.1")];
        let both = Resolvers::of(&given, own[..1].to_vec());
        assert_eq!(both.asked, given);
        assert_eq!(both.captured, ips(&["10.96.0.10", "192.0.2.1"]));
        assert_eq!(Resolvers::of(&[], Vec::new()), Resolvers::default());
    }

    #[test]
    fn resolvers_are_given_with_a_port_or_without() {
        for (text, wanted) in [
            ("10.0.0.1", Some("10.0.0.1:53")),
            ("10.0.0.1:5353", Some("10.0.0.1:5353")),
            ("fd00::1", Some("[fd00::1]:53")),
            ("[fd00::1]:5353", Some("[fd00::1]:5353")),
            ("127.0.0.1", None),
            ("10.0.0.1:0", None),
            ("resolver", None),
        ] {
            let read = address(text).map(|address| address.to_string());
            assert_eq!(read.ok().as_deref(), wanted, "{text}");
        }
    }
}
