//! All objects in force, with the indexes that make one change cost O(change).
//!
//! Objects arrive from files; two files may hold objects of the same name. Then the one whose file
//! comes first is in force, whatever the order of arrival, and the other is a contradiction to
//! report. The store never looks into the past: what a file that cannot be read still provides is
//! decided before (`files.rs`).

mod claims;
mod destination_rules;
mod labels;
mod routes;
mod service_entries;
mod virtual_services;
mod waypoints;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use self::claims::{Claims, claims_on};
use self::destination_rules::DestinationIndex;
use self::labels::LabelIndex;
use self::routes::RouteIndex;
use self::service_entries::EntryIndex;
use self::virtual_services::VirtualIndex;
use self::waypoints::WaypointIndex;
use super::objects::cluster::Node;
use super::objects::metadata::{Labels, selects};
use super::objects::pod::Pod;
use super::objects::route_parts::Route;
use super::objects::service::{Endpoint, EndpointSlice, Service};
use super::objects::{Kind, Object, ObjectKey};
use super::problem::{Cause, Finding, Origin, Problem, Severity};

pub use self::claims::Claim;
pub use self::routes::{service as service_meant, service_parents};
pub use self::virtual_services::{
    delegates as delegates_of, hosts as services_of_hosts, labels as labels_asked,
};

/// What happened to one object of one file.
#[derive(Clone, Debug)]
pub enum ObjectEvent {
    /// The file holds it, new or changed.
    Put {
        /// Where it stands.
        origin: Origin,
        /// The object.
        object: Arc<Object>,
    },
    /// The file holds it no longer.
    Remove {
        /// The file.
        file: Arc<str>,
        /// Which object.
        key: ObjectKey,
    },
}

impl ObjectEvent {
    /// Which object it is about.
    pub fn key(&self) -> ObjectKey {
        match self {
            Self::Put { object, .. } => object.key(),
            Self::Remove { key, .. } => key.clone(),
        }
    }
}

/// One file's version of an object.
#[derive(Clone, Debug)]
struct Candidate {
    origin: Origin,
    object: Arc<Object>,
}

/// What an endpoint of a slice leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lead {
    Pod(Arc<str>, Arc<str>),
    Address(IpAddr),
}

/// All objects in force.
#[derive(Debug, Default)]
pub struct Objects {
    /// By name; of several files' versions the first is in force. Never empty.
    entries: BTreeMap<ObjectKey, Vec<Candidate>>,
    /// Names that more than one file gives.
    doubled: BTreeSet<ObjectKey>,
    pods_by_node: HashMap<Arc<str>, BTreeSet<ObjectKey>>,
    services_by_label: LabelIndex,
    slices_by_service: HashMap<(Arc<str>, Arc<str>), BTreeSet<ObjectKey>>,
    slices_by_lead: HashMap<Lead, BTreeSet<ObjectKey>>,
    claims: Claims,
    routes: RouteIndex,
    virtual_services: VirtualIndex,
    destination_rules: DestinationIndex,
    waypoints: WaypointIndex,
    service_entries: EntryIndex,
}

impl Objects {
    /// Takes one event in.
    pub fn apply(&mut self, event: ObjectEvent) {
        let key = event.key();
        let before = self.get(&key).cloned();
        let candidates = self.entries.entry(key.clone()).or_default();
        match event {
            ObjectEvent::Put { origin, object } => {
                candidates.retain(|candidate| candidate.origin.file != origin.file);
                let place = candidates.partition_point(|c| c.origin.file < origin.file);
                candidates.insert(place, Candidate { origin, object });
            }
            ObjectEvent::Remove { file, .. } => {
                candidates.retain(|candidate| candidate.origin.file != file);
            }
        }
        if candidates.len() > 1 {
            self.doubled.insert(key.clone());
        } else {
            self.doubled.remove(&key);
        }
        if candidates.is_empty() {
            self.entries.remove(&key);
        }
        let after = self.get(&key).cloned();
        if before != after {
            before.inspect(|object| self.index(&key, object, Indexing::Remove));
            after.inspect(|object| self.index(&key, object, Indexing::Add));
        }
    }

    /// The object of that name.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Object>> {
        Some(&self.entries.get(key)?.first()?.object)
    }

    /// Where the object of that name stands.
    pub fn origin(&self, key: &ObjectKey) -> Option<&Origin> {
        Some(&self.entries.get(key)?.first()?.origin)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All names.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.entries.keys()
    }

    /// Objects of one kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        self.starting_at(ObjectKey::new(kind, "", ""))
            .take_while(move |(key, _)| key.kind == kind)
    }

    /// Objects of one kind in one namespace.
    pub fn in_namespace<'a>(
        &'a self,
        kind: Kind,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Object)> + use<'a> {
        let first = ObjectKey::new(kind, namespace, "");
        let namespace = Arc::clone(&first.namespace);
        self.starting_at(first)
            .take_while(move |(key, _)| key.kind == kind && key.namespace == namespace)
    }

    fn starting_at(&self, first: ObjectKey) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        let entries = self.entries.range(first..);
        entries.filter_map(|(key, candidates)| Some((key, &*candidates.first()?.object)))
    }

    /// The pod of that name.
    pub fn pod(&self, key: &ObjectKey) -> Option<&Pod> {
        match self.get(key)?.as_ref() {
            Object::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// The service of that name.
    pub fn service(&self, key: &ObjectKey) -> Option<&Service> {
        match self.get(key)?.as_ref() {
            Object::Service(service) => Some(service),
            _ => None,
        }
    }

    /// The endpoint slice of that name.
    pub fn slice(&self, key: &ObjectKey) -> Option<&EndpointSlice> {
        match self.get(key)?.as_ref() {
            Object::EndpointSlice(slice) => Some(slice),
            _ => None,
        }
    }

    /// Labels of a namespace, if there is an object for it.
    pub fn namespace_labels(&self, name: &str) -> Option<&Labels> {
        match self
            .get(&ObjectKey::new(Kind::Namespace, "", name))?
            .as_ref()
        {
            Object::Namespace(namespace) => Some(&namespace.metadata.labels),
            _ => None,
        }
    }

    /// Labels of a node, if there is an object for it.
    pub fn node_labels(&self, name: &str) -> Option<&Labels> {
        Some(&self.node(name)?.metadata.labels)
    }

    fn node(&self, name: &str) -> Option<&Node> {
        match self.get(&ObjectKey::new(Kind::Node, "", name))?.as_ref() {
            Object::Node(node) => Some(node),
            _ => None,
        }
    }

    /// Pods that run on a node.
    pub fn pods_on_node(&self, node: &str) -> impl Iterator<Item = (&ObjectKey, &Pod)> {
        let keys = self.pods_by_node.get(node).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.pod(key)?)))
    }

    /// Services whose selector selects these labels.
    pub fn services_selecting<'a>(
        &'a self,
        namespace: &str,
        labels: &'a Labels,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Service)> + use<'a> {
        let candidates = self.services_by_label.candidates(namespace, labels);
        candidates
            .filter_map(|key| Some((key, self.service(key)?)))
            .filter(|(_, service)| selects(&service.spec.selector, labels))
    }

    /// Endpoint slices of a service.
    pub fn slices_of(&self, service: &ObjectKey) -> impl Iterator<Item = &EndpointSlice> {
        let name = (Arc::clone(&service.namespace), Arc::clone(&service.name));
        let keys = self.slices_by_service.get(&name).into_iter().flatten();
        keys.filter_map(|key| self.slice(key))
    }

    /// True if a service's endpoints are given by slices, so not by its selector.
    pub fn has_slices(&self, service: &ObjectKey) -> bool {
        self.slices_of(service).next().is_some()
    }

    /// Endpoint slices that have this pod as an endpoint, by its name or by an address. Only of its own namespace:
    /// what leads to a pod decides who may come to it.
    pub fn slices_with<'a>(
        &'a self,
        key: &'a ObjectKey,
        pod: &Pod,
    ) -> impl Iterator<Item = &'a ObjectKey> {
        let all = self.slices_naming(key, pod).into_iter();
        all.filter(|slice| slice.namespace == key.namespace)
    }

    /// The same of all namespaces: slices that say something else if the pod is not there.
    pub fn slices_naming(&self, key: &ObjectKey, pod: &Pod) -> BTreeSet<&ObjectKey> {
        let by_name = Lead::Pod(Arc::clone(&key.namespace), Arc::clone(&key.name));
        let addresses = pod
            .addresses()
            .into_iter()
            .filter(|_| !pod.spec.host_network);
        let leads = addresses.map(Lead::Address).chain([by_name]);
        leads
            .filter_map(|lead| self.slices_by_lead.get(&lead))
            .flatten()
            .collect()
    }

    /// Who has what only one object can have. Of pods that claim one address, a pod in whose node's
    /// range it lies comes before all others: what a kubelet says of its pods counts for its node.
    pub fn owner(&self, claim: &Claim) -> Option<&ObjectKey> {
        let oldest = self.claims.owner(claim);
        match claim {
            Claim::PodAddress(address) if self.claims.is_contested(claim) => {
                let mut claimants = self.claims.claimants(claim);
                let at_home = claimants.find(|pod| self.is_at_home(pod, *address));
                at_home.or(oldest)
            }
            _ => oldest,
        }
    }

    fn is_at_home(&self, pod: &ObjectKey, address: IpAddr) -> bool {
        let node = self.pod(pod).and_then(|pod| pod.spec.node_name.as_ref());
        let node = node.and_then(|name| self.node(name));
        node.is_some_and(|node| node.spec.has_range_of(address))
    }

    /// Everybody who claims something that this object claims.
    pub fn rivals(&self, object: &Object) -> impl Iterator<Item = &ObjectKey> {
        claims_on(object)
            .into_iter()
            .flat_map(|claim| self.claims.claimants(&claim).collect::<Vec<_>>())
    }

    /// Objects that contradict each other.
    pub fn contradictions(&self) -> impl Iterator<Item = Problem> {
        self.doubled_names().chain(self.contested_claims())
    }

    fn doubled_names(&self) -> impl Iterator<Item = Problem> {
        self.doubled.iter().flat_map(|key| {
            let candidates = self.entries.get(key).map_or(&[][..], Vec::as_slice);
            let first = candidates
                .first()
                .map(|candidate| candidate.origin.to_string());
            candidates.iter().skip(1).map(move |candidate| {
                let what = format!("also given by {}", first.as_deref().unwrap_or_default());
                let finding =
                    Finding::new("metadata.name", what, "remove one; this one is ignored");
                finding.at(
                    &candidate.origin,
                    key,
                    Severity::Error,
                    Cause::Contradiction,
                )
            })
        })
    }

    fn contested_claims(&self) -> impl Iterator<Item = Problem> {
        self.claims.contested().flat_map(|claim| {
            let having = self.owner(claim);
            let owner = having.map(ToString::to_string).unwrap_or_default();
            let claimants = self.claims.claimants(claim);
            claimants
                .filter(|key| Some(*key) != having)
                .filter_map(|key| {
                    let what = format!("claims {claim}, which {owner} has");
                    let advice = match claim {
                        Claim::PodUid(_) => "correct one of the two; this one is ignored",
                        _ => "correct one of the two; this one goes without it",
                    };
                    let finding = Finding::new(field_of(claim), what, advice);
                    let origin = self.origin(key)?;
                    Some(finding.at(origin, key, Severity::Error, Cause::Contradiction))
                })
                .collect::<Vec<_>>()
        })
    }

    fn index(&mut self, key: &ObjectKey, object: &Object, indexing: Indexing) {
        match indexing {
            Indexing::Add => {
                self.claims.add(object);
                self.waypoints.add(key, object);
            }
            Indexing::Remove => {
                self.claims.remove(object);
                self.waypoints.remove(key, object);
            }
        }
        if let Some(route) = Route::of(object) {
            self.routes.apply(indexing, key, route);
        }
        match object {
            Object::VirtualService(object) => self.virtual_services.apply(indexing, key, object),
            Object::DestinationRule(object) => self.destination_rules.apply(indexing, key, object),
            Object::ServiceEntry(object) => self.service_entries.apply(indexing, key, object),
            Object::WorkloadEntry(object) => {
                self.service_entries.apply_workload(indexing, key, object);
            }
            Object::Pod(pod) => {
                if let Some(node) = &pod.spec.node_name {
                    indexing.apply(&mut self.pods_by_node, node.shared(), key);
                }
            }
            Object::Service(service) => match indexing {
                Indexing::Add => self.services_by_label.add(&service.spec.selector, key),
                Indexing::Remove => self.services_by_label.remove(&service.spec.selector, key),
            },
            Object::EndpointSlice(slice) => {
                if let Some(service) = slice.service() {
                    let name = (Arc::clone(&key.namespace), Arc::clone(service));
                    indexing.apply(&mut self.slices_by_service, name, key);
                }
                for lead in slice
                    .endpoints
                    .iter()
                    .flat_map(|endpoint| leads(key, endpoint))
                {
                    indexing.apply(&mut self.slices_by_lead, lead, key);
                }
            }
            _ => {}
        }
    }
}

/// An endpoint that names its pod leads there; any other leads to its addresses.
fn leads(slice: &ObjectKey, endpoint: &Endpoint) -> Vec<Lead> {
    match endpoint.pod() {
        Some(pod) => vec![Lead::Pod(Arc::clone(&slice.namespace), pod.shared())],
        None => endpoint.ips().map(Lead::Address).collect(),
    }
}

fn field_of(claim: &Claim) -> &'static str {
    match claim {
        Claim::PodAddress(_) => "status.podIPs",
        Claim::PodUid(_) => "metadata.uid",
        Claim::ServiceAddress(_) => "spec.clusterIPs",
        Claim::Host(..) => "spec.hosts",
        Claim::HostAddress(_) => "status.addresses",
    }
}

#[derive(Clone, Copy)]
enum Indexing {
    Add,
    Remove,
}

impl Indexing {
    fn apply<K: std::hash::Hash + Eq>(
        self,
        index: &mut HashMap<K, BTreeSet<ObjectKey>>,
        at: K,
        key: &ObjectKey,
    ) {
        match self {
            Self::Add => {
                index.entry(at).or_default().insert(key.clone());
            }
            Self::Remove => {
                if let Some(keys) = index.get_mut(&at) {
                    keys.remove(key);
                    if keys.is_empty() {
                        index.remove(&at);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
