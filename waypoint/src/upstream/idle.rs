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

/// Connections to one endpoint that are kept.
const MOST: usize = 256;
/// Connections to one endpoint that are made at once.
const CONNECTING: usize = 64;
/// How long one is kept. Servers close theirs after that time at the soonest, most of them.
const LONGEST: Duration = Duration::from_secs(60);
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

#[derive(Debug)]
struct Kept {
    sender: SendRequest<Body>,
    since: Instant,
}

impl Kept {
    fn is_worth_keeping(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.since);
        let longest = if self.sender.is_ready() {
            LONGEST
        } else {
            UNREADY
        };
        !self.sender.is_closed() && age < longest
    }
}

impl Idle {
    /// A connection that takes a request now.
    pub(super) async fn take(&self, key: &Key) -> Option<SendRequest<Body>> {
        let mut sender = self.pop(key, clock::now())?;
        if !sender.is_ready() {
            timeout(SETTLES, sender.ready()).await.ok()?.ok()?;
        }
        Some(sender)
    }

    /// The newest that is ready: the oldest are those that the endpoint closes next. Or else one of
    /// which the task may not have run since its answer was read.
    fn pop(&self, key: &Key, now: Instant) -> Option<SendRequest<Body>> {
        let mut slots = self.slots.lock();
        let kept = &mut slots.get_mut(key)?.kept;
        let ready = kept.iter().rposition(|kept| kept.sender.is_ready());
        let settles = || {
            let last = kept.last()?;
            let is_new = now.saturating_duration_since(last.since) < SETTLES;
            (is_new && !last.sender.is_closed()).then(|| kept.len() - 1)
        };
        let at = ready.or_else(settles)?;
        Some(kept.remove(at).sender)
    }

    /// Keeps a connection that nobody uses.
    pub(super) fn keep(&self, key: &Key, sender: SendRequest<Body>, now: Instant) {
        if sender.is_closed() {
            return;
        }
        let mut slots = self.slots.lock();
        let kept = &mut slots.entry(key.clone()).or_default().kept;
        if kept.len() >= MOST {
            kept.retain(|kept| kept.is_worth_keeping(now));
        }
        if kept.len() < MOST {
            kept.push(Kept { sender, since: now });
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
