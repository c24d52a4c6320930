//! How many records and sockets a proxy may ask for: a token bucket, told what time it is.

use std::time::{Duration, Instant};

/// Millionths in a token.
const MICRO: u64 = 1_000_000;

/// A bucket that fills at a steady rate up to a limit.
#[derive(Debug)]
pub(crate) struct Allowance {
    per_second: u32,
    limit: u32,
    /// Millionths of a token: what one microsecond brings is a whole number of them.
    micro: u64,
    filled: Instant,
}

impl Allowance {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, limit: u32, now: Instant) -> Self {
        Self {
            per_second,
            limit,
            micro: u64::from(limit) * MICRO,
            filled: now,
        }
    }

    /// Takes `count` tokens; all or none.
    pub(crate) fn take(&mut self, count: u32, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_micros();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let gained = elapsed.saturating_mul(u64::from(self.per_second));
        self.micro = self
            .micro
            .saturating_add(gained)
            .min(u64::from(self.limit) * MICRO);
        // Not `now`: what is less than a microsecond counts next time.
        self.filled += Duration::from_micros(elapsed);
        let wanted = u64::from(count) * MICRO;
        let granted = self.micro >= wanted;
        if granted {
            self.micro -= wanted;
        }
        granted
    }
}

#[cfg(test)]
mod tests;
