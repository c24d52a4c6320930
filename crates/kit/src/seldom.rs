//! Lines of a log that strangers could cause without end: each is counted, few are written.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock;

/// The pause between two of them.
const PAUSE: Duration = Duration::from_secs(1);

/// Says when a line is due.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the next one may be written.
    next: Option<Instant>,
    /// How many were not.
    kept_back: u64,
}

impl Seldom {
    /// Whether to write one now: then, how many were left out since the last one.
    pub fn due(&self) -> Option<u64> {
        self.due_at(clock::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        if state.next.is_some_and(|next| now < next) {
            state.kept_back = state.kept_back.saturating_add(1);
            return None;
        }
        state.next = Some(now + PAUSE);
        Some(std::mem::take(&mut state.kept_back))
    }
}

#[cfg(test)]
mod tests;
