//! New connections: open, one byte there and back, close, and again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::serve::ECHO;
use super::{Route, Work, connect, exchange};

/// Keeps so many clients busy with nothing but new connections.
pub fn connections(route: Route<'_>, clients: usize, time: Duration) -> Result<Work> {
    let to = SocketAddr::new(route.to, ECHO);
    let start = Instant::now();
    let made = route.threads(clients, |_number| {
        let mut made = 0_u64;
        while start.elapsed() < time {
            let mut stream = connect(to)?;
            exchange(&mut stream)?;
            made = made.saturating_add(1);
        }
        Ok(made)
    })?;
    Ok(Work {
        done: made.into_iter().sum::<u64>() as f64,
        seconds: start.elapsed().as_secs_f64(),
    })
}
