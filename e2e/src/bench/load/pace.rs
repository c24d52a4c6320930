//! Latency at a given pace: requests are sent when they are due, not when the last one is done.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::super::figures::quantile;
use super::http::{REQUEST, first_answer};
use super::{Route, connect};

/// Requests per second, all connections together.
const PACE: u32 = 1000;
const CONNECTIONS: u32 = 4;

/// How long answers took, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50: f64,
    /// One of a hundred took longer.
    pub p99: f64,
}

/// Asks a thousand times a second what answers on a port.
pub fn paced(route: Route<'_>, port: u16, time: Duration) -> Result<Latency> {
    let to = SocketAddr::new(route.to, port);
    let between = Duration::from_secs(1) * CONNECTIONS / PACE;
    let taken = route.threads(CONNECTIONS as usize, |number| {
        let offset = between * u32::try_from(number)? / CONNECTIONS;
        ask(connect(to)?, offset, between, time)
    })?;
    let mut taken: Vec<f64> = taken.into_iter().flatten().collect();
    Ok(Latency {
        p50: quantile(&mut taken, 0.50).context("no request was made")?,
        p99: quantile(&mut taken, 0.99).context("no request was made")?,
    })
}

fn ask(
    mut stream: TcpStream,
    offset: Duration,
    between: Duration,
    time: Duration,
) -> Result<Vec<f64>> {
    // The first answer also opens the tunnel and shows how long an answer is.
    let length = first_answer(&mut stream)?;
    let mut answer = vec![0; length];
    let begin = Instant::now() + offset;
    let mut due = begin;
    let mut taken = Vec::new();
    while due < begin + time {
        // A client that overslept is not the mesh's fault; a late answer before this one is.
        let start = match due.checked_duration_since(Instant::now()) {
            Some(early) => {
                thread::sleep(early);
                Instant::now()
            }
            None => due,
        };
        stream.write_all(REQUEST).context("asking")?;
        stream
            .read_exact(&mut answer)
            .context("reading an answer")?;
        taken.push(start.elapsed().as_secs_f64() * 1e6);
        due += between;
    }
    Ok(taken)
}
