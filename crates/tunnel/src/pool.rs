//! Tunnels of the opening side, kept by key and shared by the streams of that key.
//!
//! ```text
//! open -> a connection with room? -> send the request ------------------> stream
//!           | none, or all busy        | connection gone, not served yet
//!           v                          v
//!         one dial at a time per key: whoever waited looks again first, and shares the failure
//! ```
//!
//! Invariants: a key names source and destination pod, so that nothing is ever shared between two
//! source pods; a stream is asked for a second time only if the peer has not served it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::Request;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use crate::client::{Attempt, Connection};
use crate::open::{Ask, DialError, Dialled, Key, OpenError, Opened, request_of};
use crate::settings::Settings;
use crate::usage::{Lease, Usage};

/// How often one request may be sent: a pooled connection, one that somebody else has just
/// opened, our own.
const ATTEMPTS: usize = 3;

/// Numbers of a pool. The first three say what is, the others what has been since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Keys with a connection.
    pub keys: usize,
    /// Connections that may take streams.
    pub connections: usize,
    /// Streams open on them.
    pub streams: usize,
    /// Handshakes that succeeded.
    pub handshakes: u64,
    /// Dials and handshakes that failed.
    pub failures: u64,
    /// Streams opened on a connection that was there already.
    pub reused: u64,
    /// Streams asked for again because their connection had gone.
    pub retried: u64,
}

#[derive(Debug, Default)]
struct Counters {
    handshakes: AtomicU64,
    failures: AtomicU64,
    reused: AtomicU64,
    retried: AtomicU64,
}

/// The connections of one key.
#[derive(Debug, Default)]
struct Slot {
    connections: Vec<Arc<Connection>>,
    dialling: Arc<Dialling>,
}

/// Lets one dial happen at a time; those who wait share what came of it.
#[derive(Debug, Default)]
struct Dialling {
    turn: tokio::sync::Mutex<()>,
    failures: Mutex<(u64, Option<OpenError>)>,
}

impl Dialling {
    fn failures(&self) -> u64 {
        self.failures.lock().0
    }

    fn fail(&self, error: &OpenError) {
        let mut failures = self.failures.lock();
        *failures = (failures.0 + 1, Some(error.clone()));
    }

    /// The last failure, if there has been one since `seen`.
    fn since(&self, seen: u64) -> Option<OpenError> {
        let failures = self.failures.lock();
        failures.1.clone().filter(|_| failures.0 != seen)
    }
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    slots: Mutex<HashMap<Key, Slot>>,
    draining: AtomicBool,
    counters: Counters,
}

/// Tunnels of the opening side.
#[derive(Debug)]
pub struct Pool {
    inner: Arc<Inner>,
}

impl Pool {
    /// An empty pool.
    pub fn new(settings: Settings) -> Arc<Self> {
        let inner = Inner {
            settings,
            slots: Mutex::default(),
            draining: AtomicBool::new(false),
            counters: Counters::default(),
        };
        Arc::new(Self {
            inner: Arc::new(inner),
        })
    }

    /// Opens a stream for this key, on a connection that is there or on one that `dial` makes.
    pub async fn open<F, Fut>(&self, key: &Key, dial: F, ask: &Ask) -> Result<Opened, OpenError>
    where
        F: Fn() -> Fut + Sync,
        Fut: Future<Output = Result<Dialled, DialError>> + Send,
    {
        let request = request_of(ask)?;
        if let Some((connection, lease)) = self.inner.pick_at_once(key) {
            match self
                .inner
                .open_on(&connection, request.clone(), lease, true)
                .await
            {
                Err(Attempt::Gone(_)) => {
                    self.inner.counters.retried.fetch_add(1, Ordering::Relaxed);
                }
                Err(Attempt::Final(error)) => return Err(error),
                Ok(opened) => return Ok(opened),
            }
        }
        // Boxed: it is the rare branch, and large.
        Box::pin(self.inner.open_anew(key, dial, request)).await
    }

    /// Lets go of the connections of these keys: no new streams, and an end when idle.
    pub fn purge(&self, gone: impl Fn(&Key) -> bool) {
        let mut purged = Vec::new();
        self.inner.slots.lock().retain(|key, slot| {
            let keep = !gone(key);
            if !keep {
                purged.append(&mut slot.connections);
            }
            keep
        });
        // Dropped here, outside the lock: the last handle of a connection wakes its driver.
        drop(purged);
    }

    /// Lets go of every connection; from now on each stream gets one of its own.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
        self.purge(|_| true);
    }

    /// What is there now, and what has been.
    pub fn stats(&self) -> PoolStats {
        let counters = &self.inner.counters;
        let mut stats = PoolStats {
            handshakes: counters.handshakes.load(Ordering::Relaxed),
            failures: counters.failures.load(Ordering::Relaxed),
            reused: counters.reused.load(Ordering::Relaxed),
            retried: counters.retried.load(Ordering::Relaxed),
            ..PoolStats::default()
        };
        for slot in self.inner.slots.lock().values() {
            stats.keys += usize::from(!slot.connections.is_empty());
            stats.connections += slot.connections.len();
            stats.streams += slot
                .connections
                .iter()
                .map(|c| c.usage().streams())
                .sum::<usize>();
        }
        stats
    }
}

impl Inner {
    /// A connection with room. Busy ones are passed over while another may be opened, unless
    /// somebody is at it already.
    fn pick_at_once(&self, key: &Key) -> Option<(Arc<Connection>, Lease)> {
        let slots = self.slots.lock();
        let slot = slots.get(key)?;
        let under_way = slot.dialling.turn.try_lock().is_err();
        slot.pick(&self.settings, under_way)
    }

    async fn open_on(
        &self,
        connection: &Connection,
        request: Request<()>,
        lease: Lease,
        reused: bool,
    ) -> Result<Opened, Attempt> {
        let (stream, baggage) = connection.open(request, lease, &self.settings).await?;
        if reused {
            self.counters.reused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Opened {
            stream,
            peer: connection.peer().clone(),
            baggage,
            reused,
        })
    }

    /// Waits for the turn to dial, and opens the stream on whatever connection there is then.
    async fn open_anew<F, Fut>(
        self: &Arc<Self>,
        key: &Key,
        dial: F,
        request: Request<()>,
    ) -> Result<Opened, OpenError>
    where
        F: Fn() -> Fut + Sync,
        Fut: Future<Output = Result<Dialled, DialError>> + Send,
    {
        let mut gone = String::new();
        for _ in 0..ATTEMPTS {
            let (connection, lease, reused) = self.connection(key, &dial).await?;
            match self
                .open_on(&connection, request.clone(), lease, reused)
                .await
            {
                Ok(opened) => return Ok(opened),
                Err(Attempt::Final(error)) => return Err(error),
                // Also our own: the far end may have been about to leave when it took us in.
                Err(Attempt::Gone(error)) => gone = error,
            }
            self.counters.retried.fetch_add(1, Ordering::Relaxed);
        }
        Err(OpenError::Closed(gone))
    }

    /// A connection: one that is there by the time it is our turn, or our own.
    async fn connection<F, Fut>(
        self: &Arc<Self>,
        key: &Key,
        dial: &F,
    ) -> Result<(Arc<Connection>, Lease, bool), OpenError>
    where
        F: Fn() -> Fut + Sync,
        Fut: Future<Output = Result<Dialled, DialError>> + Send,
    {
        let waiter = Waiter::new(self, key);
        let seen = waiter.dialling.failures();
        let _turn = waiter.dialling.turn.lock().await;
        if let Some((connection, lease)) = self.pick(key, false) {
            return Ok((connection, lease, true));
        }
        if let Some(error) = waiter.dialling.since(seen) {
            return Err(error);
        }
        match self.dial(key, dial).await {
            Ok(connection) => self.keep(&waiter, connection),
            Err(error) => {
                waiter.dialling.fail(&error);
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                // A busy connection is better than none.
                let busy = self
                    .pick(key, true)
                    .map(|(connection, lease)| (connection, lease, true));
                busy.ok_or(error)
            }
        }
    }

    async fn dial<F, Fut>(
        self: &Arc<Self>,
        key: &Key,
        dial: &F,
    ) -> Result<Arc<Connection>, OpenError>
    where
        F: Fn() -> Fut + Sync,
        Fut: Future<Output = Result<Dialled, DialError>> + Send,
    {
        let dialled = timeout(self.settings.connect_timeout, dial()).await;
        let dialled = dialled.map_err(|_elapsed| DialError::Timeout(key.to))??;
        let (pool, home) = (Arc::downgrade(self), key.clone());
        let leave = move |usage: &Arc<Usage>| {
            if let Some(pool) = pool.upgrade() {
                pool.let_go(&home, usage);
            }
        };
        Ok(Connection::start(dialled, key, &self.settings, leave).await?)
    }

    /// Takes a new connection in, unless its key has been purged meanwhile.
    fn keep(
        &self,
        waiter: &Waiter<'_>,
        connection: Arc<Connection>,
    ) -> Result<(Arc<Connection>, Lease, bool), OpenError> {
        self.counters.handshakes.fetch_add(1, Ordering::Relaxed);
        let lease = connection.usage().lease(1);
        let lease = lease.ok_or_else(|| OpenError::Closed("the peer hung up".to_owned()))?;
        if !self.draining.load(Ordering::Acquire)
            && let Some(slot) = self.slots.lock().get_mut(waiter.key)
            && Arc::ptr_eq(&slot.dialling, &waiter.dialling)
        {
            slot.connections.push(Arc::clone(&connection));
        }
        Ok((connection, lease, false))
    }

    fn pick(&self, key: &Key, busy_too: bool) -> Option<(Arc<Connection>, Lease)> {
        self.slots
            .lock()
            .get_mut(key)?
            .pick(&self.settings, busy_too)
    }

    /// Forgets a connection that has ended or is idle.
    fn let_go(&self, key: &Key, usage: &Arc<Usage>) {
        let mut slots = self.slots.lock();
        let found = slots.get_mut(key).and_then(|slot| {
            let at = slot
                .connections
                .iter()
                .position(|c| Arc::ptr_eq(c.usage(), usage))?;
            Some(slot.connections.swap_remove(at))
        });
        drop(slots);
        drop(found);
        self.tidy(key);
    }

    /// Removes a slot that nobody uses.
    fn tidy(&self, key: &Key) {
        let mut slots = self.slots.lock();
        let unused = slots.get(key).is_some_and(|slot| {
            slot.connections.is_empty() && Arc::strong_count(&slot.dialling) == 1
        });
        if unused {
            slots.remove(key);
        }
    }
}

/// Somebody who wants a connection of a key. While there is one, the slot stays.
struct Waiter<'p> {
    pool: &'p Inner,
    key: &'p Key,
    dialling: Arc<Dialling>,
}

impl<'p> Waiter<'p> {
    fn new(pool: &'p Inner, key: &'p Key) -> Self {
        let dialling = Arc::clone(&pool.slots.lock().entry(key.clone()).or_default().dialling);
        Self {
            pool,
            key,
            dialling,
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.dialling = Arc::default();
        self.pool.tidy(self.key);
    }
}

impl Slot {
    /// The connection with the fewest streams that has room.
    fn pick(&self, settings: &Settings, busy_too: bool) -> Option<(Arc<Connection>, Lease)> {
        let more_allowed = !busy_too && self.connections.len() < settings.busy_connections;
        let open = self.connections.iter().filter(|c| c.usage().is_open());
        let idlest = open.min_by_key(|c| c.usage().streams())?;
        let usage = idlest.usage();
        if more_allowed && usage.streams() > 0 && usage.rate(Instant::now()) >= settings.busy_rate {
            return None;
        }
        let lease = usage.lease(idlest.limit(settings))?;
        Some((Arc::clone(idlest), lease))
    }
}

#[cfg(test)]
mod tests;
