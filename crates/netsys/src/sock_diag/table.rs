//! All established TCP connections of the calling thread's network namespace, and the end of a
//! single one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;

use super::message::{
    BY_FAMILY, ERROR, HEADER, ID, answer, ask, bytes, errno, kind, open, request, short,
};

/// `SOCK_DESTROY` of `linux/sock_diag.h`.
const DESTROY: u16 = 21;
/// `NLM_F_DUMP` and `NLM_F_ACK` of `linux/netlink.h`.
const DUMP: u16 = 0x300;
const ACKNOWLEDGE: u16 = 4;
/// `NLMSG_DONE` of `linux/netlink.h`.
const DONE: u16 = 3;
/// `TCP_ESTABLISHED`, as a bit.
const ESTABLISHED: u32 = 1 << 1;
/// `struct inet_diag_msg`; `struct inet_diag_sockid` in it.
const MESSAGE: usize = 72;
const ID_AT: usize = 4;
/// `INET_DIAG_MARK` of `linux/inet_diag.h`.
const MARK: u16 = 15;
/// Longest message of the kernel in a dump.
const CHUNK: usize = 64 << 10;

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
        ask(&kernel, &question)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            if take(answer(&kernel, &mut chunk)?, &mut found)? {
                break;
            }
        }
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

/// Reads the messages of one answer; true if it is the last one.
fn take(mut answer: &[u8], found: &mut Vec<Connection>) -> io::Result<bool> {
    while !answer.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(bytes(answer, 0)?)).unwrap_or(usize::MAX);
        let message = answer
            .get(..length)
            .filter(|_| length >= HEADER)
            .ok_or_else(short)?;
        match kind(message)? {
            DONE => return Ok(true),
            ERROR => return Err(io::Error::from_raw_os_error(errno(message)?)),
            _ => found.push(connection(message.get(HEADER..).unwrap_or_default())?),
        }
        answer = answer.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
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
fn mark(mut attributes: &[u8]) -> io::Result<u32> {
    while attributes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes(bytes(attributes, 0)?));
        if u16::from_ne_bytes(bytes(attributes, 2)?) == MARK {
            return Ok(u32::from_ne_bytes(bytes(attributes, 4)?));
        }
        attributes = attributes.get(aligned(length.max(4))..).unwrap_or_default();
    }
    Ok(0)
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
mod tests;
