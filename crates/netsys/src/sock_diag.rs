//! Asks the kernel for one TCP socket of the calling thread's network namespace (sock_diag(7),
//! `SOCK_DIAG_BY_FAMILY` for exactly one connection): who on this node owns a flow.
//!
//! One look-up in the kernel's table, whatever the number of connections.

pub mod table;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` of `linux/netlink.h`.
const REQUEST: u16 = 1;
/// `NLMSG_ERROR` of `linux/netlink.h`.
const ERROR: u16 = 2;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const QUESTION: usize = 56;
/// `idiag_uid` and `idiag_inode` in `struct inet_diag_msg`.
const UID_AT: usize = 64;
const INODE_AT: usize = 68;
/// How long the kernel may take; it answers within the call.
const PATIENCE: Duration = Duration::from_secs(1);

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
    sendto(
        kernel.as_raw_fd(),
        &question,
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )?;
    let mut answer = [0; 1024];
    let length = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    read(answer.get(..length).unwrap_or_default())
}

fn open() -> io::Result<OwnedFd> {
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let patience = TimeVal::new(i64::try_from(PATIENCE.as_secs()).unwrap_or(1), 0);
    setsockopt(&kernel, sockopt::ReceiveTimeout, &patience)?;
    Ok(kernel)
}

/// The request: a header, then `struct inet_diag_req_v2`; addresses and ports in network order.
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
    let length = HEADER + QUESTION;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or_default().to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Sequence number and sender: one question, one answer.
    bytes.extend([0; 8]);
    bytes.push(u8::try_from(family).unwrap_or_default());
    bytes.push(u8::try_from(libc::IPPROTO_TCP).unwrap_or_default());
    // No extensions, any state.
    bytes.extend([0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    bytes.extend(from);
    bytes.extend(to);
    // Any interface, any cookie.
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    Ok(bytes)
}

fn read(answer: &[u8]) -> io::Result<Option<Found>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a short answer of the kernel");
    let bytes = |at: usize| -> io::Result<[u8; 4]> {
        let bytes = answer.get(at..at + 4).ok_or_else(short)?;
        bytes.try_into().map_err(|_length| short())
    };
    let [low, high, ..] = bytes(4)?;
    if u16::from_ne_bytes([low, high]) == ERROR {
        let error = i32::from_ne_bytes(bytes(HEADER)?).saturating_neg();
        return match io::Error::from_raw_os_error(error) {
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            error => Err(error),
        };
    }
    Ok(Some(Found {
        inode: u32::from_ne_bytes(bytes(HEADER + INODE_AT)?),
        uid: u32::from_ne_bytes(bytes(HEADER + UID_AT)?),
    }))
}

#[cfg(test)]
mod tests;
