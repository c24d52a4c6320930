//! Reading a pcap file down to TCP and UDP payloads, and a TLS server hello out of one.
//!
//! Covers what a veth or bridge port shows: Ethernet frames (or Linux "cooked" ones from `any`),
//! IPv4 and IPv6 without fragments. Anything else is kept out, never an error: only a file that is
//! no capture at all is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};

/// Little-endian microsecond capture, what tcpdump writes on the machines we run on.
const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;
const COOKED2: u32 = 276;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP of either family.
    Icmp,
    /// Something else over IP.
    Other,
}

/// One IP packet.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Where from; the port is 0 where the protocol has none.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// What it carries.
    pub protocol: Protocol,
    /// The bytes above TCP or UDP, or above IP for the rest.
    pub payload: Vec<u8>,
}

impl Packet {
    /// Both ports.
    pub fn ports(&self) -> [u16; 2] {
        [self.source.port(), self.destination.port()]
    }
}

/// All IP packets of a capture file. A record that is cut off at the end is left out: the file
/// may still be written to.
pub(super) fn parse(file: &[u8]) -> Result<Vec<Packet>> {
    let magic = little32(file, 0).context("an empty capture file")?;
    if magic != MAGIC {
        bail!("not a capture file of tcpdump's usual kind: it begins with {magic:#x}");
    }
    let link = little32(file, 20).context("a capture file without its header")?;
    let mut packets = Vec::new();
    let mut at = FILE_HEADER;
    while let Some(length) = little32(file, at.saturating_add(8)) {
        let start = at.saturating_add(RECORD_HEADER);
        at = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let Some(frame) = file.get(start..at) else {
            break;
        };
        packets.extend(of_frame(link, frame));
    }
    Ok(packets)
}

fn of_frame(link: u32, frame: &[u8]) -> Option<Packet> {
    let (kind, body) = match link {
        ETHERNET => (big16(frame, 12)?, frame.get(14..)?),
        COOKED2 => (big16(frame, 0)?, frame.get(20..)?),
        _ => return None,
    };
    match kind {
        0x0800 => of_ipv4(body),
        0x86dd => of_ipv6(body),
        _ => None,
    }
}

fn of_ipv4(packet: &[u8]) -> Option<Packet> {
    let header = usize::from(packet.first()? & 0x0f).checked_mul(4)?;
    // The length field leaves out padding of short Ethernet frames.
    let end = usize::from(big16(packet, 2)?).min(packet.len());
    let source = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?);
    let destination = Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?);
    let protocol = *packet.get(9)?;
    of_ip(
        source.into(),
        destination.into(),
        protocol,
        packet.get(header..end)?,
    )
}

fn of_ipv6(packet: &[u8]) -> Option<Packet> {
    let end = usize::from(big16(packet, 4)?)
        .saturating_add(40)
        .min(packet.len());
    let source = Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?);
    let destination = Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?);
    let protocol = *packet.get(6)?;
    of_ip(
        source.into(),
        destination.into(),
        protocol,
        packet.get(40..end)?,
    )
}

fn of_ip(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> Option<Packet> {
    let (protocol, header) = match protocol {
        6 => (
            Protocol::Tcp,
            usize::from(*body.get(12)? >> 4).checked_mul(4)?,
        ),
        17 => (Protocol::Udp, 8),
        1 | 58 => (Protocol::Icmp, 0),
        _ => (Protocol::Other, 0),
    };
    let (from, to) = match protocol {
        Protocol::Tcp | Protocol::Udp => (big16(body, 0)?, big16(body, 2)?),
        Protocol::Icmp | Protocol::Other => (0, 0),
    };
    Some(Packet {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
        protocol,
        payload: body.get(header..)?.to_vec(),
    })
}

/// The protocol version a TLS server hello at the start of `payload` selects (RFC 8446 4.1.3):
/// 0x0304 for TLS 1.3, which only the supported_versions extension tells.
pub(super) fn server_hello_version(payload: &[u8]) -> Option<u16> {
    let (record, handshake) = (*payload.first()?, *payload.get(5)?);
    if record != 22 || handshake != 2 {
        return None;
    }
    let legacy = big16(payload, 9)?;
    let session = usize::from(*payload.get(43)?);
    // Past the session id, the cipher suite and the compression method.
    let extensions = 44_usize.checked_add(session)?.checked_add(3)?;
    let mut at = extensions.checked_add(2)?;
    while let (Some(kind), Some(length)) = (big16(payload, at), big16(payload, at.checked_add(2)?))
    {
        let body = at.checked_add(4)?;
        if kind == 43 {
            return big16(payload, body);
        }
        at = body.checked_add(usize::from(length))?;
    }
    Some(legacy)
}

fn big16(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(two.try_into().ok()?))
}

fn little32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests;
