//! A traffic policy in the words of those who follow it.

use ambit_balance::{
    Algorithm, Distribute, Hashing, LocalitySetting, Place, PoolLimits, Preference, RegionFailover,
    RetryLimits, Settings,
};
use ambit_model::{
    Balancing, ConnectionPolicy, HashTable, LoadBalancingMode, LocalityPolicy, Service,
    TrafficPolicy,
};

/// Largest ring and table that are made: each subset of each port has one of its own, and who writes a
/// rule is not who pays for the memory.
const LARGEST: (u32, u32) = (1 << 16, 131_071);

/// How endpoints are picked.
pub(super) fn of(service: &Service, policy: &TrafficPolicy, place: &Place) -> Settings {
    let settings = Settings::of(&service.load_balancing, place.clone());
    let locality = policy.locality.as_ref();
    Settings {
        algorithm: policy
            .balancing
            .as_ref()
            .map_or(settings.algorithm, algorithm),
        preference: match locality.filter(|given| decides(service, given)) {
            Some(given) => Preference::by_locality(&setting(given), place.clone()),
            None => settings.preference,
        },
        warm_up: policy.warm_up,
        outliers: policy.outliers.clone(),
        ..settings
    }
}

/// Whether a policy decides who is near: never beyond a service that keeps to one place, and not by
/// saying nothing where the service says something.
fn decides(service: &Service, given: &LocalityPolicy) -> bool {
    let own = &service.load_balancing;
    let says_something = *given != LocalityPolicy::default();
    own.mode != LoadBalancingMode::Strict && (says_something || own.routing_preference.is_empty())
}

fn algorithm(balancing: &Balancing) -> Algorithm {
    match balancing {
        Balancing::LeastRequest => Algorithm::LeastRequest,
        Balancing::RoundRobin => Algorithm::RoundRobin,
        Balancing::Random => Algorithm::Random,
        Balancing::Hash(hash) => Algorithm::Hash(match hash.table {
            HashTable::Ring(size) => Hashing::Ring {
                size: size.min(LARGEST.0) as usize,
            },
            HashTable::Maglev(size) => Hashing::Maglev {
                size: size.min(LARGEST.1) as usize,
            },
        }),
    }
}

fn setting(given: &LocalityPolicy) -> LocalitySetting {
    let distribute = given.distribute.iter().map(|(from, to)| Distribute {
        from: from.to_string(),
        to: to
            .iter()
            .map(|(to, weight)| (to.to_string(), *weight))
            .collect(),
    });
    let failover = given.failover.iter().map(|(from, to)| RegionFailover {
        from: from.to_string(),
        to: to.to_string(),
    });
    LocalitySetting {
        disabled: given.disabled,
        distribute: distribute.collect(),
        failover: failover.collect(),
        failover_priority: given.priority.iter().map(ToString::to_string).collect(),
    }
}

/// Requests that wait for a connection, where nobody says how many may.
const PENDING: u32 = 1024;

/// How much there may be at once.
pub(super) fn limits(given: &ConnectionPolicy) -> PoolLimits {
    let share = given.retry_share.map(|share| RetryLimits {
        percent: share.percent,
        minimum: share.minimum,
        most: None,
    });
    PoolLimits {
        connections: given.connections,
        // Where connections are bounded requests wait for them, as many as with Envoy.
        pending: given.pending.or_else(|| given.connections.map(|_| PENDING)),
        requests: given.requests,
        retries: given.retries,
        retry_share: share,
    }
}
