//! How many retries there may be at once: a share of the requests in progress, so that retries do
//! not multiply the load of a service that fails all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many retries there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimits {
    /// For each hundred requests in progress.
    pub percent: u32,
    /// However few requests are in progress.
    pub minimum: u32,
}

impl Default for RetryLimits {
    /// Envoy's retry budget.
    fn default() -> Self {
        Self {
            percent: 20,
            minimum: 3,
        }
    }
}

/// Counts requests and retries in progress, of one service for instance.
#[derive(Debug, Default)]
pub struct RetryBudget {
    limits: RetryLimits,
    requests: AtomicU64,
    retries: AtomicU64,
}

impl RetryBudget {
    /// A budget with nothing in progress.
    pub fn new(limits: RetryLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Counts a request until what this gives is dropped, through all its tries.
    pub fn request(self: &Arc<Self>) -> ActiveRequest {
        self.requests.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// Asks for a retry, which counts until what this gives is dropped: before the wait for it, and
    /// to the end of the try. `None` says that it must not be.
    pub fn retry(self: &Arc<Self>) -> Option<ActiveRetry> {
        let share = self.requests.load(Ordering::Relaxed) * u64::from(self.limits.percent) / 100;
        let most = share.max(u64::from(self.limits.minimum));
        let one_more = |retries: u64| (retries < most).then_some(retries + 1);
        let granted = self
            .retries
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        granted.is_ok().then(|| ActiveRetry(Arc::clone(self)))
    }
}

/// A request in progress.
#[derive(Debug)]
#[must_use = "the request counts only while this is kept"]
pub struct ActiveRequest(Arc<RetryBudget>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A retry in progress.
#[derive(Debug)]
#[must_use = "the retry counts only while this is kept"]
pub struct ActiveRetry(Arc<RetryBudget>);

impl Drop for ActiveRetry {
    fn drop(&mut self) {
        self.0.retries.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
