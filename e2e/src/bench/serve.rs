//! The server of the measurements: one port swallows and counts, one answers byte for byte.
//!
//! Runs as `bench serve` in a pod, as a process of its own: ten thousand idle connections need
//! as many descriptors here as in the client.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What the server prints once it listens.
pub const READY: &str = "server ready";
/// Where everything is swallowed, and its length answered.
pub const SINK: u16 = 9001;
/// Where everything is sent back.
pub const ECHO: u16 = 9002;

const BLOCK: usize = 256 * 1024;
/// Enough for what is echoed: single bytes.
const ECHOED: usize = 64;
const BACKLOG: u32 = 4096;

/// Serves until it is killed.
pub fn run() -> Result<()> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, SINK));
    let sink = TcpListener::bind(any).with_context(|| format!("listening on {SINK}"))?;
    thread::spawn(move || {
        for connection in sink.incoming().flatten() {
            thread::spawn(move || swallow(connection));
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("starting the server's runtime")?;
    runtime.block_on(echo())
}

/// Reads to the end and answers how many bytes there were.
fn swallow(mut connection: TcpStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut bytes = 0_u64;
    loop {
        let read = connection.read(&mut block)?;
        if read == 0 {
            return connection.write_all(&bytes.to_be_bytes());
        }
        bytes = bytes.saturating_add(read as u64);
    }
}

async fn echo() -> Result<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, ECHO)))?;
    let listener = socket
        .listen(BACKLOG)
        .with_context(|| format!("listening on {ECHO}"))?;
    super::say(READY);
    loop {
        let (connection, _peer) = listener.accept().await.context("accepting")?;
        tokio::spawn(async move {
            // The client notices.
            answer(connection).await.ok();
        });
    }
}

async fn answer(mut connection: tokio::net::TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = [0; ECHOED];
    loop {
        let read = connection.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let echoed = buffer.get(..read).unwrap_or_default();
        connection.write_all(echoed).await?;
    }
}
