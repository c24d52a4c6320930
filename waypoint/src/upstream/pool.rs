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

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use ambit_model::{OutsideTls, SpiffeId};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2;
use hyper::{Request, Response};
use tokio::sync::oneshot;

use super::idle::{self, Carrier, Idle};
use super::link::{Begin, Linker, Width};
use super::make::{ConnectError, Maker};
use super::shared::{Bounds, Dial, Found, Held, Place, Shared, Slot};
use crate::endpoint::Via;
use crate::http::body::Body;
use crate::outside::tls::Inner as Spoken;
use crate::view::{Destination, Occupied, Terms};

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

/// One endpoint, reached in one way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// What tells it from the next that has its address.
    pod: Arc<str>,
    address: SocketAddr,
    /// Who it has proved to be; `None` for plaintext.
    identity: Option<SpiffeId>,
    via: Option<Via>,
    /// The number of the cluster, if its connections are not shared with others.
    pub(super) cluster: u64,
    /// The TLS that was begun with it, for which host, and by which version of what a user gives.
    tls: Option<(Arc<OutsideTls>, Option<Arc<str>>, u64)>,
}

impl Key {
    fn of(maker: &Maker, to: &Destination, terms: Option<&Arc<Terms>>) -> Self {
        let workload = &to.workload;
        let pod = workload.pod_uid.clone();
        Self {
            pod: pod.unwrap_or_else(|| workload.uid.as_str().into()),
            address: to.address,
            identity: to.identity.clone(),
            via: to.via.clone(),
            cluster: terms.map_or(0, |terms| terms.number()),
            tls: begun(to, terms).map(|ask| {
                let version = maker.version(&ask);
                (ask, to.host.clone(), version)
            }),
        }
    }
}

/// The TLS that is begun with an endpoint, by the terms of its cluster.
fn begun(to: &Destination, terms: Option<&Arc<Terms>>) -> Option<Arc<OutsideTls>> {
    terms.and_then(|terms| terms.begun(to))
}

/// How a connection is begun with an endpoint, by the terms of its cluster.
fn begin(to: &Destination, terms: Option<&Arc<Terms>>, inner: Spoken) -> Begin {
    let begin = terms.map(|terms| terms.begin(to, inner));
    begin.unwrap_or_default()
}

/// How old a connection may become that takes requests.
fn lifetime(terms: Option<&Arc<Terms>>) -> Option<Duration> {
    terms.and_then(|terms| terms.policy.connections.lifetime)
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection could be had.
    #[error(transparent)]
    Connect(#[from] ConnectError),
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
}

impl On<'_> {
    fn asks(&self, asks: bool) {
        if let Some(told) = self.asks {
            told.store(asks, Ordering::Relaxed);
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

/// HTTP/1.1.
impl HttpPool {
    async fn send_alone(
        &self,
        to: &Arc<Destination>,
        request: Request<Body>,
        on: On<'_>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let On { fresh, terms, .. } = on;
        let key = Key::of(&self.inner.maker, to, terms);
        let kept = match fresh {
            true => None,
            false => self.inner.idle.take(&key, lifetime(terms)).await,
        };
        let reused = kept.is_some();
        let mut carrier = match kept {
            Some(carrier) => carrier,
            None => Box::pin(self.wait(&key, to, on)).await?,
        };
        on.asks(true);
        carrier.used = carrier.used.saturating_add(1);
        let answer = carrier.sender.try_send_request(request).await;
        let answer = answer.map_err(|error| TrySend::of(error).told(to, reused))?;
        let lease = Lease(Use::Alone(self.clone(), key, carrier, terms.cloned()));
        Ok((answer, lease))
    }

    /// Keeps a connection for the next request, if it may carry one.
    fn keep(&self, key: &Key, carrier: Carrier, terms: Option<&Arc<Terms>>) {
        let bounds = terms.map(|terms| &terms.policy.connections);
        let most = bounds.and_then(|bounds| bounds.requests_each);
        if most.is_some_and(|most| carrier.used >= most) {
            return;
        }
        let longest = bounds.and_then(|bounds| bounds.idle_timeout);
        let place = carrier.place.clone();
        let longest = longest.unwrap_or(idle::LONGEST);
        let bounds = (longest, lifetime(terms));
        self.inner.idle.keep(key, carrier, bounds, clock::now());
        if let Some(place) = place {
            place.ring();
        }
    }

    /// A connection for a request that found none, while as many wait as may.
    async fn wait(
        &self,
        key: &Key,
        to: &Arc<Destination>,
        on: On<'_>,
    ) -> Result<Carrier, ConnectError> {
        let On { fresh, terms, .. } = on;
        let Some(terms) = terms else {
            on.asks(true);
            return self.connect(key, to, fresh, None).await;
        };
        let pending = terms.flow.pool.pending();
        let _waiting = pending.ok_or(ConnectError::Pending(to.address))?;
        let mut place = terms.occupy(false);
        loop {
            let rung = terms.flow.rung();
            if let Some(place) = place.take() {
                on.asks(true);
                return self.connect(key, to, fresh, Some((terms, place))).await;
            }
            // Where there is no room for a new one, a kept one is better than none.
            if let Some(kept) = self.inner.idle.take(key, lifetime(Some(terms))).await {
                return Ok(kept);
            }
            place = terms.occupy(true);
            if place.is_none() {
                self.make_room(key);
                rung.await;
                place = terms.occupy(true);
            }
        }
    }

    /// A new connection, or one that has become free while others were made.
    async fn connect(
        &self,
        key: &Key,
        to: &Arc<Destination>,
        fresh: bool,
        on: Option<(&Arc<Terms>, Arc<Occupied>)>,
    ) -> Result<Carrier, ConnectError> {
        let turn = in_time(
            to,
            on.as_ref().map(|(terms, _)| *terms),
            self.inner.idle.turn(key),
        );
        let turn = turn.await?;
        let (terms, place) = on.unzip();
        if !fresh && let Some(kept) = self.inner.idle.take(key, lifetime(terms)).await {
            return Ok(kept);
        }
        let (tell, told) = oneshot::channel();
        let (pool, home, far) = (self.clone(), key.clone(), Arc::clone(to));
        let own = terms.cloned();
        drop(self.inner.tasks.spawn("connect", async move {
            let begin = begin(&far, own.as_ref(), Spoken::Http1);
            let made = pool.inner.maker.http1(&far, place.clone(), begin).await;
            let made = made.map(|sender| Carrier {
                sender,
                used: 0,
                since: clock::now(),
                place,
            });
            drop(turn);
            if let Err(Ok(unused)) = tell.send(made) {
                pool.keep(&home, unused, own.as_ref());
            }
        }));
        let told = in_time(to, terms, told).await?;
        told.map_err(|_stopped| ConnectError::stopped(to.address))?
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

/// HTTP/2.
impl HttpPool {
    async fn send_among(
        &self,
        to: &Arc<Destination>,
        client: IpAddr,
        request: Request<Body>,
        on: On<'_>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let On { fresh, terms, .. } = on;
        let slot = self
            .inner
            .shared
            .slot(&Key::of(&self.inner.maker, to, terms));
        let share = slot.share(client);
        let share = share.ok_or(ConnectError::Full(to.address))?;
        let bounds = Bounds::of(terms);
        let newer_than = if fresh { slot.made() } else { 0 };
        let (mut sender, place, reused) = match slot.find(newer_than, bounds) {
            Found::Place(sender, place) => (sender, place, true),
            found => {
                let pending = terms.map(|terms| terms.flow.pool.pending());
                if matches!(pending, Some(None)) {
                    // It is the turn of one of those who wait.
                    if let Found::Dial(dial) = found {
                        dial.left();
                    }
                    return Err(ConnectError::Pending(to.address).into());
                }
                let wanted = (newer_than, bounds);
                Box::pin(self.place(found, &slot, (to, on), wanted)).await?
            }
        };
        on.asks(true);
        let held = Held::new(place, share, terms.and_then(|terms| terms.bell()));
        // The endpoint may answer before it has read all.
        let request = request.map(|body| match body.is_end_stream() {
            true => body,
            false => body.watched(Box::new(held.clone())),
        });
        let answer = sender.try_send_request(request).await;
        let answer = answer.map_err(|error| TrySend::of(error).told(to, reused))?;
        Ok((answer, Lease(Use::Among { _held: held })))
    }

    /// A place on a connection that is made, by us or others; whether it was others.
    async fn place(
        &self,
        mut found: Found,
        slot: &Arc<Slot>,
        (to, on): (&Arc<Destination>, On<'_>),
        (mut newer_than, bounds): (u64, Bounds),
    ) -> Result<(http2::SendRequest<Body>, Place, bool), ConnectError> {
        let stopped = || ConnectError::stopped(to.address);
        let terms = on.terms;
        let mut has_asked = false;
        let mut rung = None;
        loop {
            match found {
                Found::Place(sender, place) => return Ok((sender, place, true)),
                Found::Dial(dial) => {
                    let occupied = terms.map(|terms| terms.occupy(has_asked));
                    has_asked = true;
                    if !matches!(occupied, Some(None)) {
                        let occupied = occupied.flatten();
                        on.asks(true);
                        let (sender, place) = self.dial(dial, to, terms, occupied).await?;
                        return Ok((sender, place, false));
                    }
                    // The next one to look may find room. So may we: what became free before we
                    // listened has not rung for us.
                    dial.left();
                    newer_than = 0;
                    self.make_room(&Key::of(&self.inner.maker, to, terms));
                    on.asks(false);
                    if let Some(rung) = rung.take() {
                        rung.await;
                    }
                }
                Found::Wait(mut told) => {
                    on.asks(true);
                    let told = in_time(to, terms, told.wait_for(Option::is_some)).await?;
                    told.map_err(|_stopped| stopped())?
                        .clone()
                        .ok_or_else(stopped)??;
                }
                Found::Full if newer_than > 0 => newer_than = 0,
                Found::Full => return Err(ConnectError::Full(to.address)),
            }
            rung = terms.map(|terms| terms.flow.rung());
            found = slot.find(newer_than, bounds);
        }
    }

    async fn dial(
        &self,
        dial: Dial,
        to: &Arc<Destination>,
        terms: Option<&Arc<Terms>>,
        occupied: Option<Arc<Occupied>>,
    ) -> Result<(http2::SendRequest<Body>, Place), ConnectError> {
        let (tell, told) = oneshot::channel();
        let (pool, far) = (self.clone(), Arc::clone(to));
        let bounds = Bounds::of(terms);
        let begin = begin(to, terms, Spoken::Http2);
        drop(self.inner.tasks.spawn("connect", async move {
            let made = pool.inner.maker.http2(&far, occupied, begin).await;
            let told = match made {
                Ok((sender, load)) => Ok((sender.clone(), dial.succeeded(sender, load, bounds))),
                Err(error) => {
                    dial.failed(&error);
                    Err(error)
                }
            };
            // If nobody waits any more, the connection is there for others.
            tell.send(told).ok();
        }));
        let told = in_time(to, terms, told).await?;
        told.map_err(|_stopped| ConnectError::stopped(to.address))?
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

    fn told(self, to: &Destination, reused: bool) -> SendError {
        let (to, cause) = (to.address, self.cause);
        match self.unsent {
            true => SendError::NotTaken(to, cause),
            false => SendError::Reset { to, cause, reused },
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

#[cfg(test)]
mod tests;
