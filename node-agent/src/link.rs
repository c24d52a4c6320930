//! The link between the host role and one generation of the proxy role: a SOCK_SEQPACKET pair.
//!
//! Host to proxy: one `HostToProxy` per packet, of at most [`MAX_PACKET`] bytes, with descriptors.
//! Proxy to host: one [`ToHost`] record per packet, of exactly [`RECORD`] bytes and never with
//! descriptors. The proxy reads bytes from workloads and may be an attacker's: its records have a
//! fixed size, one meaning per byte and name a pod by uid only, and whatever else arrives is a
//! [`LinkError::Malformed`] that the host role counts and may end the generation for.
//!
//! Every packet is sent or received by one system call, so a future dropped at an await has either
//! moved the whole packet or none of it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use ambit_netsys::passing;
use ambit_wire::node::HostToProxy;
use prost::Message;
use tokio::io::Interest;
use tokio::net::UnixDatagram;

mod record;

pub use record::{MalformedRecord, PodUid, PodUidError, RECORD, ToHost};

/// Largest packet from the host role to a proxy.
pub const MAX_PACKET: usize = 4096;

/// Why a packet did not get through.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The system call failed; the link is gone.
    #[error("the link between host and proxy role failed: {0}")]
    Io(#[from] io::Error),
    /// A message for the proxy does not fit one packet: nothing was sent.
    #[error("a message to the proxy has {0} bytes, more than {MAX_PACKET}")]
    TooLong(usize),
    /// A packet that is not what the other role sends; the link still works.
    #[error("the other role sent a malformed packet: {0}")]
    Malformed(String),
}

impl LinkError {
    /// True if the other process is gone, as against a packet that is wrong.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Io(_))
    }
}

/// The host role's end of a link.
#[derive(Debug)]
pub struct HostEnd {
    /// Only waits: the runtime has no type for sequenced packets, and this one is nearest.
    socket: UnixDatagram,
}

/// The proxy role's end of a link.
#[derive(Debug)]
pub struct ProxyEnd {
    /// Only waits, as above.
    socket: UnixDatagram,
}

/// Makes a link: the host role's end, and the socket that a new proxy inherits.
///
/// # Errors
/// If no descriptor is left. Must be called inside a runtime.
pub fn pair() -> io::Result<(HostEnd, OwnedFd)> {
    let (host, proxy) = passing::seqpacket_pair()?;
    Ok((HostEnd::new(host)?, proxy))
}

impl HostEnd {
    /// Takes the host's socket of a pair; must be called inside a runtime.
    ///
    /// # Errors
    /// If the socket cannot be watched.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            socket: UnixDatagram::from_std(socket.into())?,
        })
    }

    /// Sends one message with its descriptors; waits while the proxy does not read.
    ///
    /// The proxy may choose never to read: callers put a time limit on it.
    ///
    /// # Errors
    /// [`LinkError::TooLong`] if it does not fit, [`LinkError::Io`] if the proxy is gone.
    pub async fn send(
        &self,
        message: &HostToProxy,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), LinkError> {
        let bytes = packet(message)?;
        let send = || passing::send(&self.socket, &bytes, descriptors);
        self.socket.async_io(Interest::WRITABLE, send).await?;
        Ok(())
    }

    /// Waits for the next record; `None` once the proxy has closed its end.
    ///
    /// # Errors
    /// [`LinkError::Malformed`] for anything but a record; [`LinkError::Io`] if the link failed.
    pub async fn recv(&self) -> Result<Option<ToHost>, LinkError> {
        // One byte more than a record, so that a longer packet is seen to be one.
        let mut buffer = [0; RECORD + 1];
        let receive = || passing::recv_bytes(&self.socket, &mut buffer);
        let count = match self.socket.async_io(Interest::READABLE, receive).await {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            Err(error) => return received(error),
        };
        let record = buffer.get(..count).unwrap_or_default();
        let record = ToHost::decode(record).map_err(|error| malformed(&error))?;
        Ok(Some(record))
    }
}

impl ProxyEnd {
    /// Takes the proxy's socket of a pair; must be called inside a runtime.
    ///
    /// # Errors
    /// If the socket cannot be watched.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            socket: UnixDatagram::from_std(socket.into())?,
        })
    }

    /// Sends one record; waits while the host role does not read.
    ///
    /// # Errors
    /// [`LinkError::Io`] if the host role is gone: the proxy then ends.
    pub async fn send(&self, record: &ToHost) -> Result<(), LinkError> {
        let bytes = record.encode();
        let send = || passing::send(&self.socket, &bytes, &[]);
        self.socket.async_io(Interest::WRITABLE, send).await?;
        Ok(())
    }

    /// Waits for the next message with its descriptors; `None` once the host role is gone.
    ///
    /// # Errors
    /// [`LinkError::Malformed`] for a packet that is no message, with its descriptors closed;
    /// [`LinkError::Io`] if the link failed.
    pub async fn recv(&self) -> Result<Option<(HostToProxy, Vec<OwnedFd>)>, LinkError> {
        let mut buffer = vec![0; MAX_PACKET];
        let receive = || passing::recv(&self.socket, &mut buffer);
        let (count, descriptors) = match self.socket.async_io(Interest::READABLE, receive).await {
            Ok((0, _)) => return Ok(None),
            Ok(message) => message,
            Err(error) => return received(error),
        };
        let message = HostToProxy::decode(buffer.get(..count).unwrap_or_default())
            .map_err(|error| malformed(&error))?;
        Ok(Some((message, descriptors)))
    }
}

fn packet(message: &HostToProxy) -> Result<Vec<u8>, LinkError> {
    match message.encoded_len() {
        // No byte at all would read as the end of the link.
        0 => Err(LinkError::Malformed("an empty message".to_owned())),
        length if length > MAX_PACKET => Err(LinkError::TooLong(length)),
        _ => Ok(message.encode_to_vec()),
    }
}

fn malformed(error: &impl std::fmt::Display) -> LinkError {
    LinkError::Malformed(error.to_string())
}

/// What a failed receive means: a cut packet is malformed, a peer that went is the end.
fn received<T>(error: io::Error) -> Result<Option<T>, LinkError> {
    match error.kind() {
        io::ErrorKind::InvalidData => Err(malformed(&error)),
        io::ErrorKind::ConnectionReset => Ok(None),
        _ => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
