//! How much there may be at once towards one port of a service, as far as one replica of the waypoint
//! sends it there: connections, requests that wait for one, requests in flight, retries.
//!
//! Each is a number of places. Who asks for one gets a [`Permit`], and the place is free again when
//! that is dropped; or is refused and counted. A place is taken by one atomic step, so that there are
//! never more permits than the limit was when the last of them was granted. Limits change in place:
//! permits that are out stay, and none is granted until there are fewer of them than the new limit.
//! (Envoy looks first and counts then, and lets every endpoint have one connection beyond the limit.
//! Here it is for who asks to go to an endpoint that has a connection, or to give up.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::budget::{RetryBudget, RetryLimits};

/// How much there may be at once; without a number there is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections to all endpoints (Istio's `tcp.maxConnections`).
    pub connections: Option<u32>,
    /// Requests that wait for a connection (`http.http1MaxPendingRequests`, of HTTP/2 too).
    pub pending: Option<u32>,
    /// Requests in flight, waiting ones among them (`http.http2MaxRequests`, of HTTP/1 too).
    pub requests: Option<u32>,
    /// Retries, whatever the number of requests (`http.maxRetries`).
    pub retries: Option<u32>,
    /// The share of the requests that may be retries (`retryBudget`). Where both are said the stricter
    /// one holds; where neither is, the usual share.
    pub retry_share: Option<RetryLimits>,
}

impl PoolLimits {
    fn of_retries(&self) -> RetryLimits {
        match (self.retries, self.retry_share) {
            (Some(most), None) => RetryLimits::at_most(most),
            (most, share) => RetryLimits {
                most,
                ..share.unwrap_or_default()
            },
        }
    }
}

/// What there is at once towards one port of a service.
#[derive(Debug)]
pub struct Pool {
    connections: Arc<Places>,
    pending: Arc<Places>,
    requests: Arc<Places>,
    retries: Arc<RetryBudget>,
}

impl Pool {
    /// A pool with nothing in progress.
    pub fn new(limits: &PoolLimits) -> Self {
        Self {
            connections: Places::new(limits.connections),
            pending: Places::new(limits.pending),
            requests: Places::new(limits.requests),
            retries: Arc::new(RetryBudget::new(limits.of_retries())),
        }
    }

    /// Puts other limits in force.
    pub fn limit(&self, limits: &PoolLimits) {
        self.connections.limit(limits.connections);
        self.pending.limit(limits.pending);
        self.requests.limit(limits.requests);
        self.retries.limit(limits.of_retries());
    }

    /// The same pool, but for connections: those that there are take no place in it. What has been
    /// refused stays counted.
    #[must_use]
    pub fn with_other_connections(&self, most: Option<u32>) -> Self {
        let connections = Places::new(most);
        let refused = self.connections.refused.load(Ordering::Relaxed);
        connections.refused.store(refused, Ordering::Relaxed);
        Self {
            connections,
            pending: Arc::clone(&self.pending),
            requests: Arc::clone(&self.requests),
            retries: Arc::clone(&self.retries),
        }
    }

    /// Asks for a connection, which counts as long as the permit is kept.
    pub fn connection(&self) -> Option<Permit> {
        self.connections.take()
    }

    /// The same for who has asked before, and is not counted again if there is none.
    pub fn connection_again(&self) -> Option<Permit> {
        self.connections.grant()
    }

    /// Asks for a request to wait for a connection.
    pub fn pending(&self) -> Option<Permit> {
        self.pending.take()
    }

    /// Asks for a request to be in flight, through all its tries.
    pub fn request(&self) -> Option<Permit> {
        self.requests.take()
    }

    /// The retries that there may be.
    pub fn retries(&self) -> &Arc<RetryBudget> {
        &self.retries
    }

    /// What there is, and what has been refused since the beginning.
    pub fn counts(&self) -> PoolCounts {
        PoolCounts {
            connections: self.connections.taken.load(Ordering::Relaxed),
            pending: self.pending.taken.load(Ordering::Relaxed),
            requests: self.requests.taken.load(Ordering::Relaxed),
            connection_overflow: self.connections.refused.load(Ordering::Relaxed),
            request_overflow: self.pending.refused.load(Ordering::Relaxed)
                + self.requests.refused.load(Ordering::Relaxed),
            retry_overflow: self.retries.overflow(),
        }
    }
}

/// What there is at a moment, and what has been refused since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Connections.
    pub connections: u64,
    /// Requests that wait for a connection.
    pub pending: u64,
    /// Requests in flight.
    pub requests: u64,
    /// Connections that were refused (Envoy's `upstream_cx_overflow`).
    pub connection_overflow: u64,
    /// Requests that were refused, to wait or to be in flight (`upstream_rq_pending_overflow`).
    pub request_overflow: u64,
    /// Retries that were refused (`upstream_rq_retry_overflow`).
    pub retry_overflow: u64,
}

/// A number of places.
#[derive(Debug)]
struct Places {
    /// `u64::MAX` where there is no bound.
    limit: AtomicU64,
    taken: AtomicU64,
    refused: AtomicU64,
}

impl Places {
    fn new(limit: Option<u32>) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(number(limit)),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    fn limit(&self, limit: Option<u32>) {
        self.limit.store(number(limit), Ordering::Relaxed);
    }

    fn take(self: &Arc<Self>) -> Option<Permit> {
        let granted = self.grant();
        if granted.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        granted
    }

    fn grant(self: &Arc<Self>) -> Option<Permit> {
        let one_more = |taken| (taken < self.limit.load(Ordering::Relaxed)).then_some(taken + 1);
        let granted = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        granted.ok().map(|_| Permit(Arc::clone(self)))
    }
}

fn number(limit: Option<u32>) -> u64 {
    limit.map_or(u64::MAX, u64::from)
}

/// A place, free again when this is dropped.
#[derive(Debug)]
#[must_use = "the place is taken only while this is kept"]
pub struct Permit(Arc<Places>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
