//! The listening sockets of pods and of the node's pages. The host role opens and keeps them; the
//! proxy gets duplicates, so a listener and its queue outlive every proxy.
//!
//! A proxy that an attacker owns can stop a listener it was given (no system call filter sees the
//! argument of `connect`): [`silent`] finds those, and they are made anew.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ambit_netsys::NetNs;
use ambit_netsys::sockets;
use ambit_wire::node::ListenerKind;

use super::rules::BACKLOG;
use crate::ports;

/// Where a socket listens, in its own network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Address and port.
    pub(crate) address: SocketAddr,
    /// Whether it takes datagrams (UDP); else connections (TCP).
    pub(crate) datagrams: bool,
}

/// A listening socket that the host role keeps.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Where it listens.
    pub(crate) place: Place,
    /// The socket.
    pub(crate) socket: Arc<OwnedFd>,
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            datagrams: false,
        }
    }
}

impl Place {
    /// Whether it is there for questions about names.
    pub(crate) fn is_for_names(&self) -> bool {
        self.address.port() == ports::DNS
    }
}

impl Listener {
    /// One that another host role has opened; what it takes, the socket tells.
    pub(crate) fn taken_over(address: SocketAddr, socket: OwnedFd) -> Self {
        let datagrams = sockets::is_datagram(&socket).unwrap_or_default();
        Self {
            place: Place { address, datagrams },
            socket: Arc::new(socket),
        }
    }

    /// Whether it is there for questions about names.
    pub(crate) fn is_for_names(&self) -> bool {
        self.place.is_for_names()
    }
}

/// Why listeners could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The namespace could not be entered.
    #[error("cannot enter the network namespace to listen: {0}; the host role needs CAP_SYS_ADMIN")]
    Enter(#[source] io::Error),
    /// A port is taken, or no descriptors are left.
    #[error(
        "{0}; ports 15001, 15006, 15008 and (for names) 15053 of a pod must be free for the mesh"
    )]
    Listen(#[source] io::Error),
}

impl ListenError {
    /// Whether somebody else listens there.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Listen(error) if error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// What a listener of a pod is for, by its port.
pub(crate) fn kind_of(place: Place) -> Option<ListenerKind> {
    match (place.address.port(), place.datagrams) {
        (ports::OUTBOUND, false) => Some(ListenerKind::Outbound),
        (ports::PLAINTEXT, false) => Some(ListenerKind::Plaintext),
        (ports::HBONE, false) => Some(ListenerKind::Hbone),
        (ports::DNS, false) => Some(ListenerKind::DnsStream),
        (ports::DNS, true) => Some(ListenerKind::DnsDatagram),
        _ => None,
    }
}

/// Where a pod's listeners belong. Redirected outbound connections land on loopback, so nobody
/// outside the pod can reach 15001.
pub(crate) fn pod_addresses(ipv6: bool) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = vec![
        (Ipv4Addr::LOCALHOST, ports::OUTBOUND).into(),
        (Ipv4Addr::UNSPECIFIED, ports::PLAINTEXT).into(),
        (Ipv4Addr::UNSPECIFIED, ports::HBONE).into(),
    ];
    if ipv6 {
        addresses.extend::<[SocketAddr; 3]>([
            (Ipv6Addr::LOCALHOST, ports::OUTBOUND).into(),
            (Ipv6Addr::UNSPECIFIED, ports::PLAINTEXT).into(),
            (Ipv6Addr::UNSPECIFIED, ports::HBONE).into(),
        ]);
    }
    addresses
}

/// Where a pod's listeners for questions about names belong: on loopback, where redirected ones land.
pub(crate) fn name_places(ipv6: bool) -> Vec<Place> {
    let both = |ip: IpAddr| {
        [false, true].map(|datagrams| Place {
            address: SocketAddr::new(ip, ports::DNS),
            datagrams,
        })
    };
    let mut places = both(Ipv4Addr::LOCALHOST.into()).to_vec();
    if ipv6 {
        places.extend(both(Ipv6Addr::LOCALHOST.into()));
    }
    places
}

/// Where the node's pages belong: the admin pages on loopback, the others everywhere.
pub(crate) fn page_addresses(ipv6: bool) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = vec![
        (Ipv4Addr::LOCALHOST, ports::ADMIN).into(),
        (Ipv4Addr::UNSPECIFIED, ports::METRICS).into(),
        (Ipv4Addr::UNSPECIFIED, ports::READY).into(),
    ];
    if ipv6 {
        addresses.extend::<[SocketAddr; 2]>([
            (Ipv6Addr::UNSPECIFIED, ports::METRICS).into(),
            (Ipv6Addr::UNSPECIFIED, ports::READY).into(),
        ]);
    }
    addresses
}

/// Opens listeners in a network namespace: all of them or none.
pub(crate) fn open(
    netns: &NetNs,
    places: &[impl Into<Place> + Copy],
) -> Result<Vec<Listener>, ListenError> {
    let places: Vec<Place> = places.iter().copied().map(Into::into).collect();
    let open_one = |place: &Place| match place.datagrams {
        true => sockets::datagram_listener(place.address),
        false => sockets::listener(place.address, i32::from(BACKLOG)),
    };
    let open_all = || {
        let opened = places.iter().map(open_one);
        opened.collect::<io::Result<Vec<_>>>()
    };
    let opened = netns
        .run(open_all)
        .map_err(ListenError::Enter)?
        .map_err(ListenError::Listen)?;
    let pair = |(place, socket): (Place, OwnedFd)| Listener {
        place,
        socket: Arc::new(socket),
    };
    Ok(places.into_iter().zip(opened).map(pair).collect())
}

/// Where listeners no longer listen.
pub(crate) fn silent(listeners: &[Listener]) -> Vec<Place> {
    listeners
        .iter()
        .filter(|listener| !sockets::is_listening(&listener.socket).unwrap_or(false))
        .map(|listener| listener.place)
        .collect()
}

#[cfg(test)]
mod tests;
