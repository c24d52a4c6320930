//! Admin pages: a small HTTP/1.1 server over a table of routes that closures answer.
//!
//! Meant for people with curl, scrapers and probes, and written as if for enemies: connections are
//! bounded in number and life, request heads and bodies in size and time, and nothing that a
//! client sends can panic. An unknown path gets the list of pages.
//!
//! Tasks: one per connection, inside the future of [`serve`]; dropping it ends them all.

mod connection;
mod routes;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use routes::{Ask, Page, Routes};

/// Connections served at once: scrapers, probes and a person's terminal, with room to spare.
const MAX_CONNECTIONS: usize = 64;
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves the pages until asked to stop; answers that are under way are finished.
pub async fn serve(listener: TcpListener, routes: impl Into<Arc<Routes>>, stop: CancellationToken) {
    let routes = routes.into();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Ended ones are collected here, so that the set does not grow.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((tcp, permit)) => {
                let (routes, stop) = (Arc::clone(&routes), stop.clone());
                connections.spawn(async move {
                    connection::serve(tcp, routes, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

/// Serves the pages on one connection to its end, which comes soon after `stop` is cancelled.
pub async fn serve_one<C>(connection: C, routes: Arc<Routes>, stop: CancellationToken)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    connection::serve(connection, routes, stop).await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (tcp, _peer) = listener.accept().await?;
    Ok((tcp, permit))
}

#[cfg(test)]
mod tests;
