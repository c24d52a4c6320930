//! Asks the kernel for one TCP socket of the calling thread's network namespace (sock_diag(7),
//! `SOCK_DIAG_BY_FAMILY` for exactly one connection): who on this node owns a flow.
//!
//! One look-up in the kernel's table, whatever the number of connections. Where there is no such
//! connection the kernel answers with whoever listens on its port: that is not taken for it.

pub mod table;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::libc;
use nix::sys::socket::SockProtocol;

use crate::netlink::{self, ERROR, HEADER};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `struct inet_diag_sockid`.
const ID: usize = 48;

/// `idiag_uid` and `idiag_inode` in `struct inet_diag_msg`.
const UID_AT: usize = 64;
const INODE_AT: usize = 68;

/// A socket as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Number of the socket, as in `/proc/PID/fd`: `socket:[INODE]`. Zero if no process has it.
    pub inode: u32,
    /// User that made it.
    pub uid: u32,
}

/// The TCP socket of the connection from `local` to `remote`, if one is open here.
///
/// # Errors
/// If the kernel cannot be asked, or the addresses are of two families.
pub fn tcp_socket(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Found>> {
    let question = question(local, remote)?;
    let kernel = open()?;
    netlink::ask(&kernel, &question)?;
    let ends = [local, remote].map(plain);
    read(netlink::answer(&kernel, &mut [0; 1024])?, ends)
}

/// Without what is no part of a connection's name.
fn plain(end: SocketAddr) -> (IpAddr, u16) {
    (end.ip().to_canonical(), end.port())
}

/// Asks for a socket in any state.
fn question(local: SocketAddr, remote: SocketAddr) -> io::Result<Vec<u8>> {
    let (family, from, to) = match (local.ip(), remote.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let pad = |octets: [u8; 4]| [octets.as_slice(), &[0; 12]].concat();
            (libc::AF_INET, pad(from.octets()), pad(to.octets()))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (from, to) = (from.octets().to_vec(), to.octets().to_vec());
            (libc::AF_INET6, from, to)
        }
        _ => {
            let what = format!("{local} and {remote} are of two address families");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
    };
    // Addresses and ports in network order.
    let mut id = Vec::with_capacity(ID);
    id.extend(local.port().to_be_bytes());
    id.extend(remote.port().to_be_bytes());
    id.extend(from);
    id.extend(to);
    // Any interface, any cookie.
    id.extend([0; 4]);
    id.extend([0xff; 8]);
    Ok(request(BY_FAMILY, 0, family, u32::MAX, &id))
}

/// The socket in an answer, if it is the one between these ends.
fn read(answer: &[u8], ends: [(IpAddr, u16); 2]) -> io::Result<Option<Found>> {
    if netlink::kind(answer)? == ERROR {
        return match netlink::errno(answer)? {
            libc::ENOENT => Ok(None),
            error => Err(io::Error::from_raw_os_error(error)),
        };
    }
    let number = |at| Ok::<_, io::Error>(u32::from_ne_bytes(netlink::bytes(answer, HEADER + at)?));
    let found = Found {
        inode: number(INODE_AT)?,
        uid: number(UID_AT)?,
    };
    let told = table::connection(answer.get(HEADER..).unwrap_or_default())?;
    Ok(([told.local, told.remote].map(plain) == ends).then_some(found))
}

fn open() -> io::Result<OwnedFd> {
    netlink::open(SockProtocol::NetlinkSockDiag)
}

/// `struct inet_diag_req_v2` with its header.
fn request(kind: u16, flags: u16, family: i32, states: u32, id: &[u8]) -> Vec<u8> {
    let mut body = vec![
        u8::try_from(family).unwrap_or_default(),
        u8::try_from(libc::IPPROTO_TCP).unwrap_or_default(),
        // No extensions.
        0,
        0,
    ];
    body.extend(states.to_ne_bytes());
    body.extend(id);
    netlink::message(kind, flags, &body)
}

#[cfg(test)]
mod tests;
