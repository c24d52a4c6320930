//! Idle connections: opened, proven by one byte, and then left alone.

use std::net::{SocketAddr, TcpStream};

use anyhow::Result;

use super::super::serve::ECHO;
use super::{Route, connect, exchange};

const CLIENTS: usize = 16;

/// Opens so many connections and hands them out; closing them is the caller's.
pub fn idle(route: Route<'_>, count: usize) -> Result<Vec<TcpStream>> {
    let to = SocketAddr::new(route.to, ECHO);
    let opened = route.threads(CLIENTS, |number| {
        let mine = (number..count).step_by(CLIENTS);
        mine.map(|_turn| {
            let mut stream = connect(to)?;
            exchange(&mut stream)?;
            Ok(stream)
        })
        .collect::<Result<Vec<_>>>()
    })?;
    Ok(opened.into_iter().flatten().collect())
}
