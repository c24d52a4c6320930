//! Connections of HTTP/2, each of which carries many requests.
//!
//! ```text
//! find -> a connection with room -> a place on it
//!           | all are full
//!           v
//!         one dial at a time: whoever dials has the first place, the others wait and look again
//! ```
//!
//! What does not fit on the connections that there are would wait behind requests that may never end,
//! so another one is made, up to [`MOST`]; then requests are refused. A place is held until the answer
//! and the request are over, as the endpoint counts.
//!
//! One that is too old takes no more requests, and those on it may go on for ever. It gives up its place
//! among the connections of its cluster: where there may be one only, all others would wait for them. So does
//! one that its endpoint takes no more requests on, or that leads nowhere now. One that has carried as many
//! requests as it may keeps it until they are over, or there would be a connection for each request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::sources::{Share, Sources};
use bytes::Bytes;
use http::HeaderMap;
use hyper::client::conn::http2::SendRequest;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::idle::{self, is_over};
use super::make::ConnectError;
use super::pool::Key;
use crate::http::body::{Body, BodyError, Watch};
use crate::view::{Bell, Occupied, Terms};

/// Requests at once on one connection, if the endpoint takes as many.
pub(super) const STREAMS: u32 = 100;
/// The same while the endpoint has not said how many it takes: a number that none would say.
pub(super) const UNTOLD: usize = 11;
/// Connections to one endpoint.
const MOST: usize = 64;
/// Requests at once of one client, to one endpoint: half of what fits. A gateway is one client.
const OF_ONE: usize = MOST * STREAMS as usize / 2;
/// What a cluster says of its connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Requests after which one takes no more.
    each: usize,
    /// Requests at once on one.
    streams: usize,
    /// One without a request is kept for so long.
    longest: Duration,
    /// How old one may become that takes requests.
    lifetime: Option<Duration>,
}

impl Bounds {
    /// Those of the terms of a cluster.
    pub(super) fn of(terms: Option<&Arc<Terms>>) -> Self {
        let given = terms.map(|terms| &terms.policy.connections);
        let bound = |number: Option<u32>| {
            number.map_or(usize::MAX, |number| {
                usize::try_from(number).unwrap_or(usize::MAX)
            })
        };
        let longest = given.and_then(|given| given.idle_timeout);
        Self {
            each: bound(given.and_then(|given| given.requests_each)),
            streams: bound(given.and_then(|given| given.streams_each)),
            longest: longest.unwrap_or(idle::LONGEST),
            lifetime: given.and_then(|given| given.lifetime),
        }
    }
}

/// The connections of all endpoints.
#[derive(Debug, Default)]
pub(super) struct Shared {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

/// Those of one endpoint.
#[derive(Debug)]
pub(super) struct Slot {
    state: Mutex<State>,
    clients: Sources,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            clients: Sources::new(OF_ONE),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    connections: Vec<Connection>,
    /// Connections that there have been.
    made: u64,
    dialling: Option<watch::Receiver<Told>>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Body>,
    load: Arc<Load>,
    number: u64,
    /// Since when it has been seen without a request.
    idle: Option<Instant>,
    /// When it was made.
    since: Instant,
    /// What was said when it was made.
    bounds: Bounds,
}

impl Connection {
    /// Whether it takes no requests any more, for its age or since it is closed.
    fn is_retired(&self, lifetime: Option<Duration>, now: Instant) -> bool {
        self.sender.is_closed() || is_over(self.since, lifetime, now)
    }

    /// It is let go of. If requests go on on it, it counts no longer.
    fn leave(&self) {
        if self.load.streams() > 0 {
            self.load.vacate();
        }
    }
}

/// What came of a dial, once something has.
pub(super) type Told = Option<Result<(), ConnectError>>;

/// How many requests a connection carries.
#[derive(Debug)]
pub(super) struct Load {
    streams: AtomicUsize,
    limit: AtomicUsize,
    /// Requests that there have been.
    total: AtomicUsize,
    /// Its place among the connections of its cluster.
    occupied: Mutex<Option<Arc<Occupied>>>,
    /// Whether nothing more can be sent on it.
    ended: AtomicBool,
}

impl Load {
    /// Of a new connection, which has this place.
    pub(super) fn new(occupied: Option<Arc<Occupied>>) -> Arc<Self> {
        Arc::new(Self {
            streams: AtomicUsize::new(0),
            limit: AtomicUsize::new(UNTOLD),
            total: AtomicUsize::new(0),
            occupied: Mutex::new(occupied),
            ended: AtomicBool::new(false),
        })
    }

    /// Gives up its place among the connections of its cluster.
    fn vacate(&self) {
        let occupied = self.occupied.lock().take();
        drop(occupied);
    }

    /// The endpoint takes so many.
    pub(super) fn limit(&self, limit: usize) {
        self.limit
            .store(limit.min(STREAMS as usize), Ordering::Relaxed);
    }

    /// Whether the endpoint has said how many it takes.
    pub(super) fn is_told(&self) -> bool {
        self.limit.load(Ordering::Relaxed) != UNTOLD
    }

    fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    fn has_room(&self, bounds: Bounds) -> bool {
        self.streams() < self.limit.load(Ordering::Relaxed).min(bounds.streams)
    }

    /// Whether it has carried as many requests as it may.
    fn is_spent(&self, bounds: Bounds) -> bool {
        self.total.load(Ordering::Relaxed) >= bounds.each
    }

    fn place(self: &Arc<Self>) -> StreamSlot {
        self.streams.fetch_add(1, Ordering::AcqRel);
        self.total.fetch_add(1, Ordering::Relaxed);
        StreamSlot(Arc::clone(self))
    }
}

/// Gives up the place of a connection when that ends, and the requests on it are over.
#[derive(Debug)]
pub(super) struct Placed(pub(super) Arc<Load>);

impl Drop for Placed {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
        if self.0.streams.load(Ordering::SeqCst) == 0 {
            self.0.vacate();
        }
    }
}

/// A request's place on its connection.
#[derive(Debug)]
pub(super) struct StreamSlot(Arc<Load>);

impl Drop for StreamSlot {
    fn drop(&mut self) {
        // One of both sees the other: this, or the end of the connection.
        let before = self.0.streams.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.0.ended.load(Ordering::SeqCst) {
            self.0.vacate();
        }
    }
}

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Found {
    /// On this connection.
    Place(SendRequest<Body>, StreamSlot),
    /// On one that is being made, perhaps: look again.
    Wait(watch::Receiver<Told>),
    /// On one that the caller makes.
    Dial(Dial),
    /// Nowhere.
    Full,
}

impl Shared {
    /// The connections to an endpoint.
    pub(super) fn slot(&self, key: &Key) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(key) {
            return Arc::clone(slot);
        }
        let slot = Arc::<Slot>::default();
        slots.insert(key.clone(), Arc::clone(&slot));
        slot
    }

    /// Lets go of the connections to these endpoints; requests on them may end.
    pub(super) fn purge(&self, is_gone: impl Fn(&Key) -> bool) {
        self.slots.lock().retain(|key, slot| {
            let is_gone = is_gone(key);
            if is_gone {
                let state = slot.state.lock();
                state.connections.iter().for_each(|one| one.load.vacate());
            }
            !is_gone
        });
    }

    /// Lets go of connections that have ended, had no request for long, or are too old. What is under way
    /// on these goes on.
    pub(super) fn sweep(&self, now: Instant) {
        self.slots.lock().retain(|_, slot| {
            let mut state = slot.state.lock();
            state.connections.retain_mut(|connection| {
                let since = *connection.idle.get_or_insert(now);
                if connection.load.streams() > 0 {
                    connection.idle = None;
                }
                let is_old = now.saturating_duration_since(since) >= connection.bounds.longest;
                if connection.is_retired(connection.bounds.lifetime, now) {
                    connection.leave();
                    return false;
                }
                connection.idle.is_none() || !is_old
            });
            !state.connections.is_empty() || Arc::strong_count(slot) > 1
        });
    }

    /// Lets go of a connection that has no request or takes none, of the cluster that this one is of.
    pub(super) fn make_room(&self, beside: &Key) {
        let (slots, now) = (self.slots.lock(), clock::now());
        let others = slots.iter();
        let mut others = others.filter(|(key, _)| key.cluster == beside.cluster);
        others.any(|(_, slot)| {
            let connections = &mut slot.state.lock().connections;
            // One that is closed, without a request, has no place to give.
            connections.retain(|one| !one.sender.is_closed() || one.load.streams() > 0);
            let is_spare = |one: &Connection| {
                one.load.streams() == 0 || one.is_retired(one.bounds.lifetime, now)
            };
            let spare = connections.iter().position(is_spare);
            let spare = spare.map(|at| connections.remove(at));
            spare.inspect(Connection::leave).is_some()
        });
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let slots = self.slots.lock();
        let lens = slots
            .values()
            .map(|slot| slot.state.lock().connections.len());
        lens.sum()
    }
}

impl Slot {
    /// A client's share in the endpoint; `None` if it has all that it may.
    pub(super) fn share(&self, client: IpAddr) -> Option<Share> {
        self.clients.take(client)
    }

    /// How many connections have been made so far.
    pub(super) fn made(&self) -> u64 {
        self.state.lock().made
    }

    /// A place on the oldest connection that has room, and is newer than so many: what many requests
    /// have to say on one connection is written together, and connections that are not needed end.
    pub(super) fn find(self: &Arc<Self>, newer_than: u64, bounds: Bounds) -> Found {
        let mut state = self.state.lock();
        let now = clock::now();
        state.connections.retain(|c| {
            if c.is_retired(bounds.lifetime, now) {
                c.leave();
                return false;
            }
            !c.load.is_spent(bounds)
        });
        let mut open = state.connections.iter_mut();
        if let Some(found) = open.find(|c| c.number > newer_than && c.load.has_room(bounds)) {
            found.idle = None;
            return Found::Place(found.sender.clone(), found.load.place());
        }
        if let Some(told) = &state.dialling {
            return Found::Wait(told.clone());
        }
        if state.connections.len() >= MOST {
            return Found::Full;
        }
        let (tell, told) = watch::channel(None);
        state.dialling = Some(told);
        Found::Dial(Dial {
            slot: Arc::clone(self),
            tell,
            is_over: false,
        })
    }
}

/// The one dial of an endpoint. Given up, it is another one's turn.
#[derive(Debug)]
pub(super) struct Dial {
    slot: Arc<Slot>,
    tell: watch::Sender<Told>,
    is_over: bool,
}

impl Dial {
    /// Takes the connection in, and has the first place on it.
    pub(super) fn succeeded(
        mut self,
        sender: SendRequest<Body>,
        load: Arc<Load>,
        bounds: Bounds,
    ) -> StreamSlot {
        let place = load.place();
        let mut state = self.slot.state.lock();
        state.made += 1;
        let number = state.made;
        state.connections.push(Connection {
            sender,
            load,
            number,
            idle: None,
            since: clock::now(),
            bounds,
        });
        state.dialling = None;
        drop(state);
        self.is_over = true;
        self.tell.send_replace(Some(Ok(())));
        place
    }

    /// It is not to be: everybody who waits looks again.
    pub(super) fn left(mut self) {
        self.slot.state.lock().dialling = None;
        self.is_over = true;
        self.tell.send_replace(Some(Ok(())));
    }

    /// Tells everybody who waits.
    pub(super) fn failed(mut self, error: &ConnectError) {
        self.slot.state.lock().dialling = None;
        self.is_over = true;
        self.tell.send_replace(Some(Err(error.clone())));
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if !self.is_over {
            self.slot.state.lock().dialling = None;
        }
    }
}

/// What a request holds while it, or its answer, is on its way.
#[derive(Clone, Debug)]
pub(super) struct Held {
    _all: Arc<(StreamSlot, Share, Option<Bell>)>,
}

impl Held {
    /// A place, and the client's share; the bell rings when both are free.
    pub(super) fn new(place: StreamSlot, share: Share, bell: Option<Bell>) -> Self {
        Self {
            _all: Arc::new((place, share, bell)),
        }
    }
}

/// Kept by the body of a request.
impl Watch for Held {
    fn data(&mut self, _bytes: &Bytes) {}
    fn trailers(&mut self, _trailers: &HeaderMap) {}
    fn end(&mut self) {}
    fn broken(&mut self, _error: &BodyError) {}
}
