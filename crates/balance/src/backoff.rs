//! How long a request waits before it is tried again.

use std::time::Duration;

use crate::random::part_of;

/// A wait that grows with every try and is spread at random, as Envoy's fully jittered back-off:
/// up to `base` before the first retry, twice that before the second, and so on up to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Part of the wait that is not spread.
    pub least: Duration,
    /// Bound of the first wait.
    pub base: Duration,
    /// Bound of all.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            least: Duration::ZERO,
            base: Duration::from_millis(25),
            longest: Duration::from_millis(250),
        }
    }
}

impl Backoff {
    /// Waits that are never shorter than this, as the Gateway API has it: a first one of up to
    /// twice that, and later ones of up to ten times that.
    pub fn at_least(least: Duration) -> Self {
        Self {
            least,
            base: least.saturating_mul(2),
            longest: least.saturating_mul(10),
        }
    }

    /// The wait before a retry, the first being number 1; by a random number.
    pub fn wait(&self, retry: u32, random: u64) -> Duration {
        let doublings = 1_u32.checked_shl(retry.saturating_sub(1));
        let bound = self.base.saturating_mul(doublings.unwrap_or(u32::MAX));
        let spread = bound.min(self.longest).saturating_sub(self.least);
        let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
        self.least
            .saturating_add(Duration::from_nanos(part_of(nanos, random)))
    }
}

#[cfg(test)]
mod tests;
