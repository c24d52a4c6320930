//! HTTP connections to endpoints, kept and shared by the requests of all clients.
//!
//! HTTP/1.1 carries one request at a time: a connection is taken out and put back when its answer
//! has been read to the end ([`Idle`]). HTTP/2 carries many: it stays in the pool while it is used
//! ([`Shared`]).
//!
//! What is kept is kept by how the endpoint was reached ([`Key`]): a pod that takes tunnels from now
//! on, or has another identity, is never sent anything on a connection of before.
//!
//! A connection that is being made is made to the end, and kept if nobody waits for it any more.
//! Given up half way it would reach the endpoint's agent as a reset, and an agent ends a tunnel with
//! too many of those: one client that comes and goes quickly would break the requests of others.
//!
//! Tasks: "connect", one per connection that is being made; "sweep connections".

mod alone;
mod among;
mod key;
mod refused;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use ambit_model::SpiffeId;
use hyper::body::Incoming;
use hyper::{Request, Response};

pub(super) use self::key::Key;
use super::idle::{Carrier, Idle};
use super::link::{Begin, Linker, Width};
use super::make::{ConnectError, Maker};
use super::shared::{Held, Shared};
use crate::http::body::Body;
use crate::outside::tls::Inner as Spoken;
use crate::view::{Destination, Terms};

/// How often connections that are not used are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// Version of HTTP that an endpoint is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// How a connection is begun with an endpoint, by the terms of its cluster.
fn begin(to: &Destination, terms: Option<&Arc<Terms>>, inner: Spoken) -> Begin {
    let begin = terms.map(|terms| terms.begin(to, inner));
    begin.unwrap_or_default()
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection could be had.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The request was not sent, or the endpoint said that it did not look at it.
    #[error("{to} did not take the request: {cause}")]
    NotTaken {
        /// The endpoint.
        to: SocketAddr,
        /// What happened.
        cause: hyper::Error,
        /// Whether only the connection was to blame: it was there already, and ended.
        stale: bool,
    },
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
pub(crate) struct Lease(Use);

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "kept once for each request: a box would be one more"
)]
enum Use {
    Alone(HttpPool, Key, Carrier, Option<Arc<Terms>>),
    Among { _held: Held },
}

impl Lease {
    /// The answer has been read to the end: the connection may serve another request.
    pub(crate) fn give_back(self) {
        if let Use::Alone(pool, key, carrier, terms) = self.0 {
            pool.keep(&key, carrier, terms.as_ref());
        }
    }
}

/// The pools of either width; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct HttpPools {
    wide: HttpPool,
    narrow: HttpPool,
}

/// What a request is sent by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct On<'a> {
    /// On a new connection.
    pub(crate) fresh: bool,
    /// The terms of the cluster that the endpoint was picked from.
    pub(crate) terms: Option<&'a Arc<Terms>>,
    /// Whether it is the endpoint that is waited for, and not until there is room for one more
    /// connection to it.
    pub(crate) asks: Option<&'a AtomicBool>,
    /// Whether it has been put on a connection to it.
    pub(crate) met: Option<&'a AtomicBool>,
}

impl On<'_> {
    fn asks(&self, asks: bool) {
        if let Some(told) = self.asks {
            told.store(asks, Ordering::Relaxed);
        }
    }

    /// It is on a connection.
    fn meets(&self) {
        self.asks(true);
        if let Some(met) = self.met {
            met.store(true, Ordering::Relaxed);
        }
    }
}

/// Connections of one width; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct HttpPool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    maker: Maker,
    tasks: Tasks,
    idle: Idle,
    shared: Shared,
}

impl HttpPools {
    /// Empty pools over these links.
    pub(crate) fn new(linker: Linker, tasks: Tasks) -> Self {
        Self {
            wide: HttpPool::new(linker.clone(), Width::Wide, tasks.clone()),
            narrow: HttpPool::new(linker, Width::Narrow, tasks),
        }
    }

    /// That of this width.
    pub(crate) fn of(&self, width: Width) -> &HttpPool {
        match width {
            Width::Wide => &self.wide,
            Width::Narrow => &self.narrow,
        }
    }

    /// Lets go of connections to endpoints that are gone, by their pods' uids, or are reached
    /// otherwise than with this identity now.
    pub(crate) fn purge(&self, is_gone: impl Fn(&str, Option<&SpiffeId>) -> bool) {
        for pool in [&self.wide, &self.narrow] {
            pool.purge(&is_gone);
        }
    }

    /// Lets go of connections that are not used, for ever.
    pub(crate) async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            for pool in [&self.wide, &self.narrow] {
                pool.sweep(clock::now());
            }
        }
    }
}

impl HttpPool {
    fn new(linker: Linker, width: Width, tasks: Tasks) -> Self {
        Self {
            inner: Arc::new(Inner {
                maker: Maker::new(linker, width, tasks.clone()),
                tasks,
                idle: Idle::default(),
                shared: Shared::default(),
            }),
        }
    }

    /// Sends a client's request to an endpoint and waits for the head of the answer.
    ///
    /// The request has the form that the version wants.
    pub(crate) async fn send(
        &self,
        to: &Arc<Destination>,
        version: Version,
        client: IpAddr,
        request: Request<Body>,
        on: On<'_>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        match version {
            Version::Http1 => self.send_alone(to, request, on).await,
            Version::Http2 => self.send_among(to, client, request, on).await,
        }
    }

    /// Ends a connection that nobody uses, of a cluster that may have no more: to another endpoint, or
    /// of the other version.
    fn make_room(&self, beside: &Key) {
        self.inner.idle.make_room(beside);
        self.inner.shared.make_room(beside);
    }

    fn purge(&self, is_gone: impl Fn(&str, Option<&SpiffeId>) -> bool) {
        let is_gone = |key: &Key| is_gone(&key.pod, key.identity.as_ref());
        self.inner.idle.purge(is_gone);
        self.inner.shared.purge(is_gone);
    }

    fn sweep(&self, now: Instant) {
        self.inner.idle.sweep(now);
        self.inner.shared.sweep(now);
    }
}

/// What comes of making a connection, if that takes no longer than it may. It goes on all the same.
async fn in_time<T>(
    to: &Destination,
    terms: Option<&Arc<Terms>>,
    told: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    let limit = terms.and_then(|terms| terms.policy.connections.connect_timeout);
    let Some(limit) = limit else {
        return Ok(told.await);
    };
    let told = tokio::time::timeout(limit, told).await;
    told.map_err(|_elapsed| ConnectError::Late(to.address))
}

#[cfg(test)]
mod tests;
