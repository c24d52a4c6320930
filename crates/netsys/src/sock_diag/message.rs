//! What goes to the kernel and comes back over netlink, and the little of it that is read.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
pub(super) const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` of `linux/netlink.h`.
const REQUEST: u16 = 1;
/// `NLMSG_ERROR` of `linux/netlink.h`.
pub(super) const ERROR: u16 = 2;
/// `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// `struct inet_diag_sockid`.
pub(super) const ID: usize = 48;
/// `struct inet_diag_req_v2`.
const QUESTION: usize = 56;
/// How long the kernel may take; it answers within the call.
const PATIENCE: Duration = Duration::from_secs(1);

/// A way to the kernel.
pub(super) fn open() -> io::Result<OwnedFd> {
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

/// Sends a request.
pub(super) fn ask(kernel: &OwnedFd, question: &[u8]) -> io::Result<()> {
    let flags = MsgFlags::empty();
    sendto(kernel.as_raw_fd(), question, &NetlinkAddr::new(0, 0), flags)?;
    Ok(())
}

/// What has come back, as far as there is room for it.
pub(super) fn answer<'a>(kernel: &OwnedFd, room: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let length = recv(kernel.as_raw_fd(), room, MsgFlags::empty())?;
    Ok(room.get(..length).unwrap_or_default())
}

/// A header, then `struct inet_diag_req_v2`.
pub(super) fn request(kind: u16, flags: u16, family: i32, states: u32, id: &[u8]) -> Vec<u8> {
    let length = HEADER + QUESTION;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or_default().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((REQUEST | flags).to_ne_bytes());
    // Sequence number and sender: one question at a time.
    bytes.extend([0; 8]);
    bytes.push(u8::try_from(family).unwrap_or_default());
    bytes.push(u8::try_from(libc::IPPROTO_TCP).unwrap_or_default());
    // No extensions.
    bytes.extend([0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend(id);
    bytes
}

/// The kind of a message.
pub(super) fn kind(message: &[u8]) -> io::Result<u16> {
    Ok(u16::from_ne_bytes(bytes(message, 4)?))
}

/// The error number of an `NLMSG_ERROR`; zero is none.
pub(super) fn errno(message: &[u8]) -> io::Result<i32> {
    Ok(i32::from_ne_bytes(bytes(message, HEADER)?).saturating_neg())
}

/// So many bytes from there on.
pub(super) fn bytes<const N: usize>(from: &[u8], at: usize) -> io::Result<[u8; N]> {
    let bytes = from.get(at..at.saturating_add(N)).ok_or_else(short)?;
    bytes.try_into().map_err(|_length| short())
}

/// The error of an answer that ends too early.
pub(super) fn short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a short answer of the kernel")
}
