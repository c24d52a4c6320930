//! What one waypoint is told of: the services and workloads that are bound to it, what their routes
//! lead to, all endpoints of those, and who is at addresses that it asks for: those of callers, and those to
//! which hosts outside of the mesh lead. A machine without I/O.
//!
//! Which services these are is kept ([`Scope::refresh`]); whether a resource belongs to one of them is
//! seen from the resource itself, so that nothing has to be kept for an endpoint.
//!
//! A service or workload that is bound no longer is told of for a while ([`LINGER`]): agents learn of
//! it one by one, and connections that came through the waypoint have requests under way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_model::{GatewayAddress, Mesh, PolicyName, Service, ServiceName, Workload, WorkloadUid};
use ambit_wire::encode::alias;

use super::publication::Changes;

/// Addresses that one waypoint may ask for: as many as it asks for at the most. One that is not taken in would be
/// answered as nobody's.
const MOST_ASKED: usize = 80_000;

/// How long is told of what is bound no longer.
pub(crate) const LINGER: Duration = Duration::from_secs(60);

/// What one waypoint is told of.
#[derive(Debug)]
pub(crate) struct Scope {
    own: ServiceName,
    root_namespaces: Arc<[Arc<str>]>,
    services: BTreeSet<ServiceName>,
    /// Entries of hosts that fit a `*` that it may go to: it must not go there by the `*`. Of these it is told
    /// that they are there, and nothing else.
    fitting: BTreeSet<ServiceName>,
    /// Of the services, those that are bound to it, or were of late.
    bound: Kept<ServiceName>,
    /// Workloads that are bound to it by themselves, or were of late.
    pods: Kept<WorkloadUid>,
    /// Those of what it has to judge for.
    namespaces: BTreeSet<Arc<str>>,
    /// Aliases of addresses.
    asked: BTreeSet<Arc<str>>,
}

/// What is bound to a waypoint, or was of late.
#[derive(Debug)]
struct Kept<K> {
    all: BTreeSet<K>,
    /// Of these, those that were, and until when they count.
    leaving: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Kept<K> {
    fn new() -> Self {
        Self {
            all: BTreeSet::new(),
            leaving: BTreeMap::new(),
        }
    }

    /// Takes in what is bound now; says what there was before.
    fn refresh(
        &mut self,
        mut bound: BTreeSet<K>,
        is_there: impl Fn(&K) -> bool,
        now: Instant,
    ) -> BTreeSet<K> {
        for key in self.all.difference(&bound) {
            self.leaving.entry(key.clone()).or_insert(now + LINGER);
        }
        self.leaving
            .retain(|key, until| *until > now && is_there(key) && !bound.contains(key));
        bound.extend(self.leaving.keys().cloned());
        std::mem::replace(&mut self.all, bound)
    }
}

/// What a changed scope has to tell anew.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Names of workloads and services that came or went.
    pub(crate) addresses: Vec<Arc<str>>,
    /// Names of services whose routes came or went.
    pub(crate) routes: Vec<Arc<str>>,
    /// True if policies of other namespaces may apply now.
    pub(crate) policies: bool,
}

impl Scope {
    /// Of the waypoint with this service.
    pub(crate) fn new(own: ServiceName, root_namespaces: Arc<[Arc<str>]>, mesh: &Mesh) -> Self {
        let mut scope = Self {
            own,
            root_namespaces,
            services: BTreeSet::new(),
            fitting: BTreeSet::new(),
            bound: Kept::new(),
            pods: Kept::new(),
            namespaces: BTreeSet::new(),
            asked: BTreeSet::new(),
        };
        // Nothing was bound before, so that nothing lingers and the time does not matter.
        drop(scope.refresh(mesh, clock::now()));
        scope
    }

    /// Looks again at which services and namespaces it is about: bindings or routes have changed, or
    /// [`Self::due`] has come.
    pub(crate) fn refresh(&mut self, mesh: &Mesh, now: Instant) -> Moved {
        let bound = mesh.bound_services(&self.own);
        let bound = bound.map(|service| service.name.clone()).collect();
        let is_there = |name: &ServiceName| mesh.service(name).is_some();
        let bound_before = self.bound.refresh(bound, is_there, now);
        let pods = mesh.bound_workloads(&self.own);
        let pods = pods.map(|pod| pod.uid.clone()).collect();
        let is_there = |uid: &WorkloadUid| mesh.workload(uid).is_some();
        let pods_before = self.pods.refresh(pods, is_there, now);
        let services = self.reach(mesh);
        let before = std::mem::replace(&mut self.services, services);
        let mut moved = Moved::default();
        for service in self.services.symmetric_difference(&before) {
            moved.addresses.push(service.to_string().into());
            let endpoints = mesh.endpoints(service);
            moved
                .addresses
                .extend(endpoints.map(|endpoint| endpoint.uid.as_str().into()));
        }
        let fitting = self.fitting(mesh);
        let before = std::mem::replace(&mut self.fitting, fitting);
        let fitting = self.fitting.symmetric_difference(&before);
        moved
            .addresses
            .extend(fitting.map(|service| service.to_string().into()));
        // One that came is told of by its own change.
        let gone = pods_before.difference(&self.pods.all);
        moved.addresses.extend(gone.map(|uid| uid.as_str().into()));
        let namespaces = self.judged_in(mesh);
        moved.policies = namespaces != self.namespaces;
        self.namespaces = namespaces;
        let routes = self.bound.all.symmetric_difference(&bound_before);
        moved.routes = routes.map(|service| service.to_string().into()).collect();
        moved
    }

    /// Whether it may be about other services after a change: what is bound may be, or where the routes
    /// of that lead. Routes of other services are no matter of it, be they thousands.
    pub(crate) fn is_moved_by(&self, changes: &Changes) -> bool {
        changes.bindings || changes.routes.iter().any(|name| self.has_routes(name))
    }

    /// When to look again for what has lingered long enough.
    pub(crate) fn due(&self) -> Option<Instant> {
        let services = self.bound.leaving.values();
        services.chain(self.pods.leaving.values()).min().copied()
    }

    /// Takes addresses in that it asks for by alias, and lets others go: names of what is there, of which
    /// it is told now, or perhaps no longer.
    pub(crate) fn ask(&mut self, ask: &[String], leave: &[String], mesh: &Mesh) -> Vec<Arc<str>> {
        let mut moved = Vec::new();
        for alias in leave {
            if self.asked.remove(alias.as_str()) {
                moved.extend(named_by(alias, mesh));
            }
        }
        for alias in ask.iter().filter(|alias| alias.contains('/')) {
            if self.asked.len() < MOST_ASKED {
                self.asked.insert(alias.as_str().into());
                moved.extend(named_by(alias, mesh));
            }
        }
        moved
    }

    /// Whether it is told of this workload or service.
    pub(crate) fn has_address(&self, name: &str, mesh: &Mesh) -> bool {
        if let Some(workload) = mesh.workload(&WorkloadUid::new(name)) {
            return self.has_workload(workload);
        }
        let Some(name) = ServiceName::parse(name) else {
            return false;
        };
        self.services.contains(&name)
            || self.fitting.contains(&name)
            || mesh
                .service(&name)
                .is_some_and(|service| self.has_asked_for(service))
    }

    /// Whether an address that it asks for is that of a service of the cluster. Those that anybody may
    /// write are no hindrance to whoever goes there.
    fn has_asked_for(&self, service: &Service) -> bool {
        let mut vips = service.vips.iter();
        service.canonical
            && !self.asked.is_empty()
            && vips.any(|(vip, _)| self.asked.contains(&alias(&vip.network, vip.address)))
    }

    /// Whether it is told of the routes of this service: of those that it fronts.
    pub(crate) fn has_routes(&self, name: &str) -> bool {
        ServiceName::parse(name).is_some_and(|name| self.bound.all.contains(&name))
    }

    /// Whether it is told of this about what is told of requests: of the whole mesh, or of a namespace
    /// that it reaches.
    pub(crate) fn has_telemetry(&self, name: &str) -> bool {
        let Some((namespace, _)) = name.split_once('/') else {
            return true;
        };
        let is_it = |known: &&Arc<str>| ***known == *namespace;
        self.root_namespaces.iter().any(|known| is_it(&known))
            || self.namespaces.iter().any(|known| is_it(&known))
    }

    /// Whether it is told of this credential of a user: only of those of its own namespace.
    pub(crate) fn has_credential(&self, name: &str) -> bool {
        let namespace = name.split_once('/').map(|(namespace, _)| namespace);
        namespace == Some(&*self.own.namespace)
    }

    /// Whether it is told of this policy: of the whole mesh, or of a namespace that it reaches.
    pub(crate) fn has_policy(&self, name: &str) -> bool {
        let Some(policy) = PolicyName::parse(name) else {
            return false;
        };
        policy.namespace.is_empty()
            || self.root_namespaces.contains(&policy.namespace)
            || self.namespaces.contains(&policy.namespace)
    }

    /// Names of all workloads and services that it is told of.
    pub(crate) fn addresses(&self, mesh: &Mesh) -> BTreeSet<Arc<str>> {
        let services = self.services.iter();
        let names = services.clone().chain(&self.fitting);
        let names = names.map(|service| service.to_string().into());
        let endpoints = services.flat_map(|service| mesh.endpoints(service));
        let bound = self.pods.all.iter().filter_map(|uid| mesh.workload(uid));
        let asked = self.asked.iter().flat_map(|alias| named_by(alias, mesh));
        let workloads = endpoints.chain(bound);
        names
            .chain(workloads.map(|workload| workload.uid.as_str().into()))
            .chain(asked)
            .collect()
    }

    /// Its own namespace, and those of services that it reaches and of pods that are bound to it, or
    /// were of late.
    fn judged_in(&self, mesh: &Mesh) -> BTreeSet<Arc<str>> {
        let services = self.services.iter();
        let of_services = services.map(|service| Arc::clone(&service.namespace));
        let bound = self.pods.all.iter().filter_map(|uid| mesh.workload(uid));
        let of_workloads = bound.map(|workload| Arc::clone(&workload.namespace));
        let own = Arc::clone(&self.own.namespace);
        of_services.chain(of_workloads).chain([own]).collect()
    }

    fn has_workload(&self, workload: &Workload) -> bool {
        let mut services = workload.services.keys();
        services.any(|service| self.services.contains(service))
            || self.is_ours(workload.waypoint.as_ref())
            || self.pods.all.contains(&workload.uid)
            || workload
                .addresses
                .iter()
                .any(|address| self.asked.contains(&alias(&workload.network, *address)))
    }

    fn is_ours(&self, waypoint: Option<&GatewayAddress>) -> bool {
        waypoint.and_then(GatewayAddress::service) == Some(&self.own)
    }

    /// Entries of hosts that fit a `*` that is bound to it, or that a route leads to.
    fn fitting(&self, mesh: &Mesh) -> BTreeSet<ServiceName> {
        let reached = self.services.iter().filter_map(|name| mesh.service(name));
        let dynamic = reached.filter(|service| service.dynamic);
        let suffixes = dynamic.filter_map(|service| service.name.hostname.strip_prefix('*'));
        let suffixes: BTreeSet<&str> = suffixes.collect();
        if suffixes.is_empty() {
            return BTreeSet::new();
        }
        let fits = |service: &&Arc<Service>| {
            let host = &service.name.hostname;
            let fits = |suffix: &&str| host.len() > suffix.len() + 1 && host.ends_with(*suffix);
            !service.canonical && suffixes.iter().any(fits)
        };
        mesh.services()
            .filter(fits)
            .map(|service| service.name.clone())
            .collect()
    }

    /// Itself, what is bound to it, where the routes of that lead, and the waypoints on that way.
    fn reach(&self, mesh: &Mesh) -> BTreeSet<ServiceName> {
        let mut reached = BTreeSet::from([self.own.clone()]);
        for service in &self.bound.all {
            reached.insert(service.clone());
            let routes = mesh.routes(service);
            // Of thousands of rules most lead to the same few.
            let targets: BTreeSet<_> = routes.into_iter().flat_map(|r| r.targets()).collect();
            for target in targets {
                reached.insert(target.clone());
                let waypoint = mesh.service(target).and_then(|s| s.waypoint.as_ref());
                reached.extend(waypoint.and_then(GatewayAddress::service).cloned());
            }
        }
        reached
    }
}

/// Names of the workloads, and of the service of the cluster, at the address that an alias is.
pub(super) fn named_by<'m>(alias: &str, mesh: &'m Mesh) -> impl Iterator<Item = Arc<str>> + 'm {
    let (_, address) = alias.split_once('/').unwrap_or_default();
    let address: Option<IpAddr> = address.parse().ok();
    address.into_iter().flat_map(|address| {
        let workloads = mesh.workloads_at(address);
        let workloads = workloads.map(|workload| workload.uid.as_str().into());
        let service = mesh.service_at(address);
        let service = service.filter(|service| service.canonical);
        workloads.chain(service.map(|service| service.name.to_string().into()))
    })
}

#[cfg(test)]
pub(super) mod tests;
