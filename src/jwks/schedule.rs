//! When which source of keys is asked. A machine without I/O.
//!
//! A source is asked as soon as it is wanted, then again and again; after a failure sooner, at first after
//! [`RETRY`]`.0`, with each further one twice as long after, at the most after [`RETRY`]`.1`. Times vary a little,
//! so that replicas do not ask together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::keys::{KeySource, Want, Wanted};

/// How long after a failure, at first and at the most.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Fetches at once for one namespace.
pub(super) const EACH: usize = 2;

/// When which source is asked.
#[derive(Debug)]
pub(super) struct Schedule {
    sources: BTreeMap<KeySource, State>,
    /// Fetches that go on, by the namespace that they count for.
    running: BTreeMap<Arc<str>, usize>,
    /// How often keys are fetched.
    refresh: Duration,
}

#[derive(Debug)]
struct State {
    want: Want,
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
            running: BTreeMap::new(),
            refresh,
        }
    }

    /// Takes in what is wanted now.
    pub(super) fn want(&mut self, wanted: &Wanted, now: Instant) {
        self.sources.retain(|source, _| wanted.contains_key(source));
        for (source, want) in wanted {
            let state = self.sources.entry(source.clone()).or_insert_with(|| State {
                want: want.clone(),
                due: Some(now),
                failures: 0,
            });
            if state.want.patience != want.patience && state.failures > 0 && state.due.is_some() {
                // Perhaps it is long enough now.
                state.due = Some(now);
            }
            state.want.clone_from(want);
        }
    }

    /// When the next one is to be asked, of those that somebody has room for.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = |state: &State| state.due.filter(|_| self.payer(state).is_some());
        self.sources.values().filter_map(due).min()
    }

    /// One that is to be asked now, how long that may take, and the namespace that it counts for until it is
    /// [`Schedule::done`].
    pub(super) fn next(&mut self, now: Instant) -> Option<Ask> {
        let waiting = self.sources.iter().filter_map(|(source, state)| {
            let due = state.due.filter(|due| *due <= now)?;
            Some((due, source, state, self.payer(state)?))
        });
        let (_, source, state, payer) = waiting.min_by_key(|(due, source, ..)| (*due, *source))?;
        let ask = Ask {
            source: source.clone(),
            patience: state.want.patience,
            namespace: Arc::clone(payer),
        };
        *self.running.entry(Arc::clone(&ask.namespace)).or_default() += 1;
        if let Some(state) = self.sources.get_mut(&ask.source) {
            state.due = None;
        }
        Some(ask)
    }

    /// The namespace with the most room, of those that want a source.
    fn payer<'a>(&self, state: &'a State) -> Option<&'a Arc<str>> {
        let running = |namespace: &Arc<str>| self.running.get(namespace).copied().unwrap_or(0);
        let all = state.want.namespaces.iter();
        all.filter(|namespace| running(namespace) < EACH)
            .min_by_key(|namespace| running(namespace))
    }

    /// Notes what came of asking. `random` is from 0 to 1.
    pub(super) fn done(&mut self, ask: &Ask, is_good: bool, now: Instant, random: f64) {
        if let Some(running) = self.running.get_mut(&ask.namespace) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(&ask.namespace);
            }
        }
        let Some(state) = self.sources.get_mut(&ask.source) else {
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

/// A source that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Which one.
    pub(super) source: KeySource,
    /// How long it may take.
    pub(super) patience: Duration,
    /// The namespace that it counts for.
    namespace: Arc<str>,
}

#[cfg(test)]
mod tests;
