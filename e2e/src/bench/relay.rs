//! The baseline: a relay that does for one connection what the mesh does, and nothing else.
//!
//! Two of them stand in the way of a connection, one in the client's pod behind a redirection,
//! one in the server's. Between them every accepted connection has a connection of its own, TLS
//! or plain. No identity, no policy, no pool, no telemetry: what is left is the least that
//! encrypting and moving the bytes costs. Runs as `bench relay …`, one process per pod.

mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufStream};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

pub use self::tls::write_certificate;

/// Where the relay of a client's pod takes what was redirected.
pub const CAPTURE: u16 = 15001;
/// Where the relay of a server's pod listens for the other one.
pub const FAR: u16 = 15008;
/// What the relay prints once it listens.
pub const READY: &str = "relay ready";
/// Mark of the relay's own connections, which the redirection leaves alone.
const MARK: u32 = 0x53a;
const BACKLOG: u32 = 4096;
/// Buffer of each direction, and read-ahead below TLS.
const BUFFER: usize = 256 * 1024;

/// Redirects what a client's pod opens to [`CAPTURE`], first packets only, as the mesh does.
pub const RULES: &str = "table ip relay {\n chain out {\n  \
    type nat hook output priority -100;\n  meta mark 0x53a return\n  \
    fib daddr type local return\n  \
    tcp flags & (fin|syn|rst|ack) == syn redirect to :15001\n }\n}\n";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// In the client's pod.
    Client,
    /// In the server's pod.
    Server,
}

/// Arguments of `bench relay`.
#[derive(Debug, Args)]
pub struct RelayArgs {
    /// Which end of the relayed connection this is.
    #[arg(long)]
    side: Side,
    /// The folder with the certificate; without it the relays speak plain TCP to each other.
    #[arg(long)]
    tls: Option<PathBuf>,
}

/// Relays until it is killed.
pub fn run(args: &RelayArgs) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("starting the relay's runtime")?;
    runtime.block_on(async {
        match (args.side, &args.tls) {
            (Side::Client, Some(dir)) => {
                let connector = tls::connector(dir)?;
                accept(CAPTURE, async move |near, to| {
                    let far = connector.connect(tls::name(), read_ahead(dial(to).await?));
                    let mut far = far.await?;
                    tls::enlarge(far.get_mut().1);
                    lead(near, far, to.port()).await
                })
                .await
            }
            (Side::Client, None) => {
                accept(CAPTURE, async |near, to| lead(near, dial(to).await?, to.port()).await).await
            }
            (Side::Server, Some(dir)) => {
                let acceptor = tls::acceptor(dir)?;
                accept(FAR, async move |tcp, _to| {
                    let here = tcp.local_addr()?.ip();
                    let mut near = acceptor.accept(read_ahead(tcp)).await?;
                    tls::enlarge(near.get_mut().1);
                    follow(near, here).await
                })
                .await
            }
            (Side::Server, None) => {
                accept(FAR, async |near, to| follow(near, to.ip()).await).await
            }
        }
    })
}

/// Accepts for ever; `serve` gets each connection and where it was meant to go.
async fn accept<S, F>(port: u16, serve: S) -> Result<()>
where
    S: Fn(TcpStream, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = io::Result<()>> + Send,
{
    let socket = TcpSocket::new_v4().context("making a listener")?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
    let listener = socket.listen(BACKLOG).context("listening")?;
    say_ready();
    loop {
        let (tcp, _peer) = listener.accept().await.context("accepting")?;
        let serve = serve.clone();
        tokio::spawn(async move {
            tcp.set_nodelay(true)?;
            let to = destination(&tcp, port)?;
            serve(tcp, to).await
        });
    }
}
