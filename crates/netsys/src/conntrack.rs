//! Flows that the kernel follows in the calling thread's network namespace
//! (`linux/netfilter/nfnetlink_conntrack.h`). What was decided for the first packet of a flow, such as that it is
//! redirected, holds for all of it: a socket that stays open keeps what was decided when it began.

use std::io;
use std::os::fd::OwnedFd;

use nix::libc;
use nix::sys::socket::SockProtocol;

use crate::netlink::{
    ACKNOWLEDGE, DUMP, answer, ask, attributes, bytes, dump, errno, message, open,
};

/// `NFNL_SUBSYS_CTNETLINK` with `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
/// `struct nfgenmsg`.
const GENERIC: usize = 4;
/// `CTA_TUPLE_ORIG`, `CTA_ZONE`; in the first `CTA_TUPLE_PROTO`; in that `CTA_PROTO_NUM`, `CTA_PROTO_DST_PORT`.
const ORIGINAL: u16 = 1;
const ZONE: u16 = 18;
const PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;
const TO_PORT: u16 = 3;

/// A flow: its family, and the attribute that names it.
type Flow = (u8, Vec<u8>);

/// Forgets the flows of UDP to a port, but for those in zones of their own: the next packet of each is the first
/// one again. Says how many there were.
///
/// # Errors
/// If the kernel cannot be asked, or does not let us.
pub fn forget_udp(port: u16) -> io::Result<usize> {
    let kernel = open(SockProtocol::NetlinkNetFilter)?;
    let mut found = Vec::new();
    dump(&kernel, &message(GET, DUMP, &[0; GENERIC]), |body| {
        found.extend(flow_to(body, port));
        Ok(())
    })?;
    let mut count = 0;
    for flow in &found {
        count += usize::from(forget(&kernel, flow)?);
    }
    Ok(count)
}

/// The flow that a message is about, if it is one of UDP to the port.
fn flow_to(body: &[u8], port: u16) -> Option<Flow> {
    let [family] = bytes(body, 0).ok()?;
    let all = || attributes(body.get(GENERIC..).unwrap_or_default());
    let (_, original, whole) = all().find(|(kind, ..)| *kind == ORIGINAL)?;
    let (_, protocol, _) = attributes(original).find(|(kind, ..)| *kind == PROTOCOL)?;
    let of_protocol = |wanted| attributes(protocol).find(|(kind, ..)| *kind == wanted);
    let [number] = bytes(of_protocol(NUMBER)?.1, 0).ok()?;
    let to = u16::from_be_bytes(bytes(of_protocol(TO_PORT)?.1, 0).ok()?);
    let is_it = i32::from(number) == libc::IPPROTO_UDP && to == port;
    let is_apart = all().any(|(kind, ..)| kind == ZONE);
    (is_it && !is_apart).then(|| (family, whole.to_vec()))
}

/// Forgets one flow; false if it has ended already.
fn forget(kernel: &OwnedFd, (family, name): &Flow) -> io::Result<bool> {
    let mut body = vec![*family, 0, 0, 0];
    body.extend(name);
    ask(kernel, &message(DELETE, ACKNOWLEDGE, &body))?;
    match errno(answer(kernel, &mut [0; 1024])?)? {
        0 => Ok(true),
        libc::ENOENT => Ok(false),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests;
