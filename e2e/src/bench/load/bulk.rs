//! Bulk: as many bytes as go through in a given time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::super::serve::SINK;
use super::{Route, Work, connect};

const BLOCK: usize = 256 * 1024;

/// Sends on so many connections at once; what counts is what the server has read to the end.
pub fn bulk(route: Route<'_>, streams: usize, time: Duration) -> Result<Work> {
    let to = SocketAddr::new(route.to, SINK);
    let start = Instant::now();
    let received = route.threads(streams, |_number| send(to, time))?;
    Ok(Work {
        done: received.into_iter().sum::<u64>() as f64,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Answers how many bytes the server says it got.
fn send(to: SocketAddr, time: Duration) -> Result<u64> {
    let mut stream = connect(to)?;
    let block: Vec<u8> = (0..=250).cycle().take(BLOCK).collect();
    let start = Instant::now();
    let mut sent = 0_u64;
    while start.elapsed() < time {
        stream.write_all(&block).context("sending")?;
        sent = sent.saturating_add(BLOCK as u64);
    }
    stream.shutdown(Shutdown::Write).context("ending")?;
    let mut answer = [0; 8];
    stream
        .read_exact(&mut answer)
        .context("reading how much arrived")?;
    let arrived = u64::from_be_bytes(answer);
    if arrived != sent {
        bail!("sent {sent} bytes to {to}, {arrived} arrived");
    }
    Ok(arrived)
}
