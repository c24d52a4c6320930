//! What goes to the kernel and comes back over netlink, and the little of it that is read.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

/// `NLM_F_REQUEST` of `linux/netlink.h`.
const REQUEST: u16 = 1;
/// `NLMSG_ERROR` of `linux/netlink.h`.
pub(super) const ERROR: u16 = 2;
/// `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// `NLM_F_DUMP` and `NLM_F_ACK` of `linux/netlink.h`.
pub(super) const DUMP: u16 = 0x300;
pub(super) const ACKNOWLEDGE: u16 = 4;
/// `NLMSG_DONE` of `linux/netlink.h`.
pub(super) const DONE: u16 = 3;
/// Longest message of the kernel in a dump.
const CHUNK: usize = 64 << 10;
/// `struct nlattr`, and the part of its type without flags.
const ATTRIBUTE: usize = 4;
const ATTRIBUTE_TYPE: u16 = 0x3fff;
/// How long the kernel may take; it answers within the call.
const PATIENCE: Duration = Duration::from_secs(1);

/// A way to a part of the kernel.
pub(super) fn open(part: SockProtocol) -> io::Result<OwnedFd> {
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        part,
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

/// A header, then this.
pub(super) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = HEADER + body.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or_default().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((REQUEST | flags).to_ne_bytes());
    // Sequence number and sender: one question at a time.
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// Asks for all there is, and hands over the body of each message.
pub(super) fn dump(
    kernel: &OwnedFd,
    question: &[u8],
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    ask(kernel, question)?;
    let mut chunk = vec![0; CHUNK];
    while !bodies(answer(kernel, &mut chunk)?, &mut take)? {}
    Ok(())
}

/// Hands over the bodies in one answer; true if it is the last one.
pub(super) fn bodies(
    mut answer: &[u8],
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<bool> {
    while !answer.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(bytes(answer, 0)?)).unwrap_or(usize::MAX);
        let message = answer
            .get(..length)
            .filter(|_| length >= HEADER)
            .ok_or_else(short)?;
        match kind(message)? {
            DONE => return Ok(true),
            ERROR => return Err(io::Error::from_raw_os_error(errno(message)?)),
            _ => take(message.get(HEADER..).unwrap_or_default())?,
        }
        answer = answer.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// Attributes: the type of each, what is in it, and all of it.
pub(super) fn attributes(mut from: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes(from, 0).ok()?));
        let kind = u16::from_ne_bytes(bytes(from, 2).ok()?) & ATTRIBUTE_TYPE;
        let whole = from.get(..length)?;
        let inner = whole.get(ATTRIBUTE..)?;
        from = from.get(aligned(length)..).unwrap_or_default();
        Some((kind, inner, whole))
    })
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

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}
