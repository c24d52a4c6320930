//! Sockets with the options that capture needs; kernel facts behind each are in the doc comments.
//!
//! Functions make a socket in the namespace of the *calling thread*: the host role calls them
//! inside [`NetNs::run`](crate::NetNs::run). What they return is non-blocking and close-on-exec.
//! A caller with an async runtime wraps an outgoing socket as an unconnected stream socket, binds
//! it if need be with [`bind_foreign`], then connects; no further `socket()` call is needed.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// Mark of sockets towards the application inside the pod: routed back into the pod by `lo`.
pub const APP_MARK: u32 = 0x539;
/// Mark of sockets towards everything else: exempt from capture.
pub const WORLD_MARK: u32 = 0x53a;

/// What an outgoing socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outgoing {
    /// To a peer or an unknown destination, IPv4.
    World4,
    /// To a peer or an unknown destination, IPv6.
    World6,
    /// To the application in the pod from the client's address, IPv4.
    App4,
    /// To the application in the pod from the client's address, IPv6.
    App6,
    /// Datagrams to a resolver, IPv4.
    Datagram4,
    /// Datagrams to a resolver, IPv6.
    Datagram6,
}

impl Outgoing {
    /// The mark that exempts its packets from capture.
    pub fn mark(self) -> u32 {
        match self {
            Self::World4 | Self::World6 | Self::Datagram4 | Self::Datagram6 => WORLD_MARK,
            Self::App4 | Self::App6 => APP_MARK,
        }
    }

    fn domain(self) -> Domain {
        match self {
            Self::World4 | Self::App4 | Self::Datagram4 => Domain::IPV4,
            Self::World6 | Self::App6 | Self::Datagram6 => Domain::IPV6,
        }
    }

    fn is_datagram(self) -> bool {
        matches!(self, Self::Datagram4 | Self::Datagram6)
    }
}

/// Opens a listening TCP socket.
///
/// It carries no mark: accepted sockets inherit the listener's, and answers of a marked one would
/// be routed to `lo`. An IPv6 listener takes IPv6 only, so that both families can have the port.
///
/// # Errors
/// As `socket`, `bind` and `listen`; the address is in the message.
pub fn listener(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&SockAddr::from(address))?;
        socket.listen(backlog)?;
        Ok(socket)
    };
    match open() {
        Ok(socket) => Ok(socket.into()),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("listen on {address}: {error}"),
        )),
    }
}

/// Opens a socket that takes datagrams. It carries no mark, as a listener.
///
/// # Errors
/// As `socket` and `bind`; the address is in the message.
pub fn datagram_listener(address: SocketAddr) -> io::Result<OwnedFd> {
    let open = || -> io::Result<Socket> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&SockAddr::from(address))?;
        Ok(socket)
    };
    open().map(OwnedFd::from).map_err(|error| {
        let text = format!("take datagrams on {address}: {error}");
        io::Error::new(error.kind(), text)
    })
}

/// Makes an unconnected socket with its mark, and transparent if it goes to the application.
///
/// One for datagrams takes its source port, which is hard to guess, when it is connected; from then on
/// it hears nobody but whom it is connected to.
///
/// Needs `CAP_NET_ADMIN` in the namespace's owner; the options stay when the socket is passed to
/// a process without it. `IP_BIND_ADDRESS_NO_PORT` defers the choice of a source port to
/// `connect`, where it need only be free for that destination.
///
/// # Errors
/// As `socket` and `setsockopt`.
pub fn outgoing(kind: Outgoing) -> io::Result<OwnedFd> {
    if kind.is_datagram() {
        let socket = Socket::new(kind.domain(), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_mark(kind.mark())?;
        return Ok(socket.into());
    }
    let socket = Socket::new(kind.domain(), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_mark(kind.mark())?;
    match kind {
        Outgoing::App4 => socket.set_ip_transparent_v4(true)?,
        Outgoing::App6 => socket.set_ip_transparent_v6(true)?,
        Outgoing::World4 | Outgoing::World6 | Outgoing::Datagram4 | Outgoing::Datagram6 => {}
    }
    if matches!(kind, Outgoing::App4 | Outgoing::App6) {
        // The option of level IP serves IPv6 sockets too.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    }
    Ok(socket.into())
}

/// Which source a socket got from [`bind_foreign`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Address and port as asked for.
    Exact,
    /// The address as asked for; the kernel chooses the port at `connect`.
    OtherPort,
}

/// Binds a transparent socket to the client's address, and to its port if that is free.
///
/// # Errors
/// As `bind`, but for a port that is taken or privileged: then it falls back to port 0.
pub fn bind_foreign(socket: &impl AsFd, source: SocketAddr) -> io::Result<Source> {
    let socket = SockRef::from(socket);
    match socket.bind(&SockAddr::from(source)) {
        Ok(()) => return Ok(Source::Exact),
        Err(error) if wants_other_port(&error) || is_privileged(source, &error) => {}
        Err(error) => return Err(error),
    }
    let mut source = source;
    source.set_port(0);
    socket.bind(&SockAddr::from(source))?;
    Ok(Source::OtherPort)
}

/// True if a bind or connect failed because its source port is in use for that destination.
///
/// After a failed `connect` the socket keeps its port: take a fresh one and bind it to port 0.
pub fn wants_other_port(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL)
    )
}

fn is_privileged(source: SocketAddr, error: &io::Error) -> bool {
    source.port() != 0 && error.raw_os_error() == Some(libc::EACCES)
}

/// Where the client wanted to go, of a connection accepted through a redirection.
///
/// A connection that was not redirected gives the address it came in on.
///
/// # Errors
/// As `getsockopt`; conntrack has no entry for a connection whose namespace lost its rules.
pub fn original_destination(socket: &impl AsFd) -> io::Result<SocketAddr> {
    let socket = SockRef::from(socket);
    let local = socket.local_addr()?;
    let original = if local.is_ipv4() {
        socket.original_dst_v4()?
    } else {
        socket.original_dst_v6()?
    };
    original
        .as_socket()
        .ok_or_else(|| io::Error::other("the original destination is no address"))
}

/// True while a socket takes what comes: it is in the listening state, or takes datagrams of
/// everybody.
///
/// # Errors
/// If the descriptor is not a socket.
pub fn is_listening(socket: &impl AsFd) -> io::Result<bool> {
    if is_datagram(socket)? {
        return Ok(SockRef::from(socket).peer_addr().is_err());
    }
    SockRef::from(socket).is_listener()
}

/// Lets a socket of datagrams that was connected take those of everybody again; it keeps the port that it was bound to.
///
/// # Errors
/// If the descriptor is not such a socket.
pub fn disconnect(socket: &impl AsFd) -> io::Result<()> {
    let nobody = libc::sockaddr {
        sa_family: libc::sa_family_t::try_from(libc::AF_UNSPEC).map_err(io::Error::other)?,
        sa_data: [0; 14],
    };
    let length = libc::socklen_t::try_from(size_of_val(&nobody)).map_err(io::Error::other)?;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the address is as long as is said and outlives the call, the descriptor is borrowed.
    match unsafe { libc::connect(descriptor, &raw const nobody, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// True for a socket of datagrams.
///
/// # Errors
/// If the descriptor is not a socket.
pub fn is_datagram(socket: &impl AsFd) -> io::Result<bool> {
    Ok(SockRef::from(socket).r#type()? == Type::DGRAM)
}

#[cfg(test)]
mod tests;
