//! How the endpoints of a port are balanced.

use std::time::Duration;

use ambit_model::{LoadBalancing, OutlierPolicy};

use crate::place::Place;
use crate::preference::Preference;

/// How the endpoints of a port are balanced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which of the endpoints that are equally near.
    pub algorithm: Algorithm,
    /// Which endpoints are near.
    pub preference: Preference,
    /// True if unhealthy endpoints may be picked.
    pub allow_unhealthy: bool,
    /// How long an endpoint that joins others at work gets less than its share. It has no effect
    /// where a hash decides.
    pub warm_up: Option<Duration>,
    /// When endpoints that fail are ejected; never without this.
    pub outliers: Option<OutlierPolicy>,
}

impl Settings {
    /// What a service asks for, for a caller in this place; otherwise the defaults.
    pub fn of(balancing: &LoadBalancing, own: Place) -> Self {
        Self {
            preference: Preference::new(balancing, own),
            allow_unhealthy: balancing.allow_unhealthy,
            ..Self::default()
        }
    }
}

/// Which of several endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Of two that are drawn by weight, the one with fewer outstanding requests for its weight.
    #[default]
    LeastRequest,
    /// Each in turn, by weight.
    RoundRobin,
    /// Any, by weight.
    Random,
    /// The one that a hash leads to.
    Hash(Hashing),
}

/// How a hash leads to an endpoint. As endpoints come and go, few hashes lead elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hashing {
    /// On a ring.
    Ring {
        /// Points that the ring has at least; more than [`Hashing::LARGEST_RING`] are not asked for.
        /// Few endpoints have as many each, so that a ring is larger than that, but hardly changes.
        size: usize,
    },
    /// In a table: quicker and more even than a ring, but a few more hashes lead elsewhere.
    Maglev {
        /// Entries of the table; raised to a prime number, of [`Hashing::LARGEST_TABLE`] at most.
        size: usize,
    },
}

impl Hashing {
    /// A ring of Envoy's default size.
    pub const RING: Self = Self::Ring { size: 1024 };
    /// A table of Envoy's default size.
    pub const MAGLEV: Self = Self::Maglev { size: 65_537 };
    /// As large as a ring can be asked to be.
    pub const LARGEST_RING: usize = 1 << 20;
    /// As large as a table can be, a prime number: Envoy's limit.
    pub const LARGEST_TABLE: usize = 5_000_011;
}
