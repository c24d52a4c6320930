//! A choice among a few things by weight, such as the backends of a route.

use crate::random::part_of;

/// A choice by weight. It is made once and then asked for every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightedChoice {
    /// The sum of the weights up to each one, with it.
    sums: Vec<u64>,
}

impl WeightedChoice {
    /// A choice among as many things as there are weights; a weight of 0 is never chosen.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let mut total = 0;
        let sums = weights.into_iter().map(|weight| {
            total += u64::from(weight);
            total
        });
        Self {
            sums: sums.collect(),
        }
    }

    /// The index of one of them, by a random number; none if no weight is above 0.
    pub fn pick(&self, random: u64) -> Option<usize> {
        let total = *self.sums.last()?;
        let position = part_of(total, random);
        (total > 0).then(|| self.sums.partition_point(|sum| *sum <= position))
    }
}

#[cfg(test)]
mod tests;
