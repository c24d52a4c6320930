//! Clusters, in Envoy's word: the endpoints of a port of a service, or of a subset of these, and the
//! terms on which requests go there.
//!
//! Terms are replaced as a whole when a policy changes. What there is at once ([`Flow`]) lives on, as
//! do the ejections in the endpoint set.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ambit_balance::{
    ActiveRequest, ActiveRetry, Change, Endpoint, EndpointSet, Permit, Place, Pool,
};
use ambit_model::{Service, ServiceName, TrafficPolicy, WorkloadUid};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Destination;
use super::settings;

/// The endpoints of a port of a service, or of a subset of these.
pub(crate) type Endpoints = EndpointSet<WorkloadUid, Arc<Destination>>;

type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// What a cluster is called: service, port, subset.
pub(crate) type ClusterName = (ServiceName, u16, Option<Arc<str>>);

/// Endpoints, and the terms on which requests go there.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) endpoints: Endpoints,
    pub(crate) terms: Arc<Terms>,
}

/// The terms on which requests go to a cluster.
#[derive(Debug)]
pub(crate) struct Terms {
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
    pub(crate) retries: AtomicU64,
    /// Told when a connection has become free, or ended.
    freed: Notify,
}

impl Flow {
    fn new(policy: &TrafficPolicy) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            pool: Pool::new(&settings::limits(&policy.connections)),
            retries: AtomicU64::new(0),
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
    /// What tells its connections from those of others: 0 if they may be shared.
    pub(crate) fn number(&self) -> u64 {
        let bounds = &self.policy.connections;
        let is_bounded = bounds.connections.is_some()
            || bounds.requests_each.is_some()
            || bounds.streams_each.is_some()
            || bounds.idle_timeout.is_some();
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

/// Where a cluster is, and what holds there.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) service: &'a Service,
    pub(super) port: u16,
    pub(super) place: &'a Place,
}

impl Cluster {
    fn new(scene: Scene<'_>, policy: &TrafficPolicy) -> Self {
        let settings = settings::of(scene.service, policy, scene.place);
        Self {
            endpoints: EndpointSet::new(settings, rand::random()),
            terms: Arc::new(Terms {
                policy: policy.clone(),
                flow: Flow::new(policy),
            }),
        }
    }

    fn configure(&mut self, scene: Scene<'_>, policy: &TrafficPolicy, now: Instant) {
        let settings = settings::of(scene.service, policy, scene.place);
        self.endpoints.configure(settings, now);
        if self.terms.policy == *policy {
            return;
        }
        let flow = Arc::clone(&self.terms.flow);
        flow.pool.limit(&settings::limits(&policy.connections));
        // Who waits may find room now.
        flow.ring();
        self.terms = Arc::new(Terms {
            policy: policy.clone(),
            flow,
        });
    }
}

/// A workload as an endpoint, with the labels by which subsets tell it.
pub(super) type Labelled = (Endpoint<WorkloadUid, Arc<Destination>>, Labels);

/// The clusters of one port of a service.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    whole: Cluster,
    subsets: BTreeMap<Arc<str>, Part>,
}

#[derive(Clone, Debug)]
struct Part {
    labels: Labels,
    cluster: Cluster,
}

impl Part {
    fn has(&self, labels: &Labels) -> bool {
        let mut wanted = self.labels.iter();
        wanted.all(|(name, value)| labels.get(name) == Some(value))
    }
}

impl Clusters {
    /// Those of a port without endpoints.
    pub(super) fn new(scene: Scene<'_>) -> Self {
        let traffic = scene.service.traffic.as_deref();
        let policy = traffic.map(|traffic| traffic.whole.on(scene.port));
        Self {
            whole: Cluster::new(scene, policy.unwrap_or(&TrafficPolicy::default())),
            subsets: BTreeMap::new(),
        }
    }

    /// Puts in force what the service says now. `members` are all endpoints of the port: subsets that
    /// are new, or others than before, are filled from them.
    pub(super) fn configure(
        &mut self,
        scene: Scene<'_>,
        members: impl Fn() -> Vec<Labelled>,
        now: Instant,
    ) {
        let traffic = scene.service.traffic.as_deref();
        let policy = traffic.map(|traffic| traffic.whole.on(scene.port));
        let none = TrafficPolicy::default();
        self.whole.configure(scene, policy.unwrap_or(&none), now);
        let wanted = traffic.map(|traffic| &traffic.subsets);
        self.subsets
            .retain(|name, _| wanted.is_some_and(|wanted| wanted.contains_key(name)));
        for (name, subset) in wanted.into_iter().flatten() {
            let policy = subset.policies.on(scene.port);
            if let Some(part) = self.subsets.get_mut(name) {
                part.cluster.configure(scene, policy, now);
                if part.labels == subset.labels {
                    continue;
                }
            }
            let part = self
                .subsets
                .entry(Arc::clone(name))
                .or_insert_with(|| Part {
                    labels: Labels::new(),
                    cluster: Cluster::new(scene, policy),
                });
            part.labels.clone_from(&subset.labels);
            for member in members() {
                part.put(&member, now);
            }
        }
    }

    /// Takes an endpoint in, or a change of it.
    pub(super) fn put(&mut self, member: &Labelled, now: Instant) {
        let whole = &mut self.whole.endpoints;
        whole.apply([Change::Put(member.0.clone())], now);
        for part in self.subsets.values_mut() {
            part.put(member, now);
        }
    }

    /// Takes endpoints in that came together.
    pub(super) fn fill(&mut self, members: Vec<Labelled>, now: Instant) {
        let endpoints = members.iter().map(|(endpoint, _)| endpoint.clone());
        self.whole.endpoints.apply(endpoints.map(Change::Put), now);
        for part in self.subsets.values_mut() {
            let theirs: Vec<_> = members
                .iter()
                .filter(|(_, labels)| part.has(labels))
                .collect();
            let endpoints = theirs.into_iter().map(|(endpoint, _)| endpoint.clone());
            part.cluster
                .endpoints
                .apply(endpoints.map(Change::Put), now);
        }
    }

    /// Takes an endpoint out.
    pub(super) fn remove(&mut self, uid: &WorkloadUid, now: Instant) {
        let parts = self.subsets.values_mut().map(|part| &mut part.cluster);
        for cluster in parts.chain([&mut self.whole]) {
            cluster.endpoints.apply([Change::Remove(uid.clone())], now);
        }
    }

    /// That of a subset, or of the whole port; none if there is no such subset.
    pub(super) fn get(&self, subset: Option<&str>) -> Option<&Cluster> {
        match subset {
            None => Some(&self.whole),
            Some(name) => Some(&self.subsets.get(name)?.cluster),
        }
    }

    pub(super) fn get_mut(&mut self, subset: Option<&str>) -> Option<&mut Cluster> {
        match subset {
            None => Some(&mut self.whole),
            Some(name) => Some(&mut self.subsets.get_mut(name)?.cluster),
        }
    }

    /// All, with the names of their subsets.
    pub(super) fn all(&self) -> impl Iterator<Item = (Option<&Arc<str>>, &Cluster)> {
        let parts = self.subsets.iter();
        let parts = parts.map(|(name, part)| (Some(name), &part.cluster));
        std::iter::once((None, &self.whole)).chain(parts)
    }
}

impl Part {
    fn put(&mut self, (endpoint, labels): &Labelled, now: Instant) {
        let change = match self.has(labels) {
            true => Change::Put(endpoint.clone()),
            false => Change::Remove(endpoint.key.clone()),
        };
        self.cluster.endpoints.apply([change], now);
    }
}
