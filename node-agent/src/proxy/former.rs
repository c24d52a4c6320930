//! Waypoints that services and pods of this node were bound to until a moment ago.
//!
//! A waypoint serves what it was bound to for a while, because agents learn of a change one by one
//! (`waypoint/src/view.rs`, `LINGER`), and judges its clients as before. For that time and for what
//! is under way at its end it is still known as their own: judged as itself it would be refused by
//! every policy that names clients. Only what was their waypoint in this agent's own eyes is ever
//! kept here, and a new generation of the proxy begins without.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use ambit_model::GatewayAddress;

/// How long: as long as the control plane tells the waypoint of them.
pub(crate) const LINGER: Duration = Duration::from_secs(60);

/// Former waypoints of one kind of object, and until when each counts.
#[derive(Debug)]
pub(crate) struct Former<K>(HashMap<K, Vec<(GatewayAddress, Instant)>>);

impl<K> Default for Former<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Former<K> {
    /// Notes that an object was and is bound to these; true if its former ones are others now.
    pub(crate) fn rebound(
        &mut self,
        key: &K,
        before: Option<&GatewayAddress>,
        after: Option<&GatewayAddress>,
        now: Instant,
    ) -> bool {
        if before == after {
            return false;
        }
        let kept = self.0.entry(key.clone()).or_default();
        kept.retain(|(waypoint, _)| Some(waypoint) != before && Some(waypoint) != after);
        kept.extend(before.map(|waypoint| (waypoint.clone(), now + LINGER)));
        if kept.is_empty() {
            self.0.remove(key);
        }
        true
    }

    /// Forgets those of an object that is gone, or is another now; true if there were any.
    pub(crate) fn forget(&mut self, key: &K) -> bool {
        self.0.remove(key).is_some()
    }

    /// Forgets those whose time is over; says whose.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<K> {
        let mut expired = Vec::new();
        self.0.retain(|key, kept| {
            let before = kept.len();
            kept.retain(|(_, until)| *until > now);
            if kept.len() < before {
                expired.push(key.clone());
            }
            !kept.is_empty()
        });
        expired
    }

    /// When the next one's time is over.
    pub(crate) fn due(&self) -> Option<Instant> {
        let all = self.0.values().flatten();
        all.map(|(_, until)| *until).min()
    }

    /// Those of an object.
    pub(crate) fn of(&self, key: &K) -> impl Iterator<Item = GatewayAddress> {
        let kept = self.0.get(key).into_iter().flatten();
        kept.map(|(waypoint, _)| waypoint.clone())
    }
}
