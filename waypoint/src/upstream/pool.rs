//! HTTP connections to endpoints, kept and shared by the requests of all clients.
//!
//! HTTP/1.1 carries one request at a time: a connection is taken out and put back when its answer
//! has been read to the end. HTTP/2 carries many: it stays in the pool while it is used.
//!
//! A connection that is being made is made to the end, and kept if nobody waits for it any more.
//! Given up half way it would reach the endpoint's agent as a reset, and an agent ends a tunnel with
//! too many of those: one client that comes and goes quickly would break the requests of others.
//!
//! Tasks: "connect", one per connection that is being made; "upstream connection", one per
//! connection, which ends with it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ambit_kit::tasks::Tasks;
use ambit_tunnel::OpenError;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::link::{LinkError, Linker, OnBehalf};
use crate::gauges::UPSTREAM;
use crate::http::body::Body;
use crate::view::Destination;

/// Connections of HTTP/1.1 to one endpoint that are kept without a request.
const MOST_IDLE: usize = 256;
/// Connections to one endpoint that are made at once.
const CONNECTING: usize = 64;
/// Window of one HTTP/2 stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// Window of one HTTP/2 connection.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Version of HTTP that an endpoint is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// One endpoint, spoken to in one version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pod: Arc<str>,
    address: SocketAddr,
    version: Version,
}

/// A connection that takes requests.
#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection could be had.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The endpoint does not speak the version.
    #[error("no HTTP connection to {0}: {1}")]
    Handshake(SocketAddr, hyper::Error),
    /// The request was not sent, or the endpoint said that it did not look at it.
    #[error("{0} did not take the request: {1}")]
    NotTaken(SocketAddr, hyper::Error),
    /// The connection ended before the answer began; it had carried requests before if `reused`.
    #[error("the connection to {to} ended before the answer: {cause}")]
    Reset {
        /// The endpoint.
        to: SocketAddr,
        /// What happened.
        cause: hyper::Error,
        /// Whether the connection was there already.
        reused: bool,
    },
}

/// A connection in use by one request; put back with [`Lease::give_back`] once it is done.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: HttpPool,
    key: Key,
    sender: Option<http1::SendRequest<Body>>,
}

impl Lease {
    /// The answer has been read to the end: the connection may serve another request.
    pub(crate) fn give_back(mut self) {
        let Some(sender) = self.sender.take() else {
            return;
        };
        if !sender.is_closed() {
            self.pool.keep(&self.key, sender);
        }
    }
}

/// The pool; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct HttpPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    linker: Linker,
    tasks: Tasks,
    idle: Mutex<HashMap<Key, Vec<http1::SendRequest<Body>>>>,
    open: Mutex<HashMap<Key, http2::SendRequest<Body>>>,
    connecting: Mutex<HashMap<Key, Arc<Semaphore>>>,
}

impl HttpPool {
    /// An empty pool over these links.
    pub(crate) fn new(linker: Linker, tasks: Tasks) -> Self {
        Self {
            shared: Arc::new(Shared {
                linker,
                tasks,
                idle: Mutex::default(),
                open: Mutex::default(),
                connecting: Mutex::default(),
            }),
        }
    }

    /// Sends a request to an endpoint and waits for the head of the answer.
    ///
    /// The request has the form that the version wants. `fresh` asks for a connection of its own.
    pub(crate) async fn send(
        &self,
        to: &Arc<Destination>,
        version: Version,
        request: Request<Body>,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let key = Key {
            pod: pod_of(to),
            address: to.address,
            version,
        };
        let kept = if fresh { None } else { self.kept(&key).await };
        let reused = kept.is_some();
        let sender = match kept {
            Some(sender) => sender,
            None => Box::pin(self.connect(&key, to, fresh)).await?,
        };
        let lease = |sender| Lease {
            pool: self.clone(),
            key: key.clone(),
            sender,
        };
        let failed = |error: TrySend| match error.unsent {
            true => SendError::NotTaken(to.address, error.cause),
            false => SendError::Reset {
                to: to.address,
                cause: error.cause,
                reused,
            },
        };
        match sender {
            Sender::Http1(mut sender) => {
                let answer = sender.try_send_request(request).await;
                let answer = answer.map_err(|error| failed(TrySend::of(error)))?;
                Ok((answer, lease(Some(sender))))
            }
            Sender::Http2(mut sender) => {
                let answer = sender.try_send_request(request).await;
                let answer = answer.map_err(|error| failed(TrySend::of(error)))?;
                Ok((answer, lease(None)))
            }
        }
    }

    /// Lets go of connections to endpoints that are gone, by their pods' uids.
    pub(crate) fn purge(&self, is_gone: impl Fn(&str) -> bool) {
        self.shared.idle.lock().retain(|key, _| !is_gone(&key.pod));
        self.shared.open.lock().retain(|key, _| !is_gone(&key.pod));
        let mut connecting = self.shared.connecting.lock();
        connecting.retain(|key, _| !is_gone(&key.pod));
    }
}

impl HttpPool {
    /// A connection that is there and takes requests.
    async fn kept(&self, key: &Key) -> Option<Sender> {
        match key.version {
            Version::Http2 => {
                let mut open = self.shared.open.lock();
                let sender = open.get(key)?;
                if sender.is_closed() {
                    open.remove(key);
                    return None;
                }
                Some(Sender::Http2(sender.clone()))
            }
            Version::Http1 => loop {
                // The newest first: the oldest are those that the endpoint closes next.
                let mut sender = self.shared.idle.lock().get_mut(key)?.pop()?;
                if !sender.is_closed() && sender.ready().await.is_ok() {
                    return Some(Sender::Http1(sender));
                }
            },
        }
    }

    /// A new connection, or one that has become free while others were made.
    async fn connect(
        &self,
        key: &Key,
        to: &Arc<Destination>,
        own: bool,
    ) -> Result<Sender, SendError> {
        let turn = self.turn(key).await;
        if !own && let Some(kept) = self.kept(key).await {
            return Ok(kept);
        }
        let (tell, told) = oneshot::channel();
        let (pool, home, to) = (self.clone(), key.clone(), Arc::clone(to));
        let address = to.address;
        drop(self.shared.tasks.spawn("connect", async move {
            let made = pool.make(&home, &to, own).await;
            drop(turn);
            if let Err(Ok(Sender::Http1(unused))) = tell.send(made) {
                pool.keep(&home, unused);
            }
        }));
        let stopped = |_| LinkError::Tunnel {
            to: address,
            cause: OpenError::Closed("the waypoint stops".to_owned()),
        };
        told.await.map_err(stopped)?
    }

    /// One's turn to make a connection; `None` if there is none to wait for.
    async fn turn(&self, key: &Key) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut connecting = self.shared.connecting.lock();
            let new = || Arc::new(Semaphore::new(CONNECTING));
            Arc::clone(connecting.entry(key.clone()).or_insert_with(new))
        };
        turns.acquire_owned().await.ok()
    }

    /// Keeps a connection that nobody uses.
    fn keep(&self, key: &Key, sender: http1::SendRequest<Body>) {
        let mut idle = self.shared.idle.lock();
        let connections = idle.entry(key.clone()).or_default();
        if connections.len() < MOST_IDLE {
            connections.push(sender);
        }
    }

    async fn make(&self, key: &Key, to: &Destination, own: bool) -> Result<Sender, SendError> {
        // The endpoint learns of clients by `x-forwarded-for`: the connection is not one client's.
        let link = self.shared.linker.link(to, OnBehalf::default()).await?;
        let failed = |error| SendError::Handshake(to.address, error);
        let io = TokioIo::new(link);
        match key.version {
            Version::Http1 => {
                let (sender, connection) =
                    http1::Builder::new().handshake(io).await.map_err(failed)?;
                self.drive(connection.with_upgrades());
                Ok(Sender::Http1(sender))
            }
            Version::Http2 => {
                let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .handshake(io)
                    .await
                    .map_err(failed)?;
                self.drive(connection);
                if !own {
                    self.shared.open.lock().insert(key.clone(), sender.clone());
                }
                Ok(Sender::Http2(sender))
            }
        }
    }

    fn drive(&self, connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
        let driven = async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an endpoint ended");
            }
        };
        drop(self.shared.tasks.spawn(UPSTREAM, driven));
    }
}

/// A failure to send, of either version.
struct TrySend {
    cause: hyper::Error,
    unsent: bool,
}

impl TrySend {
    fn of<T>(mut error: hyper::client::conn::TrySendError<T>) -> Self {
        let unsent = error.take_message().is_some();
        let cause = error.into_error();
        Self {
            unsent: unsent || cause.is_canceled() || is_refused(&cause),
            cause,
        }
    }
}

/// Whether the endpoint said that it did not look at the request (RFC 9113, 8.7).
fn is_refused(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| match cause.reason() {
        Some(h2::Reason::REFUSED_STREAM) => true,
        Some(h2::Reason::NO_ERROR) => cause.is_go_away() && cause.is_remote(),
        _ => false,
    })
}

/// What tells this endpoint from the next that has its address.
fn pod_of(to: &Destination) -> Arc<str> {
    let workload = &to.workload;
    let pod = workload.pod_uid.clone();
    pod.unwrap_or_else(|| workload.uid.as_str().into())
}
