//! Packets that belong to no connection.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Namespace;

/// TCP flags of a packet in mid-stream.
pub(super) const ACK: u8 = 0x10;
/// TCP flags of a connection's first packet.
pub(super) const SYN: u8 = 0x02;

/// Sends a packet with a TCP MD5 signature (RFC 2385) that nobody expects: the receiver drops it
/// without an answer, and no reset tells connection tracking that it meant nothing.
pub(super) fn stray(flags: u8, at: &Namespace, from: SocketAddr, to: SocketAddr) {
    let mut segment = Vec::new();
    segment.extend(from.port().to_be_bytes());
    segment.extend(to.port().to_be_bytes());
    segment.extend(1_u32.to_be_bytes());
    segment.extend(1_u32.to_be_bytes());
    segment.extend([10 << 4, flags, 0x20, 0, 0, 0, 0, 0]);
    segment.extend([19, 18]);
    segment.extend([7; 16]);
    segment.extend([1, 1]);
    let checksum = checksum(from.ip(), to.ip(), &segment);
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    let send = || {
        let domain = Domain::for_address(to);
        let raw = Socket::new(domain, Type::RAW, Some(Protocol::TCP))?;
        raw.bind(&SockAddr::from(SocketAddr::new(from.ip(), 0)))?;
        raw.send_to(&segment, &SockAddr::from(SocketAddr::new(to.ip(), 0)))
    };
    let sent = at.open().run(send).unwrap().unwrap();
    assert_eq!(sent, segment.len());
}

/// Over the segment and the pseudo-header, which differ between the families by zeros only.
fn checksum(from: IpAddr, to: IpAddr, segment: &[u8]) -> u16 {
    let octets = |ip| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let summed = [&octets(from)[..], &octets(to), &[0, 6, 0, 40], segment].concat();
    let pairs = summed
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = pairs.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
