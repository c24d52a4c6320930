//! What is known of hosts that clients have named: of so many of them, and of each for so long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_model::ServiceName;
use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;

use super::Asked;

/// Hosts that are kept; for a further one that which was asked for the longest time ago goes.
pub(crate) const MOST: usize = 1024;
/// How long an answer holds, and how long after that it is used while it is asked for again.
const FRESH: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// After so long a host that nobody wants is let go of, with what keeps it known who is at its addresses: until
/// then what is known of it holds while the resolver fails.
pub(super) const UNWANTED: Duration = Duration::from_secs(5 * 60);
/// How long a failure holds.
const FAILED: Duration = Duration::from_secs(1);

/// A host on a port of a service.
type Key = (ServiceName, u16, Arc<str>);

/// Hosts by what they are asked for.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<Key, Arc<Slot>>>);

/// What is known of one.
#[derive(Debug)]
pub(super) struct Slot {
    /// Who asks does so alone.
    pub(super) turn: Turn<()>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// When it was resolved last.
    since: Option<Instant>,
    endpoints: Asked,
    /// When that failed last, and why.
    failed: Option<(Instant, Failure)>,
    /// When somebody wanted it last.
    wanted: Instant,
}

/// Why it is not known where a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The resolver does not say.
    Unresolved,
    /// Nobody knows who is at its addresses.
    Untold,
}

/// What is known of a host.
pub(super) enum Look {
    Good(Asked),
    /// To be asked for again.
    Old(Asked),
    Failed(Failure),
    Unknown,
}

impl Slots {
    /// That of a host; none if as many as may be are asked for at this moment.
    pub(super) fn get(&self, key: Key) -> Option<Arc<Slot>> {
        let now = clock::now();
        let mut slots = self.0.lock();
        if let Some(slot) = slots.get(&key) {
            slot.known.lock().wanted = now;
            return Some(Arc::clone(slot));
        }
        if slots.len() >= MOST {
            let unused = slots
                .iter()
                .filter(|(_, slot)| Arc::strong_count(slot) == 1);
            let oldest = unused.min_by_key(|(_, slot)| slot.known.lock().wanted);
            let oldest = oldest.map(|(key, _)| key.clone())?;
            slots.remove(&oldest);
        }
        let slot = Arc::new(Slot::new(now));
        slots.insert(key, Arc::clone(&slot));
        Some(slot)
    }

    /// Lets go of hosts that nobody has wanted for long.
    pub(super) fn forget(&self) {
        let now = clock::now();
        self.0.lock().retain(|_, slot| {
            let wanted = slot.known.lock().wanted;
            Arc::strong_count(slot) > 1 || now.saturating_duration_since(wanted) < UNWANTED
        });
    }
}

impl Slot {
    fn new(now: Instant) -> Self {
        Self {
            turn: Turn::new(()),
            known: Mutex::new(Known {
                since: None,
                endpoints: Arc::from([]),
                failed: None,
                wanted: now,
            }),
        }
    }

    /// What is known at that time.
    pub(super) fn look(&self, now: Instant) -> Look {
        let known = self.known.lock();
        let ago = |then: Instant| now.saturating_duration_since(then);
        let has_failed = known.failed.filter(|(then, _)| ago(*then) < FAILED);
        let endpoints = || Arc::clone(&known.endpoints);
        match (known.since.map(ago), has_failed) {
            (Some(ago), _) if ago < FRESH.0 => Look::Good(endpoints()),
            // While the resolver fails, what it said last holds.
            (Some(_), Some(_)) => Look::Good(endpoints()),
            (Some(ago), _) if ago < FRESH.1 || known.failed.is_some() => Look::Old(endpoints()),
            (None, Some((_, why))) => Look::Failed(why),
            (_, None) => Look::Unknown,
        }
    }

    /// It has been found there.
    pub(super) fn is_at(&self, endpoints: Asked) {
        let mut known = self.known.lock();
        known.since = Some(clock::now());
        known.endpoints = endpoints;
        known.failed = None;
    }

    /// It has not been found; what was known of it stays.
    pub(super) fn has_failed(&self, why: Failure) {
        self.known.lock().failed = Some((clock::now(), why));
    }
}

#[cfg(test)]
impl Slots {
    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// As if nobody had wanted any of them since then.
    pub(super) fn unwanted_since(&self, then: Instant) {
        for slot in self.0.lock().values() {
            slot.known.lock().wanted = then;
        }
    }
}
