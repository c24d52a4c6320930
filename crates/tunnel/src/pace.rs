//! Spreads the resets that we send on one connection.
//!
//! A peer takes too many resets for an attack and ends the connection ([`guard`]), with the streams
//! of everybody who shares it. So while few streams are given up each is reset at once; of many, the
//! later ones wait for their turn. Until then such a stream keeps its place, so that others go to
//! another connection; what still comes for it is thrown away; and if its far end has ended by then,
//! there is nothing left to reset.
//!
//! [`guard`]: crate::guard

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Time between two resets in the long run: half as many as a guard lets pass.
const EACH: Duration = Duration::from_millis(4);
/// So many may go at once: half of what a guard lets pass.
const BURST: u32 = 1000;

/// The resets of one connection.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the last one would have gone, had all been [`EACH`] apart.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// When one more reset may go: now, or later.
    pub(crate) fn turn(&self, now: Instant) -> Instant {
        let mut due = self.due.lock();
        let next = due.map_or(now, |due| due.max(now)) + EACH;
        *due = Some(next);
        let early = next.checked_sub(EACH * BURST);
        early.map_or(now, |turn| turn.max(now))
    }
}

#[cfg(test)]
mod tests;
