//! Which group of endpoints a request goes to first.
//!
//! The nearest has all as long as it can take that, by Envoy's reckoning: a group is thought to have
//! 40 percent more endpoints than it needs, so its strength is the part of its endpoints that are
//! left, times 1.4, and no more than 1. What exceeds that goes on to the next group, and so on.
//! Where all together are too weak for everything, each has its part of that.
//!
//! Where groups have weights of their own, each has requests by weight and strength.
//!
//! By hash no chance decides: the same hash leads to the same group as long as its strength is the
//! same, and as that changes, few go elsewhere.

use std::sync::Arc;

use crate::random::Random;

/// All requests, and the strength of a group that can take them.
const ALL: u64 = 10_000;
/// What a group can take if none of its endpoints is lost.
const STRONGEST: u64 = 14_000;
/// Keeps the choice of a group apart from choices within it.
const SALT: u64 = 0x6a09_e667_f3bc_c908;

/// What each group gets of the requests.
#[derive(Clone, Debug, Default)]
pub(crate) enum Spread {
    /// The nearest group gets all.
    #[default]
    Nearest,
    /// Of [`ALL`], group by group.
    Parts(Arc<[u64]>),
    /// The same, of groups that are not nearer than each other.
    Weights(Arc<[u64]>),
}

/// Endpoints of a group that may be picked, and all that could if none were lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strength {
    pub(crate) left: usize,
    pub(crate) all: usize,
}

impl Strength {
    fn of_all(self) -> u64 {
        let number = |count| u128::try_from(count).unwrap_or(u128::MAX);
        let strength = (number(self.left) * u128::from(STRONGEST)).checked_div(number(self.all));
        let strength = strength.and_then(|strength| u64::try_from(strength).ok());
        strength.unwrap_or_default().min(ALL)
    }
}

impl Spread {
    /// Of groups, the nearest first.
    pub(crate) fn nearest_first(groups: impl Iterator<Item = Strength>) -> Self {
        let strengths: Vec<_> = groups.map(Strength::of_all).collect();
        let parts = parts(&strengths);
        let nearest = parts.iter().find(|part| **part > 0);
        if nearest.is_none_or(|nearest| *nearest == ALL) {
            return Self::Nearest;
        }
        Self::Parts(parts.into())
    }

    /// Of groups with weights.
    pub(crate) fn by_weight(groups: impl Iterator<Item = Strength>, weights: &[u64]) -> Self {
        let groups = groups.zip(weights);
        Self::Weights(groups.map(|(s, weight)| s.of_all() * weight).collect())
    }

    /// The group for a request, by its hash, or a random number where it has none. None if it is the
    /// nearest.
    pub(crate) fn first(&self, hash: Option<u64>, random: u64) -> Option<usize> {
        match (self, hash) {
            (Self::Nearest, _) => None,
            (Self::Weights(weights), Some(hash)) => soonest(weights, hash),
            (Self::Parts(parts) | Self::Weights(parts), _) => {
                let number = hash.unwrap_or(random);
                let mut rest = Random::new(number ^ SALT).below(parts.iter().sum());
                parts.iter().position(|part| {
                    let is_here = rest < *part;
                    rest = rest.saturating_sub(*part);
                    is_here
                })
            }
        }
    }
}

/// What groups of these strengths get, one after the other.
fn parts(strengths: &[u64]) -> Vec<u64> {
    let together = strengths.iter().sum::<u64>().min(ALL);
    let mut rest = ALL;
    let part = |strength: &u64| {
        let part = (strength * ALL).checked_div(together).unwrap_or_default();
        let part = part.min(rest);
        rest -= part;
        part
    };
    let mut parts: Vec<_> = strengths.iter().map(part).collect();
    // What is lost by rounding.
    if let Some(first) = parts.iter_mut().find(|part| **part > 0) {
        *first += rest;
    }
    parts
}

/// The group that a hash leads to: each draws a time to wait, the shorter the more weight it has, and
/// the first has it. When weights change, only hashes to or from those groups lead elsewhere.
fn soonest(weights: &[u64], hash: u64) -> Option<usize> {
    let mut numbers = Random::new(hash ^ SALT);
    let waits = weights.iter().enumerate().map(|(group, weight)| {
        let drawn = u32::try_from(numbers.any() >> 32).unwrap_or(u32::MAX);
        let wait = -((f64::from(drawn) + 0.5) / (f64::from(u32::MAX) + 1.0)).ln();
        (wait / *weight as f64, group, *weight)
    });
    let waits = waits.filter(|(_, _, weight)| *weight > 0);
    let first = waits.min_by(|(a, ..), (b, ..)| a.total_cmp(b));
    first.map(|(_, group, _)| group)
}

#[cfg(test)]
mod tests;
