//! Where endpoints are, and which of them are near: the ranks that a set is grouped by.

use std::sync::Arc;

use ambit_model::{LoadBalancing, Locality, Workload};

/// `LoadBalancing.Mode`: only endpoints that share every preferred scope.
const STRICT: i32 = 1;
/// `LoadBalancing.Mode`: the endpoints that share the most.
const FAILOVER: i32 = 2;

/// Where a workload runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Region, zone and subzone of the node.
    pub locality: Locality,
    /// Name of the node.
    pub node: Arc<str>,
    /// Name of the cluster.
    pub cluster: Arc<str>,
    /// Network of its addresses.
    pub network: Arc<str>,
}

impl Place {
    /// Where this workload runs.
    pub fn of(workload: &Workload) -> Self {
        Self {
            locality: workload.locality.clone(),
            node: Arc::clone(&workload.node),
            cluster: Arc::clone(&workload.cluster),
            network: Arc::clone(&workload.network),
        }
    }

    /// Whether both are in the same place of this `LoadBalancing.Scope`. A scope that is not known
    /// is never shared.
    fn shares(&self, scope: i32, other: &Self) -> bool {
        match scope {
            1 => self.locality.region == other.locality.region,
            2 => self.locality.zone == other.locality.zone,
            3 => self.locality.subzone == other.locality.subzone,
            4 => self.node == other.node,
            5 => self.cluster == other.cluster,
            6 => self.network == other.network,
            _ => false,
        }
    }
}

/// Which endpoints go first, for a caller in one place. The default has no preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    own: Place,
    /// `LoadBalancing.Scope` numbers, most specific last.
    scopes: Vec<i32>,
    strict: bool,
}

impl Preference {
    /// What a service prefers, for a caller in this place.
    pub fn new(balancing: &LoadBalancing, own: Place) -> Self {
        if !matches!(balancing.mode, STRICT | FAILOVER) {
            return Self::default();
        }
        Self {
            own,
            scopes: balancing.routing_preference.clone(),
            strict: balancing.mode == STRICT,
        }
    }

    /// How many ranks there are.
    pub(crate) fn ranks(&self) -> usize {
        self.scopes.len() + 1
    }

    /// How far an endpoint is, 0 being the nearest; `None` if the service insists on nearer ones.
    /// The scopes that both share count until the first that they do not.
    pub(crate) fn rank(&self, place: &Place) -> Option<usize> {
        let shared = self
            .scopes
            .iter()
            .take_while(|scope| self.own.shares(**scope, place))
            .count();
        let rank = self.scopes.len() - shared;
        (rank == 0 || !self.strict).then_some(rank)
    }
}

#[cfg(test)]
mod tests;
