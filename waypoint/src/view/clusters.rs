//! Clusters, in Envoy's word: the endpoints of a port of a service, or of a subset of these, and the
//! [terms](Terms) on which requests go there.
//!
//! Terms are replaced as a whole when a policy changes. What there is at once lives on, as do the
//! ejections in the endpoint set.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use ambit_balance::{Change, Endpoint, EndpointSet, Place};
use ambit_model::{Service, ServiceName, TrafficPolicy, WorkloadUid};

use super::terms::{Flow, Terms};
use super::{Destination, settings};

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

/// Where a cluster is, and what holds there.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) service: &'a Service,
    pub(super) port: u16,
    pub(super) place: &'a Place,
}

impl Cluster {
    fn new(scene: Scene<'_>, subset: Option<&Arc<str>>, policy: &TrafficPolicy) -> Self {
        let settings = settings::of(scene.service, policy, scene.place);
        Self {
            endpoints: EndpointSet::new(settings, rand::random()),
            terms: Arc::new(Terms {
                cluster: (scene.service.name.clone(), scene.port, subset.cloned()),
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
        let mut terms = Terms {
            cluster: self.terms.cluster.clone(),
            policy: policy.clone(),
            flow,
        };
        // Connections that were shared with others, or are from now on, are found by nobody who counts
        // them: kept in the count, they would take the place of those that may be made.
        if (terms.number() == 0) != (self.terms.number() == 0) {
            terms.flow = self.terms.flow.with_other_connections(policy);
        }
        self.terms = Arc::new(terms);
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
        let none = TrafficPolicy::default();
        Self {
            whole: Cluster::new(scene, None, policy.unwrap_or(&none)),
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
                    cluster: Cluster::new(scene, Some(name), policy),
                });
            part.labels.clone_from(&subset.labels);
            // All at once: of those that come together none is newer than the others.
            let (theirs, others): (Vec<_>, Vec<_>) = members()
                .into_iter()
                .partition(|(_, labels)| part.has(labels));
            let gone = others
                .into_iter()
                .map(|(other, _)| Change::Remove(other.key));
            let came = theirs
                .into_iter()
                .map(|(endpoint, _)| Change::Put(endpoint));
            part.cluster.endpoints.apply(gone.chain(came), now);
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
    pub(super) fn fill(&mut self, members: &[Labelled], now: Instant) {
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

#[cfg(test)]
mod tests;
