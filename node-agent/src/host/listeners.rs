//! The listening sockets of pods and of the node's pages. The host role opens and keeps them; the
//! proxy gets duplicates, so a listener and its queue outlive every proxy.
//!
//! A proxy that an attacker owns can stop a listener it was given (no system call filter sees the
//! argument of `connect`): [`silent`] finds those, and they are made anew.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ambit_netsys::NetNs;
use ambit_netsys::sockets;
use ambit_wire::node::ListenerKind;

use super::rules::BACKLOG;
use crate::ports;

/// A listening socket that the host role keeps.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Where it listens, in its own network namespace.
    pub(crate) address: SocketAddr,
    /// The socket.
    pub(crate) socket: Arc<OwnedFd>,
}

/// Why listeners could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The namespace could not be entered.
    #[error("cannot enter the network namespace to listen: {0}; the host role needs CAP_SYS_ADMIN")]
    Enter(#[source] io::Error),
    /// A port is taken, or no descriptors are left.
    #[error("{0}; ports 15001, 15006 and 15008 of a pod must be free for the mesh")]
    Listen(#[source] io::Error),
}

impl ListenError {
    /// Whether somebody else listens there.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Listen(error) if error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// What a listener of a pod is for, by its port.
pub(crate) fn kind_of(address: SocketAddr) -> Option<ListenerKind> {
    match address.port() {
        ports::OUTBOUND => Some(ListenerKind::Outbound),
        ports::PLAINTEXT => Some(ListenerKind::Plaintext),
        ports::HBONE => Some(ListenerKind::Hbone),
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
pub(crate) fn open(netns: &NetNs, addresses: &[SocketAddr]) -> Result<Vec<Listener>, ListenError> {
    let open_all = || {
        addresses
            .iter()
            .map(|address| sockets::listener(*address, i32::from(BACKLOG)))
            .collect::<io::Result<Vec<_>>>()
    };
    let opened = netns
        .run(open_all)
        .map_err(ListenError::Enter)?
        .map_err(ListenError::Listen)?;
    let pair = |(address, socket): (&SocketAddr, OwnedFd)| Listener {
        address: *address,
        socket: Arc::new(socket),
    };
    Ok(addresses.iter().zip(opened).map(pair).collect())
}

/// Addresses of the listeners that no longer listen.
pub(crate) fn silent(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners
        .iter()
        .filter(|listener| !sockets::is_listening(&listener.socket).unwrap_or(false))
        .map(|listener| listener.address)
        .collect()
}

#[cfg(test)]
mod tests;
