//! All established TCP connections of the calling thread's network namespace, and the end of a
//! single one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;

use super::{BY_FAMILY, ID, open, request};
use crate::netlink::{ACKNOWLEDGE, DUMP, answer, ask, attributes, bytes, dump, errno, short};

/// `SOCK_DESTROY` of `linux/sock_diag.h`.
const DESTROY: u16 = 21;
/// `TCP_ESTABLISHED`, as a bit.
const ESTABLISHED: u32 = 1 << 1;
/// `struct inet_diag_msg`; `struct inet_diag_sockid` in it.
const MESSAGE: usize = 72;
const ID_AT: usize = 4;
/// `INET_DIAG_MARK` of `linux/inet_diag.h`.
const MARK: u16 = 15;

/// One end of an established connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its address here.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Its mark; zero if it has none.
    pub mark: u32,
    family: u8,
    /// As the kernel knows it: with a number that no other socket has.
    id: Vec<u8>,
}

/// Every established TCP connection here; an address of IPv4 is one, whatever the socket's family.
///
/// # Errors
/// If the kernel cannot be asked, or answers what cannot be read.
pub fn connections() -> io::Result<Vec<Connection>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let kernel = open()?;
        let question = request(BY_FAMILY, DUMP, family, ESTABLISHED, &[0; ID]);
        dump(&kernel, &question, |message| {
            found.push(connection(message)?);
            Ok(())
        })?;
    }
    Ok(found)
}

/// Ends a connection at once: its process sees `ECONNABORTED`, its peer a reset. False if it has
/// ended already.
///
/// # Errors
/// `EOPNOTSUPP` if the kernel cannot do that (`CONFIG_INET_DIAG_DESTROY`), or if it does not let us.
pub fn destroy(connection: &Connection) -> io::Result<bool> {
    let kernel = open()?;
    let (family, id) = (i32::from(connection.family), &connection.id);
    let question = request(DESTROY, ACKNOWLEDGE, family, u32::MAX, id);
    ask(&kernel, &question)?;
    match errno(answer(&kernel, &mut [0; 1024])?)? {
        0 => Ok(true),
        libc::ENOENT => Ok(false),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// `struct inet_diag_msg` and what follows it.
pub(super) fn connection(message: &[u8]) -> io::Result<Connection> {
    let [family] = bytes(message, 0)?;
    let id = message.get(ID_AT..ID_AT + ID).ok_or_else(short)?;
    let address = |at: usize| -> io::Result<IpAddr> {
        Ok(if i32::from(family) == libc::AF_INET {
            IpAddr::V4(Ipv4Addr::from(bytes::<4>(id, at)?))
        } else {
            IpAddr::V6(Ipv6Addr::from(bytes::<16>(id, at)?)).to_canonical()
        })
    };
    let port = |at: usize| Ok::<_, io::Error>(u16::from_be_bytes(bytes(id, at)?));
    Ok(Connection {
        local: SocketAddr::new(address(4)?, port(0)?),
        remote: SocketAddr::new(address(20)?, port(2)?),
        mark: mark(message.get(MESSAGE..).unwrap_or_default())?,
        family,
        id: id.to_vec(),
    })
}

/// The mark among the attributes; the kernel tells it to the privileged only.
fn mark(from: &[u8]) -> io::Result<u32> {
    let mark = attributes(from).find(|(kind, ..)| *kind == MARK);
    mark.map_or(Ok(0), |(_, mark, _)| {
        Ok(u32::from_ne_bytes(bytes(mark, 0)?))
    })
}

#[cfg(test)]
mod tests;
