//! When which source of keys is asked. A machine without I/O.
//!
//! A source is asked as soon as it is wanted, then again and again; after a failure sooner, at first after
//! [`RETRY`]`.0`, with each further one twice as long after, at the most after [`RETRY`]`.1`. Times vary a little,
//! so that replicas do not ask together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::keys::{KeySource, Wanted};

/// How long after a failure, at first and at the most.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// When which source is asked.
#[derive(Debug)]
pub(super) struct Schedule {
    sources: BTreeMap<KeySource, State>,
    /// How often keys are fetched.
    refresh: Duration,
}

#[derive(Debug)]
struct State {
    patience: Duration,
    /// None while it is asked.
    due: Option<Instant>,
    /// How often it has failed since it was good.
    failures: u32,
}

impl Schedule {
    /// Nothing is wanted yet.
    pub(super) fn new(refresh: Duration) -> Self {
        Self {
            sources: BTreeMap::new(),
            refresh,
        }
    }

    /// Takes in what is wanted now.
    pub(super) fn want(&mut self, wanted: &Wanted, now: Instant) {
        self.sources.retain(|source, _| wanted.contains_key(source));
        for (source, patience) in wanted {
            let state = self.sources.entry(source.clone()).or_insert(State {
                patience: *patience,
                due: Some(now),
                failures: 0,
            });
            if state.patience != *patience && state.failures > 0 && state.due.is_some() {
                // Perhaps it is long enough now.
                state.due = Some(now);
            }
            state.patience = *patience;
        }
    }

    /// When the next one is to be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.sources.values().filter_map(|state| state.due).min()
    }

    /// One that is to be asked now, and how long it may take. It counts as being asked.
    pub(super) fn next(&mut self, now: Instant) -> Option<(KeySource, Duration)> {
        let due = |state: &State| state.due.filter(|due| *due <= now);
        let waiting = self.sources.iter_mut().filter_map(|(source, state)| {
            let due = due(state)?;
            Some((due, source, state))
        });
        let (_, source, state) = waiting.min_by_key(|(due, source, _)| (*due, *source))?;
        state.due = None;
        Some((source.clone(), state.patience))
    }

    /// Notes what came of asking. `random` is from 0 to 1.
    pub(super) fn done(&mut self, source: &KeySource, is_good: bool, now: Instant, random: f64) {
        let Some(state) = self.sources.get_mut(source) else {
            return;
        };
        let wait = if is_good {
            state.failures = 0;
            self.refresh
        } else {
            let (first, most) = RETRY;
            let doubled = 1_u32.checked_shl(state.failures.min(16)).unwrap_or(1);
            state.failures = state.failures.saturating_add(1);
            first.saturating_mul(doubled).min(most).min(self.refresh)
        };
        state.due = Some(now + wait.mul_f64(random.clamp(0.0, 1.0).mul_add(0.2, 0.8)));
    }
}

#[cfg(test)]
mod tests;
