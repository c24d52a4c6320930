//! What a resolver says.
//!
//! An answer is believed if it has the number and the question that were sent; the socket that it came
//! by takes packets of that resolver only. The rest of it is the application's to read: here only the
//! addresses are, for names that the mesh resolves itself and for what it writes down.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::{self, HEADER};
use crate::{A, AAAA, CNAME, IN, OPT};

/// Bit of a response.
const RESPONSE: u16 = 0x8000;
/// The answer did not fit.
const TRUNCATED: u16 = 0x0200;
/// Most names that lead from the one asked about to its addresses.
const MOST_ALIASES: usize = 16;
/// Most records that are looked at.
const MOST_RECORDS: u16 = 256;
/// Most addresses that are taken.
const MOST_ADDRESSES: usize = 64;

/// An answer of a resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    packet: &'a [u8],
    flags: u16,
}

/// What an answer says of the addresses of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The addresses.
    pub all: Vec<IpAddr>,
    /// Seconds that all of them hold.
    pub ttl: u32,
}

impl<'a> Reply<'a> {
    /// Reads the answer to a packet that was sent; `None` if it is not that.
    ///
    /// An answer without a question is taken where it is an error: some resolvers say no more to what
    /// they cannot read.
    pub fn to(sent: &[u8], packet: &'a [u8]) -> Option<Self> {
        let flags = wire::number(packet, 2)?;
        let same_number = packet.get(..2)? == sent.get(..2)?;
        if packet.len() < HEADER || flags & RESPONSE == 0 || !same_number {
            return None;
        }
        let reply = Self { packet, flags };
        let asked = question(sent).map(<[u8]>::to_ascii_lowercase);
        let is_its = match question(packet) {
            Some(answered) => asked.as_deref() == Some(&*answered.to_ascii_lowercase()),
            None => asked.is_none() || (wire::number(packet, 4) == Some(0) && reply.code() != 0),
        };
        is_its.then_some(reply)
    }

    /// The code: 0 is well, 3 is that there is no such name.
    pub fn code(&self) -> u8 {
        self.flags.to_be_bytes()[1] & 0xF
    }

    /// Whether the whole answer is to be had by TCP only.
    pub fn is_truncated(&self) -> bool {
        self.flags & TRUNCATED != 0
    }

    /// The addresses of the name that was asked about, also those of another name that it stands for.
    pub fn addresses(&self) -> Addresses {
        self.read().unwrap_or_default()
    }

    fn read(&self) -> Option<Addresses> {
        let start = HEADER + question(self.packet)?.len();
        let (mut name, _) = wire::name(self.packet, HEADER)?;
        let count = wire::number(self.packet, 6)?.min(MOST_RECORDS);
        let mut ttl = u32::MAX;
        for _ in 0..MOST_ALIASES {
            let mut found = Addresses::default();
            let (mut at, mut alias) = (start, None);
            for _ in 0..count {
                let record = wire::record(self.packet, at)?;
                at = record.end;
                let (owner, _) = wire::name(self.packet, record.start)?;
                if record.class != IN || owner != name {
                    continue;
                }
                if let Some(address) =
                    address(record.kind, self.packet.get(record.data..record.end)?)
                {
                    found.all.push(address);
                    ttl = ttl.min(record.ttl);
                } else if record.kind == CNAME {
                    alias = Some(wire::name(self.packet, record.data)?.0);
                    ttl = ttl.min(record.ttl);
                }
            }
            if !found.all.is_empty() {
                found.all.truncate(MOST_ADDRESSES);
                found.ttl = ttl;
                return Some(found);
            }
            name = alias?;
        }
        None
    }
}

/// The bytes of the one question.
fn question(packet: &[u8]) -> Option<&[u8]> {
    if wire::number(packet, 4) != Some(1) {
        return None;
    }
    let end = wire::after_plain_name(packet, HEADER)?;
    packet.get(HEADER..end + 4)
}

fn address(kind: u16, data: &[u8]) -> Option<IpAddr> {
    match kind {
        A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        AAAA => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
        _ => None,
    }
}

/// A question about the addresses of a name; `None` if no name looks like this.
pub fn ask(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(64);
    // A question, which is to be followed up; one question, one record of our own.
    for number in [id, 0x0100, 1, 0, 0, 1] {
        packet.extend(number.to_be_bytes());
    }
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok()?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=63).contains(&length) || !label.bytes().all(is_plain) {
            return None;
        }
        packet.push(length);
        packet.extend(label.bytes());
    }
    packet.push(0);
    if packet.len() > HEADER + 255 {
        return None;
    }
    packet.extend(kind.to_be_bytes());
    packet.extend(IN.to_be_bytes());
    // 1232 bytes by UDP are welcome.
    packet.push(0);
    for number in [OPT, 1232, 0, 0, 0] {
        packet.extend(number.to_be_bytes());
    }
    Some(packet)
}

#[cfg(test)]
mod tests;
