//! Connections of HTTP/1.1 that no request uses, until one does or they have been kept for long.
//!
//! A connection is put here when its answer has been read to the end. The request need not be: an
//! endpoint may answer before it has read that. So a connection is given to another request only
//! once it is ready for one, and nobody waits for longer than it takes a task to run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::pool::Key;
use crate::http::body::Body;
use crate::view::Occupied;

/// Connections to one endpoint that are kept.
const MOST: usize = 256;
/// Connections to one endpoint that are made at once.
const CONNECTING: usize = 64;
/// How long one is kept if nobody says. Servers close theirs after that time at the soonest, most of them.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
/// How long one that was just put back is waited for.
const SETTLES: Duration = Duration::from_millis(10);
/// One that is still sending its last request after so long is not kept.
const UNREADY: Duration = Duration::from_secs(1);

/// The connections of all endpoints.
#[derive(Debug, Default)]
pub(super) struct Idle {
    slots: Mutex<HashMap<Key, Slot>>,
}

/// Those of one endpoint, the newest last.
#[derive(Debug)]
struct Slot {
    kept: Vec<Kept>,
    turns: Arc<Semaphore>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            turns: Arc::new(Semaphore::new(CONNECTING)),
        }
    }
}

/// A connection that carries one request at a time.
#[derive(Debug)]
pub(super) struct Carrier {
    pub(super) sender: SendRequest<Body>,
    /// Requests that it has carried, or carries.
    pub(super) used: u32,
    /// When it was made.
    pub(super) since: Instant,
    /// Its place among the connections of its cluster.
    pub(super) place: Option<Arc<Occupied>>,
}

#[derive(Debug)]
struct Kept {
    carrier: Carrier,
    since: Instant,
    longest: Duration,
    /// How old it may become.
    lifetime: Option<Duration>,
}

impl Kept {
    fn is_worth_keeping(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.since);
        let longest = if self.carrier.sender.is_ready() {
            self.longest
        } else {
            UNREADY
        };
        let is_old = is_over(self.carrier.since, self.lifetime, now);
        !self.carrier.sender.is_closed() && age < longest && !is_old
    }
}

/// Whether a connection that was made then is as old as it may become.
pub(super) fn is_over(since: Instant, lifetime: Option<Duration>, now: Instant) -> bool {
    lifetime.is_some_and(|lifetime| now.saturating_duration_since(since) >= lifetime)
}

impl Idle {
    /// A connection that takes a request now, and is no older than this.
    pub(super) async fn take(&self, key: &Key, lifetime: Option<Duration>) -> Option<Carrier> {
        let mut carrier = self.pop(key, lifetime, clock::now())?;
        if !carrier.sender.is_ready() {
            timeout(SETTLES, carrier.sender.ready()).await.ok()?.ok()?;
        }
        Some(carrier)
    }

    /// The newest that is ready: the oldest are those that the endpoint closes next. Or else one of
    /// which the task may not have run since its answer was read.
    fn pop(&self, key: &Key, lifetime: Option<Duration>, now: Instant) -> Option<Carrier> {
        let mut slots = self.slots.lock();
        let kept = &mut slots.get_mut(key)?.kept;
        if lifetime.is_some() {
            kept.retain(|kept| !is_over(kept.carrier.since, lifetime, now));
        }
        let ready = kept.iter().rposition(|kept| {
            let age = now.saturating_duration_since(kept.since);
            kept.carrier.sender.is_ready() && age < kept.longest
        });
        let settles = || {
            let last = kept.last()?;
            let is_new = now.saturating_duration_since(last.since) < SETTLES;
            (is_new && !last.carrier.sender.is_closed()).then(|| kept.len() - 1)
        };
        let at = ready.or_else(settles)?;
        Some(kept.remove(at).carrier)
    }

    /// Keeps a connection that nobody uses, for so long, and until it is so old.
    pub(super) fn keep(
        &self,
        key: &Key,
        carrier: Carrier,
        (longest, lifetime): (Duration, Option<Duration>),
        now: Instant,
    ) {
        if carrier.sender.is_closed() || is_over(carrier.since, lifetime, now) {
            return;
        }
        let mut slots = self.slots.lock();
        let kept = &mut slots.entry(key.clone()).or_default().kept;
        if kept.len() >= MOST {
            kept.retain(|kept| kept.is_worth_keeping(now));
        }
        if kept.len() < MOST {
            kept.push(Kept {
                carrier,
                since: now,
                longest,
                lifetime,
            });
        }
    }

    /// Lets go of the connection that has been kept longest, of the cluster that this one is of.
    pub(super) fn make_room(&self, beside: &Key) {
        let mut slots = self.slots.lock();
        let others = slots.iter_mut();
        let others = others.filter(|(key, _)| key.cluster == beside.cluster);
        let oldest = others
            .map(|(_, slot)| &mut slot.kept)
            .filter(|kept| !kept.is_empty());
        if let Some(kept) = oldest.min_by_key(|kept| kept.first().map(|kept| kept.since)) {
            drop(kept.remove(0));
        }
    }

    /// One's turn to make a connection; `None` if there is none to wait for.
    pub(super) async fn turn(&self, key: &Key) -> Option<OwnedSemaphorePermit> {
        let turns = {
            let mut slots = self.slots.lock();
            Arc::clone(&slots.entry(key.clone()).or_default().turns)
        };
        turns.acquire_owned().await.ok()
    }

    /// Lets go of the connections to these endpoints.
    pub(super) fn purge(&self, is_gone: impl Fn(&Key) -> bool) {
        self.slots.lock().retain(|key, _| !is_gone(key));
    }

    /// Lets go of connections that have ended, or were kept for long.
    pub(super) fn sweep(&self, now: Instant) {
        self.slots.lock().retain(|_, slot| {
            slot.kept.retain(|kept| kept.is_worth_keeping(now));
            !slot.kept.is_empty() || Arc::strong_count(&slot.turns) > 1
        });
    }

    /// How many are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.lock().values().map(|slot| slot.kept.len()).sum()
    }
}
