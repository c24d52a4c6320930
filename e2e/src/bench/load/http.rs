//! HTTP/1.1 with keepalive: wrk, which knows how to keep many connections busy, and the request that
//! our own clients make.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Route, Work};
use crate::shell;

/// Where nginx serves.
pub const HTTP: u16 = 8080;
/// What it answers.
pub const BODY: &str = "ok, says the bench";
/// What asks for it.
pub(super) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/// Keeps so many connections busy with one request after the other.
pub fn http(route: Route<'_>, connections: usize, time: Duration) -> Result<Work> {
    let mut command = route.from.command("wrk");
    command.args([
        "--threads=1",
        &format!("--connections={connections}"),
        &format!("--duration={}s", time.as_secs().max(1)),
        "--timeout=10s",
        &format!("http://{}:{HTTP}/", route.to),
    ]);
    let said = shell::finish(&mut command, "wrk")?;
    read(&said).with_context(|| format!("reading what wrk said:\n{said}"))
}

/// `N requests in 4.00s, …` and `Requests/sec: N`.
fn read(said: &str) -> Result<Work> {
    if let Some(errors) = said
        .lines()
        .find(|line| line.contains("Socket errors") || line.contains("Non-2xx"))
    {
        bail!("{}", errors.trim());
    }
    let number = |line: &str| line.split_whitespace().next()?.parse::<f64>().ok();
    let done = said.lines().find(|line| line.contains(" requests in "));
    let done = done.and_then(number).context("no number of requests")?;
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    let rate = rate.and_then(number).context("no rate")?;
    Ok(Work {
        done,
        seconds: done / rate,
    })
}

/// Asks for the first time on a connection; how long an answer is.
pub(super) fn first_answer(stream: &mut TcpStream) -> Result<usize> {
    stream.write_all(REQUEST).context("asking")?;
    let mut answer = [0; 4096];
    let mut length = 0;
    loop {
        let rest = answer.get_mut(length..).unwrap_or_default();
        let read = stream.read(rest).context("reading an answer")?;
        if read == 0 {
            bail!("the server answered {length} bytes and no body");
        }
        length += read;
        let text = answer.get(..length).unwrap_or_default();
        if text.starts_with(b"HTTP/1.1 200") && text.ends_with(BODY.as_bytes()) {
            return Ok(length);
        }
    }
}
