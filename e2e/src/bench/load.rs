//! The load: one module per kind of traffic, each a function from a client's pod to figures.
//!
//! Clients are threads of this process inside the pod's network namespace. They block: at these
//! numbers of connections threads cost less than an event loop, and nothing hides in a queue.

mod bulk;
mod connections;
mod http;
mod idle;
mod pace;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

pub use self::bulk::bulk;
pub use self::connections::connections;
pub use self::http::{BODY, HTTP, http};
pub use self::idle::{idle, idle_http};
pub use self::pace::{Latency, paced};
use crate::lab::Namespace;

/// Longest wait for anything: a mesh that hangs must not stop the run.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a load comes from and goes to.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The client's pod.
    pub from: &'a Namespace,
    /// The server's pod.
    pub to: IpAddr,
}

/// How much was done in how long.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Bytes, requests or connections.
    pub done: f64,
    /// In this time, by the wall clock.
    pub seconds: f64,
}

impl Route<'_> {
    /// Runs `work` on so many threads inside the client's pod, each knowing its number.
    fn threads<T: Send>(
        &self,
        count: usize,
        work: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        // Threads are born into the network namespace of the thread that makes them.
        let inside = || -> Result<Vec<T>> {
            let work = &work;
            thread::scope(|scope| {
                let threads: Vec<_> = (0..count)
                    .map(|number| scope.spawn(move || work(number)))
                    .collect();
                let mut answers = Vec::new();
                for thread in threads {
                    let answer = thread.join();
                    answers.push(answer.map_err(|_panic| anyhow!("a client panicked"))??);
                }
                Ok(answers)
            })
        };
        self.from.run(inside)?
    }
}

/// Connects from where the thread is.
fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&to, PATIENCE).with_context(|| format!("connecting to {to}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One byte there and back.
fn exchange(stream: &mut TcpStream) -> Result<()> {
    use std::io::{Read as _, Write as _};
    stream.write_all(b"x").context("sending a byte")?;
    let mut answer = [0];
    stream.read_exact(&mut answer).context("reading a byte")?;
    if answer != *b"x" {
        bail!("sent x, got {answer:?}");
    }
    Ok(())
}
