//! Which questions the mesh answers itself, and what it says.
//!
//! Addresses (A and AAAA) of a name that is a service's to this client, and that has an address of its
//! own: what the client then connects to is what the mesh knows the service by. Of the family that the
//! service does not have the answer is empty, and no error: there is such a name. So it is to questions
//! of how to connect (SVCB and HTTPS), whose answers could lead elsewhere. All other questions are the
//! resolver's; so are those about a service that has no address which this client can use.

use std::net::IpAddr;

use ambit_model::{Mesh, Service};

use crate::question::Query;
use crate::{A, AAAA, HTTPS, IN, SVCB};

/// Seconds that an answer of the mesh holds.
pub const TTL: u32 = 30;
/// Most addresses of one answer; no service of sense has as many.
const MOST: usize = 64;
/// Where the name of the question stands: records of the answer refer to it.
const ITS_NAME: u16 = 0xC00C;

/// How the client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// By UDP: an answer may be too long.
    Udp,
    /// By TCP.
    Tcp,
}

/// The families of addresses that a client has; neither if that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    /// Those of a client with these addresses.
    pub fn of(addresses: &[IpAddr]) -> Self {
        let has = |v4| {
            let mut addresses = addresses.iter();
            addresses.any(|address| address.to_canonical().is_ipv4() == v4)
        };
        Self {
            v4: has(true),
            v6: has(false),
        }
    }

    /// Whether such a client may be able to use an address.
    fn fits(self, address: IpAddr) -> bool {
        let has = if address.is_ipv4() { self.v4 } else { self.v6 };
        has || self == Self::default()
    }
}

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The mesh answers.
    Here {
        /// The packet.
        packet: Vec<u8>,
        /// The addresses that it gives.
        addresses: Vec<IpAddr>,
    },
    /// A resolver is to be asked.
    Forward,
}

/// Answers the question of a client in this namespace with these families, if it is the mesh's to answer.
pub fn answer(
    mesh: &Mesh,
    (client, families): (&str, Families),
    query: &Query<'_>,
    transport: Transport,
) -> Answer {
    let (Some(name), Some(kind @ (A | AAAA | SVCB | HTTPS))) = (query.name(), query.kind()) else {
        return Answer::Forward;
    };
    let Some(service) = mesh.service_named(client, name) else {
        return Answer::Forward;
    };
    let mut addresses = own_addresses(service);
    if !addresses.iter().any(|address| families.fits(*address)) {
        return Answer::Forward;
    }
    addresses.retain(|address| match kind {
        A => address.is_ipv4(),
        AAAA => address.is_ipv6(),
        _ => false,
    });
    addresses.truncate(MOST);
    let packet = packet(query, &addresses, transport);
    Answer::Here { packet, addresses }
}

/// The service's own single addresses: of a block none is more the service than the others.
fn own_addresses(service: &Service) -> Vec<IpAddr> {
    let mut addresses = Vec::with_capacity(service.vips.len());
    for (vip, length) in &service.vips {
        let address = vip.address.to_canonical();
        let whole = if vip.address.is_ipv4() { 32 } else { 128 };
        if *length >= whole && !address.is_unspecified() && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn packet(query: &Query<'_>, addresses: &[IpAddr], transport: Transport) -> Vec<u8> {
    let tail = query.tail();
    let room = match transport {
        Transport::Udp => query.room(),
        Transport::Tcp => usize::from(u16::MAX),
    };
    let records: Vec<Vec<u8>> = addresses.iter().map(|address| record(*address)).collect();
    let mut left = room.saturating_sub(query.head(0, false).len() + tail.len());
    let fitting = records.iter().take_while(|record| {
        let fits = record.len() <= left;
        left = left.saturating_sub(record.len());
        fits
    });
    let fitting = fitting.count();
    let count = u16::try_from(fitting).unwrap_or_default();
    let mut packet = query.head(count, fitting < records.len());
    packet.extend(records.into_iter().take(fitting).flatten());
    packet.extend(tail);
    packet
}

fn record(address: IpAddr) -> Vec<u8> {
    let (kind, octets) = match address {
        IpAddr::V4(v4) => (A, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
    };
    let mut record = Vec::with_capacity(28);
    for number in [ITS_NAME, kind, IN] {
        record.extend(number.to_be_bytes());
    }
    record.extend(TTL.to_be_bytes());
    let length = u16::try_from(octets.len()).unwrap_or_default();
    record.extend(length.to_be_bytes());
    record.extend(octets);
    record
}

#[cfg(test)]
mod tests;
