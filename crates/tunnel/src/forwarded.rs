//! The `forwarded` header of HBONE (RFC 7239): the address of the client, as whoever opens a
//! tunnel for it tells. Anybody can write anything there, so it is read only on tunnels of the
//! destination's own waypoint, and by a waypoint for the address of the tunnel itself.

use std::net::{IpAddr, SocketAddr};

/// The header's value for a client.
pub fn of(client: SocketAddr) -> String {
    format!("for=\"{client}\"")
}

/// The client that a header's value names, if it names one by an address that a client can have;
/// port 0 where the header has none.
pub fn client(value: &str) -> Option<SocketAddr> {
    // Of several proxies on the way the first has seen the client.
    let first = value.split(',').next()?;
    let named = first.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })?;
    let node = named.trim();
    let node = match node.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => node,
    };
    let client = address(node)?;
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    is_a_clients(client.ip()).then_some(client)
}

/// An address, in brackets if it is of IPv6, and a port if there is one.
fn address(node: &str) -> Option<SocketAddr> {
    let without_port = || {
        let inner = node.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let ip = match inner {
            Some(v6) => IpAddr::V6(v6.parse().ok()?),
            None => IpAddr::V4(node.parse().ok()?),
        };
        Some(SocketAddr::new(ip, 0))
    };
    node.parse().ok().or_else(without_port)
}

/// False for what no connection comes from, and for what an application takes for its own host.
fn is_a_clients(ip: IpAddr) -> bool {
    let is_reserved = match ip {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_reserved || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

#[cfg(test)]
mod tests;
