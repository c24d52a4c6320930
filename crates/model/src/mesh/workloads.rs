//! Workloads by name, address, pod and service.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use equivalent::Equivalent;
use imbl::{HashMap, OrdMap};

use crate::bindings::Bindings;
use crate::claims::{Claims, claim, disclaim};
use crate::endpoints::Endpoints;
use crate::names::{ServiceName, WorkloadUid};
use crate::workload::Workload;

#[derive(Clone, Default)]
pub(super) struct Workloads {
    pub(super) by_uid: OrdMap<WorkloadUid, Arc<Workload>>,
    pub(super) by_pod_uid: HashMap<Arc<str>, Claims<Workload>>,
    /// Behind an `Arc`, so that copying a node of the map copies pointers only.
    pub(super) endpoints: HashMap<ServiceName, Arc<Endpoints>>,
    pub(super) bound: Bindings<WorkloadUid>,
    by_address: HashMap<IpAddr, Claims<Workload>>,
    by_pod: HashMap<PodName, Claims<Workload>>,
}

impl Workloads {
    pub(super) fn put(&mut self, workload: Arc<Workload>) {
        self.remove(&workload.uid);
        for address in &workload.addresses {
            claim(&mut self.by_address, address.to_canonical(), &workload);
        }
        claim(&mut self.by_pod, PodName::of(&workload), &workload);
        if let Some(pod_uid) = &workload.pod_uid {
            claim(&mut self.by_pod_uid, Arc::clone(pod_uid), &workload);
        }
        for service in workload.services.keys() {
            let endpoints = self.endpoints.entry(service.clone()).or_default();
            Arc::make_mut(endpoints).add(&workload);
        }
        self.bound.bind(workload.waypoint.as_ref(), &workload.uid);
        self.by_uid.insert(workload.uid.clone(), workload);
    }

    pub(super) fn remove(&mut self, uid: &WorkloadUid) {
        let Some(workload) = self.by_uid.remove(uid) else {
            return;
        };
        for address in &workload.addresses {
            disclaim(&mut self.by_address, &address.to_canonical(), uid);
        }
        self.bound.unbind(workload.waypoint.as_ref(), uid);
        disclaim(&mut self.by_pod, &PodName::of(&workload), uid);
        if let Some(pod_uid) = &workload.pod_uid {
            disclaim(&mut self.by_pod_uid, pod_uid, uid);
        }
        for service in workload.services.keys() {
            if let Some(endpoints) = self.endpoints.get_mut(service) {
                Arc::make_mut(endpoints).remove(uid);
                if endpoints.is_empty() {
                    self.endpoints.remove(service);
                }
            }
        }
    }

    pub(super) fn at(&self, address: IpAddr, port: u16) -> Option<&Arc<Workload>> {
        let claims = self.by_address.get(&address.to_canonical())?;
        claims.only().or_else(|| {
            let inside = || claims.iter().filter(|workload| !workload.is_outside());
            let is_serving = |workload: &&Arc<Workload>| serves(workload, port);
            match inside().count() {
                // What several entries name is one server all the same.
                0 => claims.iter().find(is_serving),
                1 => inside().next(),
                _ => {
                    let mut serving = inside().filter(is_serving);
                    let first = serving.next();
                    first.filter(|_| serving.next().is_none())
                }
            }
        })
    }

    pub(super) fn claiming(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_address
            .get(&address.to_canonical())
            .into_iter()
            .flat_map(Claims::iter)
    }

    /// Whether a workload of the mesh claims the address.
    pub(super) fn is_claimed(&self, address: IpAddr) -> bool {
        self.claiming(address)
            .any(|workload| !workload.is_outside())
    }

    pub(super) fn by_pod(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.by_pod.get(&PodNameRef { namespace, name })?.first()
    }
}

/// True if a service reaches the workload on this port of it.
fn serves(workload: &Workload, port: u16) -> bool {
    workload
        .services
        .values()
        .flatten()
        .any(|mapping| mapping.target_port == port)
}

/// Namespace and name of a pod.
#[derive(Clone, PartialEq, Eq)]
struct PodName {
    namespace: Arc<str>,
    name: Arc<str>,
}

impl PodName {
    fn of(workload: &Workload) -> Self {
        Self {
            namespace: Arc::clone(&workload.namespace),
            name: Arc::clone(&workload.name),
        }
    }

    fn as_ref(&self) -> PodNameRef<'_> {
        PodNameRef {
            namespace: &self.namespace,
            name: &self.name,
        }
    }
}

impl Hash for PodName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

/// The same, borrowed: look-ups allocate nothing.
#[derive(PartialEq, Eq, Hash)]
struct PodNameRef<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Equivalent<PodName> for PodNameRef<'_> {
    fn equivalent(&self, key: &PodName) -> bool {
        *self == key.as_ref()
    }
}
