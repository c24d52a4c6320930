//! Endpoints, what is counted of them, and the guard that a pick is.
//!
//! What is said of an endpoint is immutable and replaced as a whole. What is counted lies in
//! [`Live`], which an endpoint keeps through all snapshots that it is in. Whatever else an endpoint
//! shall remember from one snapshot to the next has its place there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ambit_model::Health;

use crate::outlier::{Faults, Outcome, Verdict, Watch};
use crate::place::Place;

/// The whole of an endpoint's share, in [`Member::warmth`].
pub(crate) const WARM: u64 = 1 << 16;
/// The part of its share that an endpoint gets at once: it would hardly warm up with less.
const COLDEST: u64 = WARM / 10;

/// An endpoint of a port, as the caller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint<K, T> {
    /// Its name, which it keeps while it lives.
    pub key: K,
    /// What the caller needs to reach it.
    pub payload: T,
    /// Its share of all weights of endpoints that are equally near; 0 is read as 1.
    pub weight: u32,
    /// Where it is.
    pub place: Place,
    /// Whether it may be picked.
    pub health: Health,
}

/// What an endpoint keeps through all snapshots.
#[derive(Debug, Default)]
pub(crate) struct Live {
    outstanding: AtomicU64,
    pub(crate) faults: Faults,
    watch: Arc<Watch>,
}

impl Live {
    /// Of an endpoint that is new to a set.
    pub(crate) fn new(watch: &Arc<Watch>) -> Self {
        Self {
            watch: Arc::clone(watch),
            ..Self::default()
        }
    }
}

/// An endpoint in a set.
#[derive(Debug)]
pub(crate) struct Member<K, T> {
    pub(crate) endpoint: Endpoint<K, T>,
    pub(crate) live: Arc<Live>,
    /// When it joined others that were at work already.
    pub(crate) joined: Option<Instant>,
    /// Whether it is healthy, or was.
    pub(crate) was_well: bool,
}

impl<K, T> Member<K, T> {
    /// Its weight, never 0.
    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.endpoint.weight.max(1))
    }

    /// Requests that are outstanding.
    pub(crate) fn outstanding(&self) -> u64 {
        self.live.outstanding.load(Ordering::Relaxed)
    }

    /// How much of its share it gets by now, of [`WARM`].
    pub(crate) fn warmth(&self, now: Instant, warm_up: Option<Duration>) -> u64 {
        let (Some(joined), Some(warm_up)) = (self.joined, warm_up) else {
            return WARM;
        };
        let passed = now.saturating_duration_since(joined).min(warm_up);
        let part = (passed.as_micros() * u128::from(WARM)).checked_div(warm_up.as_micros());
        let part = part.and_then(|part| u64::try_from(part).ok());
        part.unwrap_or(WARM).max(COLDEST)
    }
}

/// An endpoint that was picked. The request counts as outstanding there until this is dropped.
#[derive(Debug)]
#[must_use = "the request counts as outstanding only while this is kept"]
pub struct Pick<K, T> {
    member: Arc<Member<K, T>>,
}

impl<K, T> Pick<K, T> {
    pub(crate) fn new(member: &Arc<Member<K, T>>) -> Self {
        member.live.outstanding.fetch_add(1, Ordering::Relaxed);
        Self {
            member: Arc::clone(member),
        }
    }

    /// The endpoint, as it was when it was picked.
    pub fn endpoint(&self) -> &Endpoint<K, T> {
        &self.member.endpoint
    }

    /// Notes how a try ended. Seldom that says that the endpoint is an outlier: then it is for
    /// [`EndpointSet::eject`](crate::EndpointSet::eject), of the set that is next put in force.
    pub fn record(&self, outcome: Outcome) -> Option<Verdict<K, T>> {
        let live = &self.member.live;
        let cause = live.faults.record(outcome, &live.watch)?;
        Some(Verdict {
            member: Arc::clone(&self.member),
            cause,
        })
    }
}

impl<K, T> Drop for Pick<K, T> {
    fn drop(&mut self) {
        self.member.live.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
