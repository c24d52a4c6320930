//! What ties services and workloads to this waypoint: while they are bound to it, and a moment longer.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_model::{ServiceName, WorkloadUid};

use super::View;
use crate::drain::{Drain, Step};

/// How long connections are still taken for what is bound no longer: agents learn of it one by one.
pub(crate) const LINGER: Duration = Duration::from_secs(30);

/// What ties a service or workload that is or was bound to this waypoint.
#[derive(Clone, Debug)]
pub(super) struct Tie {
    /// Drains when it is bound no longer.
    drain: Arc<Drain>,
    /// Until when connections for it are taken, if it is bound no longer.
    until: Option<Instant>,
}

impl View {
    /// What ties a service that is bound to this waypoint, or was a moment ago. One whose routes have
    /// not been told yet is not tied: every service has some, if only empty ones.
    pub(crate) fn tie(&self, service: &ServiceName, now: Instant) -> Option<&Arc<Drain>> {
        self.routes.get(service)?;
        self.ties.get(service)?.at(now)
    }

    /// The same of a workload that is, or was, bound by itself.
    pub(crate) fn tie_of_workload(&self, uid: &WorkloadUid, now: Instant) -> Option<&Arc<Drain>> {
        self.ties_of_workloads.get(uid)?.at(now)
    }
}

impl Tie {
    /// What drains with it, while connections are taken.
    fn at(&self, now: Instant) -> Option<&Arc<Drain>> {
        let holds = self.until.is_none_or(|until| now < until);
        holds.then_some(&self.drain)
    }
}

pub(super) type Ties<K> = imbl::HashMap<K, Tie>;

/// Notes whether something is bound to this waypoint.
pub(super) fn retie<K: Hash + Eq + Clone>(
    ties: &mut Ties<K>,
    key: &K,
    is_bound: bool,
    now: Instant,
) {
    match ties.get_mut(key) {
        Some(Tie { until: None, .. }) if is_bound => {}
        _ if is_bound => {
            let drain = Arc::new(Drain::new());
            ties.insert(key.clone(), Tie { drain, until: None });
        }
        Some(tie) if tie.until.is_none() => {
            tie.drain.go_on(Step::Draining);
            tie.until = Some(now + LINGER);
        }
        _ => {}
    }
}

/// Ends what ties something that is gone.
pub(super) fn untie<K: Hash + Eq + Clone>(ties: &mut Ties<K>, key: &K) {
    if let Some(tie) = ties.remove(key) {
        tie.drain.go_on(Step::Draining);
    }
}
