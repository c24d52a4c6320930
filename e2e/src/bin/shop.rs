//! The shop's own HTTP service, `cart` and `payments` in the demo: answers who called, counts in
//! redis, asks the next service. Plain HTTP/1.1 without TLS: the mesh's part is the mesh's.

#![expect(clippy::print_stdout, reason = "says on stdout that it serves")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request head and longest answer of another service that is read.
const LONGEST: u64 = 64 * 1024;

/// A small HTTP service.
#[derive(Debug, Parser)]
struct Args {
    /// What it calls itself.
    #[arg(long)]
    name: String,
    /// Where it listens.
    #[arg(long, default_value = "[::]:8080")]
    listen: SocketAddr,
    /// A redis (HOST:PORT) whose counter every request raises.
    #[arg(long)]
    redis: Option<String>,
    /// A service (HOST:PORT) that is asked on every request, and whose answer becomes part of ours.
    #[arg(long)]
    next: Option<String>,
}

fn main() -> Result<()> {
    let args = Arc::new(Args::parse());
    let listener =
        TcpListener::bind(args.listen).with_context(|| format!("listening on {}", args.listen))?;
    println!("{} serves on {}", args.name, args.listen);
    loop {
        let (connection, peer) = listener.accept().context("accepting")?;
        let args = Arc::clone(&args);
        thread::spawn(move || serve(&args, connection, peer));
    }
}

/// What of a request this service cares for.
struct Asked {
    path: String,
    last: bool,
}

/// Serves one connection until the client has no more requests.
fn serve(args: &Args, mut connection: TcpStream, peer: SocketAddr) {
    let Ok(reading) = connection.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(reading);
    while let Some(asked) = next_request(&mut reader) {
        let (status, body) = answer(args, &asked.path, peer);
        let body = format!("{body}\n");
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = connection.write_all(format!("{head}{body}").as_bytes());
        if sent.is_err() || asked.last {
            return;
        }
    }
}

/// Reads a request's head; none at the end or for what is no request.
fn next_request(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut head = reader.take(LONGEST);
    let mut first = String::new();
    head.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut last = false;
    let mut line = String::new();
    while head.read_line(&mut line).ok()? > 0 {
        let field = line.trim_end().to_ascii_lowercase();
        if field.is_empty() {
            return Some(Asked { path, last });
        }
        last |= field == "connection: close";
        line.clear();
    }
    None
}

fn answer(args: &Args, path: &str, peer: SocketAddr) -> (&'static str, Value) {
    let mut body = json!({
        "service": args.name,
        "path": path,
        "called_from": peer.ip().to_canonical(),
    });
    let mut add = |key: &str, found: Result<Value>| {
        let failed = found.is_err();
        let value = found.unwrap_or_else(|error| Value::from(format!("{error:#}")));
        if let Some(fields) = body.as_object_mut() {
            fields.insert(key.to_owned(), value);
        }
        failed
    };
    let mut failed = false;
    if let Some(redis) = &args.redis {
        failed |= add("items", count(redis));
    }
    if let Some(next) = &args.next {
        failed |= add("next", ask(next));
    }
    (if failed { "502 Bad Gateway" } else { "200 OK" }, body)
}

/// Raises the counter `items` (RESP's `INCR`).
fn count(redis: &str) -> Result<Value> {
    let mut connection = connect(redis)?;
    connection.write_all(b"*2\r\n$4\r\nINCR\r\n$5\r\nitems\r\n")?;
    let mut line = String::new();
    BufReader::new(connection.take(LONGEST)).read_line(&mut line)?;
    let number = line
        .trim_end()
        .strip_prefix(':')
        .and_then(|digits| digits.parse::<u64>().ok());
    Ok(Value::from(
        number.with_context(|| format!("{redis} answered {line:?}"))?,
    ))
}

/// One request to another service of this kind.
fn ask(next: &str) -> Result<Value> {
    let mut connection = connect(next)?;
    let request = format!("GET / HTTP/1.1\r\nHost: {next}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(connection.take(LONGEST));
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    if length == 0 {
        bail!("{next} closed the connection");
    }
    let mut body = vec![0; length.min(usize::try_from(LONGEST).unwrap_or(usize::MAX))];
    reader.read_exact(&mut body)?;
    serde_json::from_slice(&body).with_context(|| format!("reading the answer of {next}"))
}

fn connect(to: &str) -> Result<TcpStream> {
    let mut last = None;
    for address in to
        .to_socket_addrs()
        .with_context(|| format!("finding {to}"))?
    {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(connection) => {
                connection.set_read_timeout(Some(TIMEOUT))?;
                connection.set_write_timeout(Some(TIMEOUT))?;
                return Ok(connection);
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error).with_context(|| format!("connecting to {to}")),
        None => bail!("{to} has no address"),
    }
}
