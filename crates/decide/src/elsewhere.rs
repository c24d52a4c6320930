//! Addresses that a name may lead to when it was somebody else who wrote the name: neither of this
//! host, nor of its link, nor where a cloud tells a machine about itself.
//!
//! Who asks in another's place ([`is_elsewhere`]) is otherwise a way to what only itself can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses at which clouds tell a machine about itself, beside those of the link.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// The address of IPv4 that one of NAT64 (RFC 6052) or 6to4 (RFC 3056) leads to, or one that is
/// written as IPv6 in the old way (RFC 4291, 2.5.5.1).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let (high, low) = match (a, b) {
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => (g, h),
        (0, 0) if [c, d, e, f] == [0; 4] && g != 0 => (g, h),
        (0x2002, high) => (high, c),
        _ => return None,
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

/// Neither this host nor its link, nor what tells of this host, nor an address that nobody has: those from
/// which the mesh gives hosts their own are among them.
pub fn is_elsewhere(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let inner = match address {
        IpAddr::V6(v6) => embedded(v6),
        IpAddr::V4(_) => None,
    };
    if METADATA.contains(&address) || inner.is_some_and(|v4| !is_elsewhere(v4.into())) {
        return false;
    }
    match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            // "This network" (RFC 6890), and what is reserved (RFC 1112), broadcast too.
            let is_nobodys = first == 0 || first >= 240;
            !(is_nobodys || v4.is_loopback() || v4.is_link_local() || v4.is_multicast())
        }
        IpAddr::V6(v6) => {
            let given = matches!(v6.segments(), [0x2001, 2, 0, ..]);
            !(given
                || v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_this_host_nor_its_link_nor_what_tells_of_it_is_elsewhere() {
        for own in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.251",
            "240.240.0.7",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "ff02::fb",
            "fd00:ec2::254",
            "2001:2::7",
        ] {
            assert!(!is_elsewhere(own.parse().unwrap()), "{own}");
        }
        for other in [
            "10.0.0.1",
            "192.168.1.1",
            "93.184.216.34",
            "2606:2800::1",
            "fd00::1",
            "64:ff9b::5db8:d822",
        ] {
            assert!(is_elsewhere(other.parse().unwrap()), "{other}");
        }
    }
}
