//! Descriptors that came over the link, as what they are.

use std::net;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use anyhow::Context as _;
use tokio::net::{TcpListener, UdpSocket, UnixStream};

/// A listener.
pub(crate) fn listener(descriptor: OwnedFd) -> anyhow::Result<TcpListener> {
    let listener = net::TcpListener::from(descriptor);
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// A socket that takes datagrams.
pub(crate) fn datagrams(descriptor: OwnedFd) -> anyhow::Result<UdpSocket> {
    let socket = net::UdpSocket::from(descriptor);
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(socket)?)
}

/// A stream, of a message that carries nothing else.
pub(crate) fn stream(descriptors: Vec<OwnedFd>) -> anyhow::Result<UnixStream> {
    let mut descriptors = descriptors.into_iter();
    let first = descriptors.next().context("the descriptor is missing")?;
    let stream = StdUnixStream::from(first);
    stream.set_nonblocking(true)?;
    Ok(UnixStream::from_std(stream)?)
}
