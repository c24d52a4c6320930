//! Reaching an address with a socket of the pod's own network namespace.
//!
//! Towards the world the socket is only marked, so that the pod's redirection lets it pass.
//! Towards the application in the pod it is also transparent: bound to the client's address, so
//! that the application sees who called.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ambit_netsys::sockets;
use ambit_tunnel::DialError;
use ambit_wire::node::SocketKind;
use tokio::net::{TcpSocket, TcpStream};

use super::pods::LocalPod;

/// Longest wait for the other end to answer a SYN.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a peer or to an unknown destination.
pub(crate) async fn world(pod: &LocalPod, to: SocketAddr) -> Result<TcpStream, DialError> {
    let kind = if to.is_ipv4() {
        SocketKind::World4
    } else {
        SocketKind::World6
    };
    let socket = take(pod, kind).await?;
    connect(socket, to)
        .await
        .map_err(|error| DialError::from_io(to, error))
}

/// Connects to the application in the pod with the address of `client`, and its port where that
/// is free; port 0 lets the kernel pick one.
pub(crate) async fn application(
    pod: &LocalPod,
    client: SocketAddr,
    to: SocketAddr,
) -> Result<TcpStream, DialError> {
    let connected = match application_from(pod, client, to).await? {
        // The pair of addresses and ports is alive already: the client's address, another port.
        Err(error) if client.port() != 0 && sockets::wants_other_port(&error) => {
            application_from(pod, SocketAddr::new(client.ip(), 0), to).await?
        }
        connected => connected,
    };
    connected.map_err(|error| DialError::from_io(to, error))
}

/// Connects a pod to itself: from its own address, on any port.
pub(crate) async fn own_application(
    pod: &LocalPod,
    to: SocketAddr,
) -> Result<TcpStream, DialError> {
    application(pod, SocketAddr::new(to.ip(), 0), to).await
}

async fn application_from(
    pod: &LocalPod,
    client: SocketAddr,
    to: SocketAddr,
) -> Result<io::Result<TcpStream>, DialError> {
    let kind = if to.is_ipv4() {
        SocketKind::App4
    } else {
        SocketKind::App6
    };
    let socket = take(pod, kind).await?;
    // A client of the other family cannot be shown to the application.
    let bound = if client.is_ipv4() == to.is_ipv4() {
        sockets::bind_foreign(&socket, client).map(drop)
    } else {
        Ok(())
    };
    Ok(match bound {
        Ok(()) => connect(socket, to).await,
        Err(error) => Err(error),
    })
}

async fn take(pod: &LocalPod, kind: SocketKind) -> Result<TcpSocket, DialError> {
    let socket = pod.stock.take(kind).await.ok_or(DialError::OutOfSockets)?;
    // The socket was made non-blocking; no system call happens here.
    Ok(TcpSocket::from_std_stream(std::net::TcpStream::from(
        socket,
    )))
}

async fn connect(socket: TcpSocket, to: SocketAddr) -> io::Result<TcpStream> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(to)).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
