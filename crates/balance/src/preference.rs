//! Which endpoints are near, for a caller in one place: the ranks that a set is grouped by.
//!
//! A service says that itself, by scopes that both shall share ([`Preference::new`]), or a
//! DestinationRule in its stead, as Istio's `localityLbSetting` ([`Preference::by_locality`]).
//!
//! What each rank gets of the requests is for `spread.rs`. Here is only what counts for that: of a
//! service's own preference, the nearest rank has all as long as one of its endpoints is ready. That
//! is what Kubernetes promises of `trafficDistribution`; only what is ejected weakens it. Of a
//! DestinationRule, endpoints that were ready and are not any more weaken their rank as well. Istio
//! does without failover where there is no outlier detection, for it would not know who is ill. We
//! know of every pod whether it is ready: failover is in force without detection too.

use std::sync::Arc;

use ambit_model::{LoadBalancing, LoadBalancingMode};

use crate::place::Place;

mod setting;

use setting::Pattern;
pub use setting::{Distribute, LocalitySetting, RegionFailover};

/// Ranks by locality: of subzone, zone, region, the region to go to, all others.
const BY_LOCALITY: usize = 5;

/// Which endpoints go first, for a caller in one place. The default has no preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    own: Place,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// `LoadBalancing.Scope` numbers, most specific last.
    Scopes { scopes: Vec<i32>, strict: bool },
    /// One rank after the other.
    Failover(Failover),
    /// A rank for each part, the first that an endpoint is of; those of no part get nothing.
    Distribute(Vec<Part>),
}

impl Default for Rule {
    fn default() -> Self {
        Self::Scopes {
            scopes: Vec::new(),
            strict: false,
        }
    }
}

/// By labels, and among endpoints that are equal by these, by locality.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failover {
    /// Keys with the values that endpoints shall have, the most important first.
    labels: Vec<(Arc<str>, Arc<str>)>,
    by_locality: bool,
    /// The region that goes before others that are not the caller's.
    to: Option<Arc<str>>,
}

/// Where a part of the requests goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    to: Pattern,
    weight: u64,
}

impl Preference {
    /// What a service prefers, for a caller in this place.
    pub fn new(balancing: &LoadBalancing, own: Place) -> Self {
        let strict = match balancing.mode {
            LoadBalancingMode::Strict => true,
            LoadBalancingMode::Failover => false,
            LoadBalancingMode::Unspecified | LoadBalancingMode::Passthrough => {
                return Self::default();
            }
        };
        let rule = Rule::Scopes {
            scopes: balancing.routing_preference.clone(),
            strict,
        };
        Self { own, rule }
    }

    /// What a DestinationRule prefers, for a caller in this place.
    pub fn by_locality(setting: &LocalitySetting, own: Place) -> Self {
        if setting.disabled {
            return Self::default();
        }
        let rule = if setting.distribute.is_empty() {
            Rule::Failover(setting.failover_for(&own))
        } else {
            match setting.parts_for(&own) {
                Some(parts) => Rule::Distribute(parts),
                None => Rule::default(),
            }
        };
        Self { own, rule }
    }

    /// How many ranks there are.
    pub(crate) fn ranks(&self) -> usize {
        match &self.rule {
            Rule::Scopes { scopes, .. } => scopes.len() + 1,
            Rule::Failover(failover) => failover.ranks(),
            Rule::Distribute(parts) => parts.len(),
        }
    }

    /// How far an endpoint is, 0 being the nearest; `None` if it is none to go to.
    pub(crate) fn rank(&self, place: &Place) -> Option<usize> {
        match &self.rule {
            Rule::Scopes { scopes, strict } => {
                // The scopes that both share count until the first that they do not.
                let is_shared = |scope: &&i32| self.own.shares(**scope, place);
                let rank = scopes.len() - scopes.iter().take_while(is_shared).count();
                (rank == 0 || !strict).then_some(rank)
            }
            Rule::Failover(failover) => Some(failover.rank(&self.own, place)),
            Rule::Distribute(parts) => {
                let rank = parts.iter().position(|part| part.to.has(&place.locality))?;
                (parts.get(rank)?.weight > 0).then_some(rank)
            }
        }
    }

    /// The weights of the ranks, where each gets a part of its own.
    pub(crate) fn weights(&self) -> Option<Vec<u64>> {
        match &self.rule {
            Rule::Distribute(parts) => Some(parts.iter().map(|part| part.weight).collect()),
            Rule::Scopes { .. } | Rule::Failover(_) => None,
        }
    }

    /// Whether a rank is weaker by endpoints that are not ready any more.
    pub(crate) fn minds_illness(&self) -> bool {
        !matches!(self.rule, Rule::Scopes { .. })
    }
}

impl Failover {
    fn ranks(&self) -> usize {
        let by_locality = if self.by_locality { BY_LOCALITY } else { 1 };
        (self.labels.len() + 1) * by_locality
    }

    fn rank(&self, own: &Place, place: &Place) -> usize {
        let has = |(key, value): &&(Arc<str>, Arc<str>)| place.label(key) == &**value;
        let by_labels = self.labels.len() - self.labels.iter().take_while(has).count();
        if !self.by_locality {
            return by_labels;
        }
        let (own, its) = (&own.locality, &place.locality);
        let by_locality = if own.region != its.region {
            let is_before = self.to.as_ref().is_none_or(|to| *to == its.region);
            if is_before { 3 } else { 4 }
        } else if own.zone != its.zone {
            2
        } else {
            usize::from(own.subzone != its.subzone)
        };
        by_labels * BY_LOCALITY + by_locality
    }
}

#[cfg(test)]
mod tests;
