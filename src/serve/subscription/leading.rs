//! What a waypoint is told before routes that have changed, and what only after them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ambit_model::{Service, ServiceName, Workload, WorkloadUid};
use ambit_wire::delta::Catalog as _;
use ambit_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use crate::serve::publication::Publication;
use crate::serve::scope::Scope;

/// What a waypoint has been told of services and workloads, as far as that decides.
#[derive(Debug, Default)]
pub(super) struct Leading {
    services: HashMap<Arc<str>, Told>,
    workloads: HashMap<Arc<str>, Arc<Workload>>,
}

#[derive(Debug)]
struct Told {
    /// Its ports, if the waypoint fronts it.
    fronted: Option<Vec<u16>>,
    subsets: BTreeSet<Arc<str>>,
}

impl Told {
    fn of(service: &Service, is_fronted: bool) -> Self {
        let ports = service.ports.iter().map(|port| port.service_port);
        let subsets = service.traffic.iter().flat_map(|it| it.subsets.keys());
        Self {
            fronted: is_fronted.then(|| ports.collect()),
            subsets: subsets.cloned().collect(),
        }
    }

    /// Whether nothing is to be served without its routes: no port is new.
    fn knows_ports_of(&self, new: &Self) -> bool {
        let Some(ports) = &new.fronted else {
            return true;
        };
        let known = self.fronted.as_ref();
        known.is_some_and(|known| ports.iter().all(|port| known.contains(port)))
    }

    /// Whether routes of before may miss a subset, and none of those to come needs a new one.
    fn only_loses(&self, new: &Self) -> bool {
        self.subsets.len() > new.subsets.len() && self.subsets.is_superset(&new.subsets)
    }
}

/// A service, by the name of its resource.
fn told(name: &str, scope: &Scope, now: &Publication) -> Option<Told> {
    let service = now.mesh.service(&ServiceName::parse(name)?)?;
    Some(Told::of(service, scope.has_routes(name)))
}

/// A workload, by the name of its resource.
fn workload<'a>(name: &str, now: &'a Publication) -> Option<&'a Arc<Workload>> {
    now.mesh.workload(&WorkloadUid::new(name))
}

/// Whether routes of before may miss it at a service, and none of those to come needs it at a new one.
fn only_leaves(known: &Workload, new: &Workload) -> bool {
    let is_of = |one: &Workload, other: &Workload| {
        let mut services = one.services.keys();
        services.all(|service| other.services.contains_key(service))
    };
    is_of(new, known) && !is_of(known, new)
}

impl Leading {
    /// Whether a workload or service that is there is told of before routes.
    pub(super) fn is_early(&self, name: &Arc<str>, scope: &Scope, now: &Publication) -> bool {
        let Some(new) = told(name, scope, now) else {
            let known = self.workloads.get(name).zip(workload(name, now));
            return known.is_none_or(|(known, new)| !only_leaves(known, new));
        };
        match self.services.get(name) {
            Some(known) => known.knows_ports_of(&new) && !known.only_loses(&new),
            None => new.fronted.is_none(),
        }
    }

    /// Keeps what is told.
    pub(super) fn note(&mut self, sent: &DeltaDiscoveryResponse, scope: &Scope, now: &Publication) {
        for resource in &sent.resources {
            self.know(&resource.name, scope, now);
        }
        for name in &sent.removed_resources {
            self.services.remove(name.as_str());
            self.workloads.remove(name.as_str());
        }
    }

    /// Keeps what a returning waypoint was told before and is as it was.
    pub(super) fn note_held(
        &mut self,
        request: &DeltaDiscoveryRequest,
        scope: &Scope,
        now: &Publication,
    ) {
        for (name, version) in &request.initial_resource_versions {
            let there = now.addresses.get(name);
            if there.is_some_and(|entry| *entry.version == **version) {
                self.know(name, scope, now);
            }
        }
    }

    fn know(&mut self, name: &str, scope: &Scope, now: &Publication) {
        if let Some(told) = told(name, scope, now) {
            self.services.insert(name.into(), told);
        } else if let Some(workload) = workload(name, now) {
            self.workloads.insert(name.into(), Arc::clone(workload));
        }
    }

    /// What is no longer fronted has no routes there either.
    pub(super) fn look_at(&mut self, scope: &Scope) {
        for (name, told) in &mut self.services {
            if !scope.has_routes(name) {
                told.fronted = None;
            }
        }
    }
}
