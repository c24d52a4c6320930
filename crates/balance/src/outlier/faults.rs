//! Failures in a row, counted by many threads at once.
//!
//! A failure is one atomic step, a success a read. The thread that completes the row begins the next
//! one, so that each row gives one verdict however many threads count.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use ambit_model::OutlierPolicy;

use super::{Cause, NEVER, Outcome};

/// What is watched for at all endpoints of a set, and what came of it. All snapshots share it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    consecutive_5xx: AtomicU32,
    consecutive_gateway: AtomicU32,
    consecutive_local_origin: AtomicU32,
    split_local_origin: AtomicBool,
    pub(crate) enforced: AtomicU64,
    pub(crate) overflow: AtomicU64,
}

impl Watch {
    /// Watches for what the settings say; for nothing without any.
    pub(crate) fn set(&self, settings: Option<&OutlierPolicy>) {
        let settings = settings.unwrap_or(&NEVER);
        let put = |to: &AtomicU32, number| to.store(number, Ordering::Relaxed);
        put(&self.consecutive_5xx, settings.consecutive_5xx);
        put(&self.consecutive_gateway, settings.consecutive_gateway);
        put(
            &self.consecutive_local_origin,
            settings.consecutive_local_origin,
        );
        self.split_local_origin
            .store(settings.split_local_origin, Ordering::Relaxed);
    }
}

/// Failures in a row at one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    of_5xx: AtomicU32,
    of_gateway: AtomicU32,
    of_local_origin: AtomicU32,
}

impl Faults {
    /// Takes an outcome in; says whether the endpoint is an outlier by that.
    pub(crate) fn record(&self, outcome: Outcome, watch: &Watch) -> Option<Cause> {
        if watch.split_local_origin.load(Ordering::Relaxed) {
            if outcome.is_local() {
                return completes(&self.of_local_origin, &watch.consecutive_local_origin)
                    .then_some(Cause::ConsecutiveLocalOrigin);
            }
            clear(&self.of_local_origin);
            // That there is a connection says nothing of the answers.
            if outcome == Outcome::Connected {
                return None;
            }
        }
        self.record_status(outcome.status(), watch)
    }

    fn record_status(&self, status: u16, watch: &Watch) -> Option<Cause> {
        let is_gateway = matches!(status, 502..=504);
        let by_gateway = is_gateway && completes(&self.of_gateway, &watch.consecutive_gateway);
        if !is_gateway {
            clear(&self.of_gateway);
        }
        let is_5xx = matches!(status, 500..=599);
        let by_5xx = is_5xx && completes(&self.of_5xx, &watch.consecutive_5xx);
        if !is_5xx {
            clear(&self.of_5xx);
        }
        match (by_gateway, by_5xx) {
            (true, _) => Some(Cause::ConsecutiveGateway),
            (false, true) => Some(Cause::Consecutive5xx),
            (false, false) => None,
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        clear(&self.of_5xx);
        clear(&self.of_gateway);
        clear(&self.of_local_origin);
    }
}

/// Counts one more failure; says whether that makes a row of them, in which case another begins.
fn completes(count: &AtomicU32, row: &AtomicU32) -> bool {
    let row = row.load(Ordering::Relaxed);
    if row == 0 {
        return false;
    }
    let is_last = |before: u32| before >= row - 1;
    let one_more = |before| Some(if is_last(before) { 0 } else { before + 1 });
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
        .is_ok_and(is_last)
}

/// A row that is broken. Mostly there is none, and then nothing is written.
fn clear(count: &AtomicU32) {
    if count.load(Ordering::Relaxed) != 0 {
        count.store(0, Ordering::Relaxed);
    }
}
