//! Messages with descriptors between the agent's own processes (`SCM_RIGHTS`).
//!
//! Every socket made here is non-blocking and close-on-exec, as is every descriptor received. A
//! message that does not fit is an error and nothing of it stays open: a lost descriptor is never
//! silent. Each side of a pair may be hostile, so nothing here trusts a length it did not set.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, getsockopt, sendmsg, socketpair,
    sockopt,
};

/// Most descriptors in one message.
pub const MAX_DESCRIPTORS: usize = 64;

/// Bytes of a control message with that many.
const CONTROL_SPACE: usize = space_for(64);
/// The same in units that keep it aligned.
const CONTROL_WORDS: usize = CONTROL_SPACE.div_ceil(size_of::<u64>());

/// Who is at the other end of a Unix socket, as the kernel recorded at connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process id in the caller's pid namespace; 0 if it is not visible there.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// Two joined sockets that keep message boundaries.
///
/// # Errors
/// If no descriptor is left.
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SockType::SeqPacket)
}

/// Two joined stream sockets.
///
/// # Errors
/// If no descriptor is left.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SockType::Stream)
}

fn pair(kind: SockType) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, kind, None, flags)?)
}

/// The process at the other end.
///
/// # Errors
/// If the descriptor is not a Unix socket.
pub fn peer_credentials(socket: &impl AsFd) -> io::Result<PeerCredentials> {
    let found = getsockopt(socket, sockopt::PeerCredentials)?;
    Ok(PeerCredentials {
        pid: found.pid(),
        uid: found.uid(),
        gid: found.gid(),
    })
}

/// Sends bytes and descriptors as one message; on a stream the descriptors go with the first byte
/// and the answer may be less than `bytes.len()`.
///
/// # Errors
/// `InvalidInput` for no bytes (it would read as the end) or too many descriptors, `WouldBlock`
/// if the socket is full; a peer that is gone is `BrokenPipe` (or once `ConnectionReset`,
/// if it left messages unread), never a signal.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if bytes.is_empty() || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "a message needs a byte and takes at most {MAX_DESCRIPTORS} descriptors, not {}",
                descriptors.len()
            ),
        ));
    }
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    let socket = socket.as_fd().as_raw_fd();
    let parts = [IoSlice::new(bytes)];
    Ok(sendmsg::<()>(
        socket,
        &parts,
        control,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?)
}

/// Receives one message (or what a stream has) with its descriptors; zero bytes mean the end.
///
/// # Errors
/// `WouldBlock` if there is nothing; `InvalidData` if the message did not fit `buffer` or had more
/// than [`MAX_DESCRIPTORS`]: then every descriptor of it has been closed.
pub fn recv(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = [0u64; CONTROL_WORDS];
    let (received, flags, descriptors) = receive(socket, buffer, Some(&mut control))?;
    if flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(truncated(flags));
    }
    Ok((received, descriptors))
}

/// Receives one message from a peer that may send no descriptors.
///
/// The kernel drops those it sends all the same; they never take a slot in this process.
///
/// # Errors
/// As [`recv`]; a message with descriptors is `InvalidData`.
pub fn recv_bytes(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (received, flags, _none) = receive(socket, buffer, None)?;
    if flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(truncated(flags));
    }
    Ok(received)
}

fn truncated(flags: libc::c_int) -> io::Error {
    let what = if flags & libc::MSG_CTRUNC != 0 {
        "descriptors"
    } else {
        "bytes"
    };
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a message had more {what} than allowed"),
    )
}

fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    control: Option<&mut [u64; CONTROL_WORDS]>,
) -> io::Result<(usize, libc::c_int, Vec<OwnedFd>)> {
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let mut header = header_for(&mut part, control);
    // SAFETY: `header` points at `part`, `buffer` and `control`, which outlive the call and whose
    // lengths are their own.
    let received = unsafe {
        libc::recvmsg(
            socket.as_fd().as_raw_fd(),
            &raw mut header,
            libc::MSG_CMSG_CLOEXEC,
        )
    };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just filled in `header`; its control part is not touched since.
    let descriptors = unsafe { take_descriptors(&header) };
    Ok((received.cast_unsigned(), header.msg_flags, descriptors))
}

/// Takes ownership of every descriptor of a message, so that dropping the answer closes them.
///
/// # Safety
/// `header` must be as a successful `recvmsg` left it, and this must be called once for it.
unsafe fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut found = Vec::new();
    if header.msg_control.is_null() {
        return found;
    }
    // SAFETY: the CMSG functions stay inside the control part that the kernel filled; each
    // SCM_RIGHTS record holds open descriptors that nobody else owns yet.
    unsafe {
        let mut record = libc::CMSG_FIRSTHDR(header);
        while !record.is_null() {
            if (*record).cmsg_level == libc::SOL_SOCKET && (*record).cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(record).cast::<RawFd>();
                let bytes = (*record)
                    .cmsg_len
                    .saturating_sub(libc::CMSG_LEN(0) as usize);
                for index in 0..bytes / size_of::<RawFd>() {
                    let raw = data.add(index).read_unaligned();
                    found.push(OwnedFd::from_raw_fd(raw));
                }
            }
            record = libc::CMSG_NXTHDR(header, record);
        }
    }
    found
}

fn header_for(part: &mut libc::iovec, control: Option<&mut [u64; CONTROL_WORDS]>) -> libc::msghdr {
    // SAFETY: all-zero is a valid `msghdr`: no address, no parts, no control data.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    if let Some(control) = control {
        // Exactly room for MAX_DESCRIPTORS: one more is cut off by the kernel and reported.
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_SPACE;
    }
    header
}

/// Bytes of a control message with this many descriptors.
const fn space_for(descriptors: u32) -> usize {
    const DESCRIPTOR: u32 = RawFd::BITS / 8;
    // SAFETY: CMSG_SPACE only computes a size.
    unsafe { libc::CMSG_SPACE(descriptors * DESCRIPTOR) as usize }
}

#[cfg(test)]
mod tests;
