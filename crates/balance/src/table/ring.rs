//! A ring of hashes: every endpoint has points on it by its weight, and a hash leads to the
//! endpoint of the next point.
//!
//! An endpoint's points are the first of an order of its own, and how many of them it has hardly
//! depends on the other endpoints: as some come and go, nearly all points of the others stay where
//! they are.

use super::Entrant;
use crate::random::Random;
use crate::settings::Hashing;

/// Up to so many points every endpoint of average weight has as many as were asked for of the
/// whole ring, however many endpoints there are; a larger ring has less for each.
const ROOMY: u64 = 1 << 16;

/// Points in their order, with slots.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(super) points: Vec<(u64, usize)>,
}

impl Ring {
    /// A ring of at least so many points.
    pub(super) fn new(size: usize, entrants: &[Entrant]) -> Self {
        let density = Density::new(size.clamp(1, Hashing::LARGEST_RING), entrants);
        let points = entrants.iter().flat_map(|entrant| {
            let mut numbers = Random::new(entrant.hash);
            (0..density.points(entrant.weight)).map(move |_| (numbers.any(), entrant.slot))
        });
        let mut points: Vec<_> = points.collect();
        points.sort_unstable();
        Self { points }
    }

    /// The point that a hash leads to.
    pub(super) fn position(&self, hash: u64) -> usize {
        let next = self.points.partition_point(|(point, _)| *point < hash);
        if next < self.points.len() { next } else { 0 }
    }
}

/// How many points there are for a weight: so many for all endpoints, and each its part of them.
struct Density {
    points: u128,
    total: u128,
}

impl Density {
    fn new(size: usize, entrants: &[Entrant]) -> Self {
        let total: u64 = entrants.iter().map(|entrant| entrant.weight).sum();
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let count = u64::try_from(entrants.len()).unwrap_or(u64::MAX).max(1);
        let each = size.min(ROOMY.max(size).div_ceil(count));
        Self {
            points: u128::from(count) * u128::from(each),
            total: u128::from(total.max(1)),
        }
    }

    /// The number of points for a weight; at least one, lest an endpoint gets nothing.
    fn points(&self, weight: u64) -> u64 {
        let points = (u128::from(weight) * self.points).div_ceil(self.total);
        u64::try_from(points).unwrap_or(u64::MAX).max(1)
    }
}
