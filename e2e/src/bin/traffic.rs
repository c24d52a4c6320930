//! Traffic for the cluster scenarios, run in a pod: new connections at a steady rate, or one that is
//! kept. Every failure is a line with its time; the last line is a summary. Of a connection that is
//! kept, standard error says when its first exchange is done.
//!
//!   traffic call IP:PORT PER-SECOND SECONDS    a request over HTTP on each connection
//!   traffic hold IP:PORT SECONDS               a byte to and fro ten times a second
//!
//! Ends early when the file /tmp/traffic.stop is there.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its report is its output"
)]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

/// Connections under way at once; more would measure this program.
const WORKERS: u32 = 64;
const TIMEOUT: Duration = Duration::from_secs(5);
const EXCHANGE: Duration = Duration::from_millis(100);
const STOP: &str = "/tmp/traffic.stop";

/// What became of the attempts so far.
#[derive(Debug, Default)]
struct Ledger {
    /// Milliseconds of each success.
    took: Vec<f64>,
    failed: u64,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ledger = Mutex::new(Ledger::default());
    match words.as_slice() {
        ["call", to, per_second, seconds] => {
            call(to.parse()?, per_second.parse()?, seconds.parse()?, &ledger);
        }
        ["hold", to, seconds] => hold(to.parse()?, seconds.parse()?, &ledger),
        _ => bail!("usage: traffic call IP:PORT PER-SECOND SECONDS | hold IP:PORT SECONDS"),
    }
    let ledger = ledger.into_inner().ok().context("a worker panicked")?;
    println!("{}", summary(ledger));
    Ok(())
}

/// Each attempt has its time; a worker that is late makes up for it.
fn call(to: SocketAddr, per_second: u32, seconds: u32, ledger: &Mutex<Ledger>) {
    let total = per_second.saturating_mul(seconds);
    let pace = Duration::from_secs(1) / per_second.max(1);
    let (start, next) = (Instant::now(), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total || stopped() {
                        return;
                    }
                    let due = pace.saturating_mul(number);
                    thread::sleep(due.saturating_sub(start.elapsed()));
                    note(ledger, || request(to));
                }
            });
        }
    });
}

fn hold(to: SocketAddr, seconds: u64, ledger: &Mutex<Ledger>) {
    let (start, limit) = (Instant::now(), Duration::from_secs(seconds));
    let (mut stream, mut told) = (None, false);
    while start.elapsed() < limit && !stopped() {
        let good = note(ledger, || {
            let stream = match &mut stream {
                Some(stream) => stream,
                none @ None => none.insert(connect(to)?),
            };
            let mut back = [0];
            stream.write_all(b"x")?;
            stream.read_exact(&mut back)
        });
        if !good {
            return;
        }
        if !told {
            eprintln!("held");
            told = true;
        }
        thread::sleep(EXCHANGE);
    }
}

fn request(to: SocketAddr) -> io::Result<()> {
    let mut stream = connect(to)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.") && answer.get(9..12) == Some(b"200") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer);
    let first = text.lines().next().unwrap_or("nothing").to_owned();
    Err(io::Error::other(format!("answered {first:?}")))
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Notes what became of an attempt; answers whether it was good.
fn note(ledger: &Mutex<Ledger>, attempt: impl FnOnce() -> io::Result<()>) -> bool {
    let at = SystemTime::now().duration_since(UNIX_EPOCH);
    let begun = Instant::now();
    let outcome = attempt();
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let Ok(mut ledger) = ledger.lock() else {
        return false;
    };
    match outcome {
        Ok(()) => {
            ledger.took.push(took);
            true
        }
        Err(error) => {
            ledger.failed = ledger.failed.saturating_add(1);
            let at = at.unwrap_or_default().as_secs_f64();
            println!("at {at:.3} after {took:.0} ms: {error}");
            false
        }
    }
}

fn stopped() -> bool {
    Path::new(STOP).exists()
}

fn summary(mut ledger: Ledger) -> serde_json::Value {
    ledger.took.sort_by(f64::total_cmp);
    let served = ledger.took.len();
    let at = |part: usize| {
        let place = served.saturating_mul(part) / 100;
        let place = place.min(served.saturating_sub(1));
        ledger.took.get(place).copied().unwrap_or_default()
    };
    let tried = u64::try_from(served).unwrap_or(u64::MAX);
    json!({
        "tried": tried.saturating_add(ledger.failed), "failed": ledger.failed,
        "p50_ms": at(50), "p99_ms": at(99), "worst_ms": at(100),
    })
}
