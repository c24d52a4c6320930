//! When to start a child again that ended by itself: at once, unless it keeps ending quickly.
//!
//! A machine without clock: the caller says how long the child lived.

use std::time::Duration;

/// A child that lived this long was well; what ended it is new.
const WELL: Duration = Duration::from_secs(10);
/// Quick deaths in a row that are answered at once: a crash is often followed by a kill.
const AT_ONCE: u32 = 3;
/// First pause after those; doubled every further time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Counts quick deaths in a row.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    quick: u32,
}

impl Restarts {
    /// The child ended after `lived`: how long to wait before the next start.
    pub(crate) fn pause_after(&mut self, lived: Duration) -> Duration {
        if lived >= WELL {
            self.quick = 0;
        }
        self.quick = self.quick.saturating_add(1);
        if self.quick <= AT_ONCE {
            return Duration::ZERO;
        }
        let doublings = (self.quick - AT_ONCE - 1).min(16);
        FIRST_PAUSE
            .saturating_mul(1 << doublings)
            .min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests;
