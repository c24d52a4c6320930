//! A ring of hashes: every endpoint has points on it by its weight, and a hash leads to the
//! endpoint of the next point.

use super::Entrant;
use crate::random::Random;
use crate::settings::Hashing;

/// Points in their order, with slots.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(super) points: Vec<(u64, usize)>,
}

impl Ring {
    /// A ring of at least so many points.
    pub(super) fn new(size: usize, entrants: &[Entrant]) -> Self {
        let density = Density::new(size.min(Hashing::LARGEST_RING), entrants);
        let points = entrants.iter().flat_map(|entrant| {
            let mut numbers = Random::new(entrant.hash);
            (0..density.points(entrant.weight)).map(move |_| (numbers.any(), entrant.slot))
        });
        let mut points: Vec<_> = points.collect();
        points.sort_unstable();
        Self { points }
    }

    pub(super) fn slot(&self, hash: u64) -> Option<usize> {
        let next = self.points.partition_point(|(point, _)| *point < hash);
        let point = self.points.get(next).or_else(|| self.points.first());
        point.map(|(_, slot)| *slot)
    }
}

/// Points for a unit of weight, a power of two: as endpoints come and go it seldom changes, and
/// with it none of the points that the others have.
enum Density {
    /// So many points each, as a power of two.
    Points(u32),
    /// One point for so many units, as a power of two.
    Units(u32),
}

impl Density {
    fn new(size: usize, entrants: &[Entrant]) -> Self {
        let total: u64 = entrants.iter().map(|entrant| entrant.weight).sum();
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        match size.div_ceil(total.max(1)) {
            each @ 2.. => Self::Points(each.next_power_of_two().ilog2()),
            _ => Self::Units((total / size.max(1)).checked_ilog2().unwrap_or_default()),
        }
    }

    /// The number of points for a weight; at least one, lest an endpoint gets nothing.
    fn points(&self, weight: u64) -> u64 {
        match self {
            Self::Points(power) => weight << power,
            Self::Units(power) => (weight >> power).max(1),
        }
    }
}
