//! The stream to the host role: which pods there are, which proxies to feed, what was withdrawn,
//! and the roster of this node.
//!
//! The end of the stream is the end of this role: a new host role starts a control role of its own.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use ambit_netsys::passing;
use ambit_wire::node::host_to_control::Kind;
use ambit_wire::node::{ControlToHost, HostToControl, Pod, control_to_host};
use prost::Message;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Longest message of the host role: a pod with its addresses.
const LONGEST: usize = 64 << 10;
/// What is read at once.
const CHUNK: usize = 16 << 10;

/// What the host role tells.
#[derive(Debug)]
pub(crate) enum FromHost {
    /// A pod will be captured soon.
    Prepare(Pod),
    /// A pod is captured.
    Captured(Pod),
    /// A pod, by its uid, is about to be released.
    Withdraw(String),
    /// A pod, by its uid, cannot be captured, and why; it can be again if there is no why.
    Failed(String, String),
    /// How many connections of a pod, by its uid, are older than its capture.
    Older(String, u32),
    /// The mesh has left this node.
    Left,
    /// A proxy generation, with the socket of its feed.
    Proxy(u64, OwnedFd),
}

/// Reads until the host role closes the stream.
pub(crate) async fn read(stream: &UnixStream, events: &mpsc::Sender<FromHost>) -> io::Result<()> {
    let mut incoming = Incoming::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let receive = || passing::recv(stream, &mut chunk);
        let (count, descriptors) = stream.async_io(Interest::READABLE, receive).await?;
        if count == 0 {
            return Ok(());
        }
        incoming.descriptors.extend(descriptors);
        incoming
            .bytes
            .extend_from_slice(chunk.get(..count).unwrap_or_default());
        while let Some(message) = incoming.next()? {
            if events.send(message).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Tells the host role what there is to tell, until nobody has more.
pub(crate) async fn write(
    stream: &UnixStream,
    told: &mut mpsc::Receiver<control_to_host::Kind>,
) -> io::Result<()> {
    while let Some(kind) = told.recv().await {
        let frame = ControlToHost { kind: Some(kind) }.encode_length_delimited_to_vec();
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let send = || passing::send(stream, rest, &[]);
            let sent = stream.async_io(Interest::WRITABLE, send).await?;
            rest = rest.get(sent..).unwrap_or_default();
        }
    }
    Ok(())
}

/// What was received and not yet understood.
#[derive(Debug, Default)]
struct Incoming {
    bytes: Vec<u8>,
    /// Each came with the first byte of its message, so they stand in the order of those.
    descriptors: VecDeque<OwnedFd>,
}

impl Incoming {
    /// The next whole message; kinds of a later version are skipped.
    fn next(&mut self) -> io::Result<Option<FromHost>> {
        loop {
            let mut rest = self.bytes.as_slice();
            let Ok(length) = prost::decode_length_delimiter(&mut rest) else {
                // A length of up to 64 KiB takes three bytes.
                return if self.bytes.len() < 3 {
                    Ok(None)
                } else {
                    Err(malformed("no length"))
                };
            };
            if length > LONGEST {
                return Err(malformed("a message over 64 KiB"));
            }
            let Some(body) = rest.get(..length) else {
                return Ok(None);
            };
            let message = HostToControl::decode(body).map_err(io::Error::other)?;
            let read = self.bytes.len() - rest.len() + length;
            self.bytes.drain(..read);
            let message = match message.kind {
                Some(Kind::Prepare(pod)) => FromHost::Prepare(pod),
                Some(Kind::Captured(pod)) => FromHost::Captured(pod),
                Some(Kind::Withdraw(uid)) => FromHost::Withdraw(uid),
                Some(Kind::Older(older)) => FromHost::Older(older.uid, older.count),
                Some(Kind::Left(_)) => FromHost::Left,
                Some(Kind::Failed(failed)) => FromHost::Failed(failed.uid, failed.message),
                Some(Kind::Proxy(proxy)) => {
                    let socket = self.descriptors.pop_front();
                    let socket = socket.ok_or_else(|| malformed("a proxy without its feed"))?;
                    FromHost::Proxy(proxy.generation, socket)
                }
                None => continue,
            };
            return Ok(Some(message));
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the host role sent {what}"),
    )
}

#[cfg(test)]
mod tests;
