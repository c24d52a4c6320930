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
    /// However many are, if that is said; it goes before the others.
    pub most: Option<u32>,
}

impl RetryLimits {
    /// So many, however many requests are in progress.
    pub fn at_most(retries: u32) -> Self {
        Self {
            percent: 0,
            minimum: retries,
            most: None,
        }
    }

    /// The first two as one number, so that both change at once.
    fn packed(self) -> u64 {
        u64::from(self.percent) << 32 | u64::from(self.minimum)
    }

    fn cap(self) -> u64 {
        self.most.map_or(u64::MAX, u64::from)
    }

    /// How many there may be beside so many requests.
    fn most(packed: u64, requests: u64) -> u64 {
        let (percent, minimum) = (packed >> 32, packed & u64::from(u32::MAX));
        (requests.saturating_mul(percent) / 100).max(minimum)
    }
}

impl Default for RetryLimits {
    /// Envoy's retry budget.
    fn default() -> Self {
        Self {
            percent: 20,
            minimum: 3,
            most: None,
        }
    }
}

/// Counts requests and retries in progress, of one service for instance.
#[derive(Debug)]
pub struct RetryBudget {
    /// See [`RetryLimits::packed`].
    limits: AtomicU64,
    most: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    refused: AtomicU64,
}

impl RetryBudget {
    /// A budget with nothing in progress.
    pub fn new(limits: RetryLimits) -> Self {
        Self {
            limits: AtomicU64::new(limits.packed()),
            most: AtomicU64::new(limits.cap()),
            requests: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Puts other limits in force. Retries that were granted stay.
    pub fn limit(&self, limits: RetryLimits) {
        self.limits.store(limits.packed(), Ordering::Relaxed);
        self.most.store(limits.cap(), Ordering::Relaxed);
    }

    /// How many retries have been refused.
    pub fn overflow(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts a request until what this gives is dropped, through all its tries.
    pub fn request(self: &Arc<Self>) -> ActiveRequest {
        self.requests.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// Asks for a retry, which counts until what this gives is dropped: before the wait for it, and
    /// to the end of the try. `None` says that it must not be.
    pub fn retry(self: &Arc<Self>) -> Option<ActiveRetry> {
        let requests = self.requests.load(Ordering::Relaxed);
        let one_more = |retries: u64| {
            let most = RetryLimits::most(self.limits.load(Ordering::Relaxed), requests);
            let most = most.min(self.most.load(Ordering::Relaxed));
            (retries < most).then_some(retries + 1)
        };
        let granted = self
            .retries
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if granted.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(ActiveRetry(Arc::clone(self)))
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(RetryLimits::default())
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
