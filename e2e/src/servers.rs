//! Small servers of ours that live in a pod, for what real programs do not show: who called,
//! half-close, speaking first, bytes that can be checked.
//!
//! One thread accepts, one serves each connection; accepting ends on drop, a connection with its
//! peer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use nix::sys::socket;

use crate::lab::{Namespace, Pod};
use crate::stream;
use crate::websocket;

/// Enough for every service here; thousands of connections each have one.
const STACK: usize = 128 * 1024;

/// How one connection is served.
pub trait Serve: Fn(TcpStream, SocketAddr) -> std::io::Result<()> + Clone + Send + 'static {}

impl<S: Fn(TcpStream, SocketAddr) -> std::io::Result<()> + Clone + Send + 'static> Serve for S {}

/// A server in a pod, on both families; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `port` in the pod and serves every connection with `serve`.
    pub fn start(pod: &Pod, port: u16, serve: impl Serve) -> Result<Self> {
        Self::start_in(pod.namespace(), port, serve)
    }

    /// The same in a namespace that is no pod's.
    pub fn start_in(namespace: &Namespace, port: u16, serve: impl Serve) -> Result<Self> {
        let any = SocketAddr::from(([0_u16; 8], port));
        let listener = namespace
            .run(|| TcpListener::bind(any))?
            .with_context(|| format!("listening on {port} in {}", namespace.name()))?;
        let accepted = listener.try_clone().context("copying a listener")?;
        let accepting = thread::spawn(move || accept(&accepted, serve));
        Ok(Self {
            listener,
            accepting: Some(accepting),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Wakes the thread that waits in accept.
        socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

fn accept(listener: &TcpListener, serve: impl Serve) {
    while let Ok((connection, mut peer)) = listener.accept() {
        peer.set_ip(peer.ip().to_canonical());
        let serve = serve.clone();
        let served = move || {
            // What goes wrong on a connection is the client's to notice.
            serve(connection, peer).ok();
        };
        thread::Builder::new().stack_size(STACK).spawn(served).ok();
    }
}

/// Sends everything back, and its own end after the client's.
pub fn echo(mut connection: TcpStream, _peer: SocketAddr) -> std::io::Result<()> {
    let mut reader = connection.try_clone()?;
    std::io::copy(&mut reader, &mut connection)?;
    connection.shutdown(Shutdown::Write)
}

/// Tells who called, then ends.
pub fn who(mut connection: TcpStream, peer: SocketAddr) -> std::io::Result<()> {
    connection.write_all(peer.ip().to_string().as_bytes())
}

/// Speaks first, as mail and database servers do; then answers one line.
pub fn speak_first(mut connection: TcpStream, _peer: SocketAddr) -> std::io::Result<()> {
    connection.write_all(b"220 speaks first\r\n")?;
    let mut line = String::new();
    BufReader::new(connection.try_clone()?).read_line(&mut line)?;
    connection.write_all(format!("250 {line}").as_bytes())
}

/// Reads to the client's end and only then answers with what it got: needs half-close.
pub fn digest(mut connection: TcpStream, _peer: SocketAddr) -> std::io::Result<()> {
    let received = stream::digest(&mut connection)?;
    connection.write_all(received.to_string().as_bytes())
}

/// Ends its own half first, then reads on and hands the client nothing more.
pub fn leaves_first(mut connection: TcpStream, _peer: SocketAddr) -> std::io::Result<()> {
    connection.write_all(b"bye")?;
    connection.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest)?;
    Ok(())
}

/// Reads a decimal number and a newline, sends that many bytes of the known stream.
pub fn source(mut connection: TcpStream, _peer: SocketAddr) -> std::io::Result<()> {
    let mut wanted = String::new();
    BufReader::new(connection.try_clone()?).read_line(&mut wanted)?;
    stream::send(&mut connection, wanted.trim().parse().unwrap_or(0))?;
    Ok(())
}

/// Echoes WebSocket messages after the handshake (RFC 6455).
pub fn websocket(connection: TcpStream, _peer: SocketAddr) -> std::io::Result<()> {
    websocket::serve_echo(connection)
}

/// Answers every HTTP/1.1 request on the connection with who called.
pub fn http(connection: TcpStream, peer: SocketAddr) -> std::io::Result<()> {
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    let body = peer.ip().to_string();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        if line == "\r\n" {
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            writer.write_all(format!("{head}{body}").as_bytes())?;
        }
        line.clear();
    }
    Ok(())
}
