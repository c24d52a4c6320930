//! What one waypoint is told of: the services and workloads that are bound to it, what their routes
//! lead to, all endpoints of those, and the callers that it asks for. A machine without I/O.
//!
//! Which services these are is kept ([`Scope::refresh`]); whether a resource belongs to one of them is
//! seen from the resource itself, so that nothing has to be kept for an endpoint.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::{GatewayAddress, Mesh, PolicyName, ServiceName, Workload, WorkloadUid};
use ambit_wire::encode::alias;

/// Callers that one waypoint may ask for.
const MOST_ASKED: usize = 100_000;

/// What one waypoint is told of.
#[derive(Debug)]
pub(crate) struct Scope {
    own: ServiceName,
    root_namespaces: Arc<[Arc<str>]>,
    services: BTreeSet<ServiceName>,
    /// Of these, those that are bound to it.
    bound: BTreeSet<ServiceName>,
    /// Aliases of addresses.
    asked: BTreeSet<Arc<str>>,
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
            bound: BTreeSet::new(),
            asked: BTreeSet::new(),
        };
        drop(scope.refresh(mesh));
        scope
    }

    /// Looks again at which services it is about: bindings or routes have changed.
    pub(crate) fn refresh(&mut self, mesh: &Mesh) -> Moved {
        let bound = mesh.bound_services(&self.own);
        let bound = bound.map(|service| service.name.clone()).collect();
        let services = self.reach(mesh);
        let bound_before = std::mem::replace(&mut self.bound, bound);
        let before = std::mem::replace(&mut self.services, services);
        let mut moved = Moved::default();
        for service in self.services.symmetric_difference(&before) {
            moved.addresses.push(service.to_string().into());
            let endpoints = mesh.endpoints(service);
            moved
                .addresses
                .extend(endpoints.map(|endpoint| endpoint.uid.as_str().into()));
            moved.policies = true;
        }
        let routes = self.bound.symmetric_difference(&bound_before);
        moved.routes = routes.map(|service| service.to_string().into()).collect();
        moved
    }

    /// Takes callers in that it asks for by alias, and lets others go.
    pub(crate) fn ask(&mut self, ask: &[String], leave: &[String]) {
        for name in leave {
            self.asked.remove(name.as_str());
        }
        for name in ask {
            if self.asked.len() < MOST_ASKED {
                self.asked.insert(name.as_str().into());
            }
        }
    }

    /// Whether it is told of this workload or service.
    pub(crate) fn has_address(&self, name: &str, mesh: &Mesh) -> bool {
        if let Some(workload) = mesh.workload(&WorkloadUid::new(name)) {
            return self.has_workload(workload);
        }
        ServiceName::parse(name).is_some_and(|name| self.services.contains(&name))
    }

    /// Whether it is told of the routes of this service: of those that it fronts.
    pub(crate) fn has_routes(&self, name: &str) -> bool {
        ServiceName::parse(name).is_some_and(|name| self.bound.contains(&name))
    }

    /// Whether it is told of this policy: of the whole mesh, or of a namespace that it reaches.
    pub(crate) fn has_policy(&self, name: &str) -> bool {
        let Some(policy) = PolicyName::parse(name) else {
            return false;
        };
        policy.namespace.is_empty()
            || self.root_namespaces.contains(&policy.namespace)
            || policy.namespace == self.own.namespace
            || self
                .services
                .iter()
                .any(|service| service.namespace == policy.namespace)
    }

    /// Names of all workloads and services that it is told of.
    pub(crate) fn addresses(&self, mesh: &Mesh) -> BTreeSet<Arc<str>> {
        let services = self.services.iter();
        let names = services.clone().map(|service| service.to_string().into());
        let endpoints = services.flat_map(|service| mesh.endpoints(service));
        let bound = mesh.bound_workloads(&self.own);
        let asked = self.asked.iter().flat_map(|asked| {
            let (_, address) = asked.split_once('/').unwrap_or_default();
            let address = address.parse().ok();
            address
                .into_iter()
                .flat_map(|address| mesh.workloads_at(address))
        });
        let workloads = endpoints.chain(bound).chain(asked);
        names
            .chain(workloads.map(|workload| workload.uid.as_str().into()))
            .collect()
    }

    fn has_workload(&self, workload: &Workload) -> bool {
        let mut services = workload.services.keys();
        services.any(|service| self.services.contains(service))
            || self.is_ours(workload.waypoint.as_ref())
            || workload
                .addresses
                .iter()
                .any(|address| self.asked.contains(&alias(&workload.network, *address)))
    }

    fn is_ours(&self, waypoint: Option<&GatewayAddress>) -> bool {
        matches!(waypoint, Some(GatewayAddress::Service(name, _)) if *name == self.own)
    }

    /// Itself, what is bound to it, where the routes of that lead, and the waypoints on that way.
    fn reach(&self, mesh: &Mesh) -> BTreeSet<ServiceName> {
        let mut reached = BTreeSet::from([self.own.clone()]);
        for service in mesh.bound_services(&self.own) {
            reached.insert(service.name.clone());
            let routes = mesh.routes(&service.name);
            for target in routes.into_iter().flat_map(|routes| routes.targets()) {
                reached.insert(target.clone());
                let waypoint = mesh.service(target).and_then(|s| s.waypoint.as_ref());
                if let Some(GatewayAddress::Service(waypoint, _)) = waypoint {
                    reached.insert(waypoint.clone());
                }
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests;
