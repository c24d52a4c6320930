//! Clients of ours that speak from inside a namespace, and the bytes they send.
//!
//! Connecting happens on a thread inside; the socket then stays in that namespace wherever it is
//! used. Everything has a deadline, so that a mesh that hangs fails a scenario instead of
//! stopping it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::lab::Namespace;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(20);

/// What an HTTP server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The value of a header, its lines joined; names in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        crate::scripted::value(&self.head, name)
    }
}

/// A text as it may stand in a query, whatever is in it.
pub fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Connects from inside a namespace.
pub fn connect(from: &Namespace, to: SocketAddr) -> Result<TcpStream> {
    let stream = from
        .run(|| TcpStream::connect_timeout(&to, CONNECT))?
        .with_context(|| format!("connecting to {to} from {}", from.name()))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `bytes`, ends its own half, and reads to the end of the other.
pub fn exchange(from: &Namespace, to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = connect(from, to)?;
    stream
        .write_all(bytes)
        .with_context(|| format!("sending to {to}"))?;
    stream
        .shutdown(Shutdown::Write)
        .with_context(|| format!("ending the request to {to}"))?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .with_context(|| format!("reading the answer of {to}"))?;
    Ok(answer)
}

/// One HTTP/1.1 request on a connection of its own.
pub fn get(from: &Namespace, to: SocketAddr, path: &str) -> Result<Answer> {
    request(from, to, "GET", path)
}

/// As [`get`], with another method and no body.
pub fn request(from: &Namespace, to: SocketAddr, method: &str, path: &str) -> Result<Answer> {
    let mut stream = connect(from, to)?;
    let host = to.ip();
    // No half-close here: some servers take it for a client that has left.
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .with_context(|| format!("sending to {to}"))?;
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .with_context(|| format!("reading the answer of {to}"))?;
    parse(&bytes).with_context(|| format!("{to} answered {} bytes that are no HTTP", bytes.len()))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        joined(body)?
    } else {
        body.to_owned()
    };
    Some(Answer {
        status,
        head: head.to_owned(),
        body,
    })
}

/// The body of a chunked answer (RFC 9112 7.1), trailers left out.
fn joined(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size.checked_add(2)?..)?;
    }
}

#[cfg(test)]
mod tests;
