//! Idle connections: opened, proven by one byte or one request, and then left alone.

use std::net::{SocketAddr, TcpStream};

use anyhow::Result;

use super::super::serve::ECHO;
use super::http::first_answer;
use super::{Route, connect, exchange};

const CLIENTS: usize = 16;

/// Opens so many connections and hands them out; closing them is the caller's.
pub fn idle(route: Route<'_>, count: usize) -> Result<Vec<TcpStream>> {
    open(route, ECHO, count, exchange)
}

/// The same of HTTP, on a port.
pub fn idle_http(route: Route<'_>, port: u16, count: usize) -> Result<Vec<TcpStream>> {
    open(route, port, count, |stream| first_answer(stream).map(drop))
}

fn open(
    route: Route<'_>,
    port: u16,
    count: usize,
    prove: fn(&mut TcpStream) -> Result<()>,
) -> Result<Vec<TcpStream>> {
    let to = SocketAddr::new(route.to, port);
    let opened = route.threads(CLIENTS, |number| {
        let mine = (number..count).step_by(CLIENTS);
        mine.map(|_turn| {
            let mut stream = connect(to)?;
            prove(&mut stream)?;
            Ok(stream)
        })
        .collect::<Result<Vec<_>>>()
    })?;
    Ok(opened.into_iter().flatten().collect())
}
