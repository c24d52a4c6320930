//! New HTTP connections to endpoints, up to where they take requests.
//!
//! Tasks: "upstream connection", one per connection, which ends with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::tasks::Tasks;
use ambit_model::OutsideTls;
use ambit_tunnel::{Gathered, OpenError, in_turns};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::BufReader;
use tokio::time::timeout;
use tokio_util::either::Either;

use super::link::{Begin, LinkError, Linker, OnBehalf, Width};
use super::shared::{Load, Placed, STREAMS, UNTOLD};
use crate::gauges::UPSTREAM;
use crate::http::body::Body;
use crate::view::{Destination, Occupied};

/// Longest head, and trailers, of an answer.
const HEADERS: u32 = 64 << 10;
/// While a new connection has not been told how many requests it may carry, it is looked at: first
/// after so long, for so long before it is used, and last.
const LOOK: (Duration, Duration, Duration) = (
    Duration::from_millis(1),
    Duration::from_millis(32),
    Duration::from_secs(1),
);

/// Bytes that are read at once from a connection that carries many answers.
const READ: usize = 64 << 10;
/// The same of one that carries one, whose head has to fit in.
const READ_ALONE: usize = 128 << 10;

/// Why there is no connection for a request.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The endpoint cannot be reached.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It does not speak the version.
    #[error("no HTTP connection to {0}: {1}")]
    Handshake(SocketAddr, Arc<hyper::Error>),
    /// As many requests wait for a connection as may.
    #[error("no connection to {0}: as many requests wait for one as may")]
    Pending(SocketAddr),
    /// It took longer than it may.
    #[error("no connection to {0} within the time that its DestinationRule allows")]
    Late(SocketAddr),
    /// It has as many requests as it may have.
    #[error("{0} has as many requests of this client, or of all, as it may have")]
    Full(SocketAddr),
}

impl ConnectError {
    /// The reason word of logs and metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Link(error) => error.word(),
            Self::Handshake(..) => "connect_failed",
            Self::Pending(_) => "pending_overflow",
            Self::Late(_) => "connect_timeout",
            Self::Full(_) => "upstream_limit",
        }
    }

    /// The waypoint stops.
    pub(super) fn stopped(to: SocketAddr) -> Self {
        let cause = OpenError::Closed("the waypoint stops".to_owned());
        Self::Link(LinkError::Tunnel { to, cause })
    }
}

/// Makes connections.
#[derive(Debug)]
pub(super) struct Maker {
    linker: Linker,
    width: Width,
    tasks: Tasks,
}

impl Maker {
    /// Makes them over these links.
    pub(super) fn new(linker: Linker, width: Width, tasks: Tasks) -> Self {
        Self {
            linker,
            width,
            tasks,
        }
    }

    /// What tells connections that were begun by this TLS from those of before: 0 where nothing changes.
    pub(super) fn version(&self, tls: &OutsideTls) -> u64 {
        let asked = tls.credential.as_ref();
        asked.map_or(0, |asked| self.linker.credentials().version(asked))
    }

    /// One that speaks HTTP/1.1.
    pub(super) async fn http1(
        &self,
        to: &Destination,
        place: Option<Arc<Occupied>>,
        begin: Begin,
    ) -> Result<http1::SendRequest<Body>, ConnectError> {
        // The endpoint learns of clients by `x-forwarded-for`: the connection is not one client's.
        let by = OnBehalf {
            width: self.width,
            ..OnBehalf::default()
        };
        let link = self.linker.link(to, by, begin).await?;
        let shaken = http1::Builder::new()
            .max_buf_size(match self.width {
                Width::Wide => READ_ALONE,
                Width::Narrow => HEADERS as usize,
            })
            .handshake(TokioIo::new(link))
            .await;
        let (sender, connection) =
            shaken.map_err(|error| ConnectError::Handshake(to.address, Arc::new(error)))?;
        self.drive(connection.with_upgrades(), place);
        Ok(sender)
    }

    /// One that speaks HTTP/2, and what it carries.
    pub(super) async fn http2(
        &self,
        to: &Destination,
        place: Option<Arc<Occupied>>,
        begin: Begin,
    ) -> Result<(http2::SendRequest<Body>, Arc<Load>), ConnectError> {
        // The link is for all its streams, each of which has a window of its own.
        let link = match self.linker.link(to, OnBehalf::default(), begin).await? {
            Either::Left(pipe) => Either::Left(pipe),
            Either::Right(tcp) => Either::Right(BufReader::with_capacity(READ, tcp)),
        };
        let (sender, connection) = http2::Builder::new(Turns)
            .timer(TokioTimer::new())
            .initial_stream_window_size(self.width.window())
            // All its streams fit, so that no answer that is not read keeps the others waiting.
            .initial_connection_window_size(STREAMS * self.width.window())
            .initial_max_send_streams(UNTOLD)
            .max_header_list_size(HEADERS)
            .handshake(TokioIo::new(Gathered::new(link)))
            .await
            .map_err(|error| ConnectError::Handshake(to.address, Arc::new(error)))?;
        let load = Load::new(place);
        let placed = Placed(Arc::clone(&load));
        let noted = Arc::clone(&load);
        let mut connection = Box::pin(connection);
        // What the endpoint says of its limit wakes nobody: it is noted whenever something else does.
        let mut noting = std::future::poll_fn(move |cx| {
            let polled = connection.as_mut().poll(cx);
            noted.limit(connection.current_max_send_streams());
            polled
        });
        // A request too many would wait behind others, for ever perhaps: so it is waited for a little.
        let mut wait = LOOK.0;
        while wait < LOOK.1 && !load.is_told() {
            match timeout(wait, &mut noting).await {
                Err(_elapsed) => wait *= 2,
                Ok(Err(error)) => {
                    return Err(ConnectError::Handshake(to.address, Arc::new(error)));
                }
                // Whoever sends on it will see.
                Ok(Ok(())) => return Ok((sender, load)),
            }
        }
        let driven = async move {
            while wait < LOOK.2 {
                if let Ok(ended) = timeout(wait, &mut noting).await {
                    return ended;
                }
                wait *= 2;
            }
            noting.await
        };
        self.drive(driven, placed);
        Ok((sender, load))
    }

    /// It keeps its place till it ends.
    fn drive(
        &self,
        connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
        place: impl Send + 'static,
    ) {
        let driven = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an endpoint ended");
            }
            drop(place);
        };
        drop(self.tasks.spawn(UPSTREAM, driven));
    }
}

/// Runs what drives a connection of HTTP/2, in turns.
#[derive(Clone, Copy, Debug)]
struct Turns;

impl<F> hyper::rt::Executor<F> for Turns
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        // Ends with the connection.
        drop(tokio::spawn(in_turns(future)));
    }
}
