//! Who has which address. Every lab uses the same ones, for its namespaces are its own.
//!
//! Nodes are numbered from 1, pods of a node from 0.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The control plane's place: the wan bridge itself.
pub const WAN_V4: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 254);
/// The same over IPv6.
pub const WAN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, 0xfe);

/// The first pod's last byte; 1 is the node's bridge.
const FIRST_POD: u8 = 10;

/// A node's address on the wan.
pub fn node_v4(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, node)
}

/// A node's address on the wan, IPv6.
pub fn node_v6(node: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, u16::from(node))
}

/// The node's address in its pods' network: their gateway, and what kubelet's probes come from.
pub fn bridge_v4(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, node, 1)
}

/// The pods' gateway, IPv6.
pub fn bridge_v6(node: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x244, u16::from(node), 0, 0, 0, 0, 1)
}

/// A pod's address.
pub fn pod_v4(node: u8, index: u8) -> Ipv4Addr {
    let last = FIRST_POD.saturating_add(index);
    Ipv4Addr::new(10, 244, node, last)
}

/// A pod's address, IPv6.
pub fn pod_v6(node: u8, index: u8) -> Ipv6Addr {
    let last = u16::from(FIRST_POD.saturating_add(index));
    Ipv6Addr::new(0xfd00, 0x244, u16::from(node), 0, 0, 0, 0, last)
}

/// The address of the n-th service (from 0).
pub fn vip_v4(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 96, 0, index.saturating_add(10))
}

/// The address of the n-th service, IPv6.
pub fn vip_v6(index: u8) -> Ipv6Addr {
    Ipv6Addr::new(
        0xfd00,
        0x96,
        0,
        0,
        0,
        0,
        0,
        u16::from(index).saturating_add(10),
    )
}

/// Which of the two address families a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, for scenarios that must hold for each.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Picks from a dual-stack pair.
    pub fn of(self, v4: Ipv4Addr, v6: Ipv6Addr) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(v4),
            Self::V6 => IpAddr::V6(v6),
        }
    }
}
