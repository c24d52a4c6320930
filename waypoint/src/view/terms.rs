//! The terms on which requests go to a cluster, and what there is at once towards it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambit_balance::{ActiveRequest, ActiveRetry, Permit, Pool};
use ambit_model::{OutsideTls, TrafficPolicy};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{ClusterName, Destination, settings};
use crate::outside::tls::Inner;
use crate::upstream::link::Begin;

/// The terms on which requests go to a cluster.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) cluster: ClusterName,
    pub(crate) policy: TrafficPolicy,
    pub(crate) flow: Arc<Flow>,
}

/// What there is at once towards a cluster.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Tells it from all others; never 0.
    number: u64,
    pub(crate) pool: Pool,
    /// Retries that there have been.
    pub(crate) retries: Arc<AtomicU64>,
    /// Told when a connection has become free, or ended.
    freed: Notify,
}

impl Flow {
    /// With nothing in progress.
    pub(super) fn new(policy: &TrafficPolicy) -> Arc<Self> {
        let pool = Pool::new(&settings::limits(&policy.connections));
        Self::of(pool, Arc::default())
    }

    /// With all that is in progress but the connections.
    pub(super) fn with_other_connections(&self, policy: &TrafficPolicy) -> Arc<Self> {
        let most = policy.connections.connections;
        let pool = self.pool.with_other_connections(most);
        Self::of(pool, Arc::clone(&self.retries))
    }

    fn of(pool: Pool, retries: Arc<AtomicU64>) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            pool,
            retries,
            freed: Notify::new(),
        })
    }

    /// Tells whoever waits for a connection to look again.
    pub(crate) fn ring(&self) {
        self.freed.notify_waiters();
    }

    /// Ends when somebody has rung, from the moment that it is made.
    pub(crate) fn rung(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// A request is in flight; `None` if there are as many as may be.
    pub(crate) fn begin(&self) -> Option<Active> {
        Some(Active {
            _place: self.pool.request()?,
            _request: self.pool.retries().request(),
        })
    }

    /// Another try of one; `None` if there are as many as may be.
    pub(crate) fn retry(&self) -> Option<ActiveRetry> {
        self.pool.retries().retry()
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct Active {
    _place: Permit,
    _request: ActiveRequest,
}

/// A connection that counts as long as this is kept. Whoever waits for one is told when it ends.
#[derive(Debug)]
pub(crate) struct Occupied {
    _place: Permit,
    bell: Bell,
}

impl Occupied {
    /// Whoever waits for a connection may look again.
    pub(crate) fn ring(&self) {
        self.bell.0.ring();
    }
}

/// Rings when it is dropped.
#[derive(Debug)]
pub(crate) struct Bell(Arc<Flow>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.ring();
    }
}

impl Terms {
    /// The TLS that is begun with an endpoint. What takes tunnels has that of the mesh.
    pub(crate) fn begun(&self, to: &Destination) -> Option<Arc<OutsideTls>> {
        self.policy.tls.clone().filter(|_| !to.is_tunnelled())
    }

    /// How a connection is begun with an endpoint, if it is no tunnel.
    pub(crate) fn begin(&self, to: &Destination, inner: Inner) -> Begin {
        Begin {
            tls: self.begun(to).map(|ask| (ask, inner)),
            keepalive: self.policy.connections.keepalive,
        }
    }

    /// What tells its connections from those of others: 0 if they may be shared.
    pub(crate) fn number(&self) -> u64 {
        let bounds = &self.policy.connections;
        let is_bounded = bounds.connections.is_some()
            || bounds.requests_each.is_some()
            || bounds.streams_each.is_some()
            || bounds.idle_timeout.is_some()
            || bounds.lifetime.is_some()
            || bounds.keepalive.is_some();
        if is_bounded { self.flow.number } else { 0 }
    }

    /// Asks for a connection. Who asks again for the same one is not counted again.
    pub(crate) fn occupy(&self, again: bool) -> Option<Arc<Occupied>> {
        let pool = &self.flow.pool;
        let place = if again {
            pool.connection_again()
        } else {
            pool.connection()
        };
        Some(Arc::new(Occupied {
            _place: place?,
            bell: Bell(Arc::clone(&self.flow)),
        }))
    }

    /// What rings when a request is over, if somebody may wait for that.
    pub(crate) fn bell(&self) -> Option<Bell> {
        let is_bounded = self.policy.connections.connections.is_some();
        is_bounded.then(|| Bell(Arc::clone(&self.flow)))
    }
}
