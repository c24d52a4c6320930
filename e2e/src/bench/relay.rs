//! The baseline: a relay that does for a connection what the mesh does, and nothing else.
//!
//! Two of them stand in the way of a connection, one in the client's pod behind a redirection,
//! one in the server's. Between them every accepted connection has one of its own, TLS or plain.
//! No identity, no policy, no pool, no telemetry: what is left is the least that encrypting and
//! moving the bytes costs. Runs as `bench relay …`, one process per pod.

mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, split};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use self::tls::write_certificate;

/// What the relay prints once it listens.
pub const READY: &str = "relay ready";
/// Redirects what a client's pod opens to its relay: first packets only, as the mesh does.
pub const RULES: &str = "table ip relay {\n chain out {\n  \
    type nat hook output priority -100;\n  meta mark 0x53a return\n  \
    fib daddr type local return\n  \
    tcp flags & (fin|syn|rst|ack) == syn redirect to :15001\n }\n}\n";

/// Where the relay of a client's pod takes what [`RULES`] redirect.
const CAPTURE: u16 = 15001;
/// Where the relay of a server's pod listens for the other one.
const FAR: u16 = 15008;
/// Mark of the relay's own connections, which [`RULES`] leave alone.
const MARK: u32 = 0x53a;
const BACKLOG: u32 = 4096;
/// Largest buffer of a direction, and the read-ahead below TLS.
const LARGE: usize = 256 * 1024;
/// Buffer that a direction starts with: most connections are short.
const SMALL: usize = 16 * 1024;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// In the client's pod.
    Client,
    /// In the server's pod.
    Server,
}

/// Arguments of `bench relay`.
#[derive(Debug, Clone, Args)]
pub struct RelayArgs {
    /// Which end of the relayed connections this is.
    #[arg(long)]
    side: Side,
    /// The folder of the certificate; without it the relays speak plain TCP to each other.
    #[arg(long)]
    tls: Option<PathBuf>,
}

/// What is done with an accepted connection.
#[derive(Clone)]
enum Role {
    Client,
    TlsClient(TlsConnector),
    Server,
    TlsServer(TlsAcceptor),
}

/// Relays until it is killed.
pub fn run(args: &RelayArgs) -> Result<()> {
    let (port, role) = match (args.side, &args.tls) {
        (Side::Client, None) => (CAPTURE, Role::Client),
        (Side::Client, Some(dir)) => (CAPTURE, Role::TlsClient(tls::connector(dir)?)),
        (Side::Server, None) => (FAR, Role::Server),
        (Side::Server, Some(dir)) => (FAR, Role::TlsServer(tls::acceptor(dir)?)),
    };
    let runtime = tokio::runtime::Runtime::new().context("starting the relay's runtime")?;
    runtime.block_on(accept(port, role))
}

async fn accept(port: u16, role: Role) -> Result<()> {
    let listener = listen(port).with_context(|| format!("listening on {port}"))?;
    super::say(READY);
    loop {
        let (tcp, _peer) = listener.accept().await.context("accepting")?;
        let role = role.clone();
        tokio::spawn(async move {
            // What goes wrong on a connection is its ends' to notice.
            Box::pin(relay(role, tcp)).await.ok();
        });
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
    socket.listen(BACKLOG)
}

async fn relay(role: Role, tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    match role {
        Role::Client => {
            let to = original_destination(&tcp)?;
            lead(tcp, dial(to.ip(), FAR).await?, to).await
        }
        Role::TlsClient(connector) => {
            let to = original_destination(&tcp)?;
            let far = read_ahead(dial(to.ip(), FAR).await?);
            let name = tls::name().map_err(io::Error::other)?;
            let far = connector.connect_with(name, far, |tls| tls::enlarge(tls));
            lead(tcp, far.await?, to).await
        }
        Role::Server => {
            let here = tcp.local_addr()?.ip();
            follow(tcp, here).await
        }
        Role::TlsServer(acceptor) => {
            let here = tcp.local_addr()?.ip();
            let near = acceptor.accept_with(read_ahead(tcp), |tls| tls::enlarge(tls));
            Box::pin(follow(near.await?, here)).await
        }
    }
}

/// The client's side: says which port is meant, then copies.
async fn lead<F>(near: TcpStream, mut far: F, to: SocketAddr) -> io::Result<()>
where
    F: AsyncRead + AsyncWrite + Unpin,
{
    far.write_u16(to.port()).await?;
    join(near, far).await
}

/// The server's side: learns which port is meant, connects in its own pod, copies.
async fn follow<N>(mut near: N, here: IpAddr) -> io::Result<()>
where
    N: AsyncRead + AsyncWrite + Unpin,
{
    let port = near.read_u16().await?;
    join(near, dial(here, port).await?).await
}

async fn dial(ip: IpAddr, port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    SockRef::from(&socket).set_mark(MARK)?;
    socket.set_nodelay(true)?;
    socket.connect(SocketAddr::new(ip, port)).await
}

fn original_destination(tcp: &TcpStream) -> io::Result<SocketAddr> {
    let original = SockRef::from(tcp).original_dst_v4()?;
    let original = original.as_socket();
    original.ok_or_else(|| io::Error::other("the original destination is no address"))
}

/// rustls reads in pieces of a record; one system call per record or two would be a poor baseline.
fn read_ahead(tcp: TcpStream) -> BufReader<TcpStream> {
    BufReader::with_capacity(LARGE, tcp)
}

async fn join<A, B>(a: A, b: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut a_read, mut a_write) = split(a);
    let (mut b_read, mut b_write) = split(b);
    tokio::try_join!(
        pump(&mut a_read, &mut b_write),
        pump(&mut b_read, &mut a_write),
    )?;
    Ok(())
}

/// One direction, to its end; the buffer grows with what there is to read.
async fn pump<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; SMALL];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        to.flush().await?;
        if read == buffer.len() && read < LARGE {
            buffer.resize(LARGE, 0);
        }
    }
}
