//! What the waypoint knows at one moment: the mesh, and what is made ready from it once so that no
//! request has to: compiled routes, endpoints to pick from, and what judges tokens.
//!
//! A [`View`] is an immutable value made of persistent maps: one task applies changes to its own
//! ([`View::apply`], O(change)) and puts a clone where requests find it. What lives on, such as how
//! many requests are outstanding at an endpoint, is shared by all clones.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use ambit_balance::Place;
use ambit_model::{
    Change, GatewayAddress, Mesh, PolicyName, Service, ServiceName, ServiceRoutes, SpiffeId,
    TunnelProtocol, Workload, WorkloadUid,
};
use ambit_route::EndpointTag;

use crate::callers::Presence;
use crate::endpoint::Via;
use crate::outside::names::Use;

mod authenticators;
mod clusters;
mod copy_room;
mod ejections;
mod endpoints;
mod named;
mod policies;
mod routes;
mod settings;
mod terms;
mod ties;
mod unread;

pub(crate) use authenticators::{Authenticator, Authenticators};
pub(crate) use clusters::{Cluster, ClusterName};
use clusters::{Clusters, Labelled, Scene};
pub(crate) use copy_room::CopyRoom;
use endpoints::endpoint_of;
pub(crate) use endpoints::tag_of;
pub(crate) use named::Nameds;
pub(crate) use policies::Policies;
pub(crate) use routes::{Routes, Table};
pub(crate) use terms::{Active, Bell, Occupied, Terms};
pub(crate) use ties::LINGER;
use ties::{Ties, retie, untie};
use unread::Unread;

/// An endpoint, and where it takes what is sent to the port.
#[derive(Debug)]
pub(crate) struct Destination {
    /// The workload.
    pub(crate) workload: Arc<Workload>,
    /// Its address and port.
    pub(crate) address: SocketAddr,
    /// The identity that it has to prove, if it takes tunnels.
    pub(crate) identity: Option<SpiffeId>,
    /// The pod of another waypoint through which it is reached, which is then the workload.
    pub(crate) via: Option<Via>,
    /// The host by which it was asked for, if it is an endpoint of a service.
    pub(crate) host: Option<Arc<str>>,
    /// What to tell of its use, if it is known by a name.
    pub(crate) used: Option<Arc<Use>>,
    /// What keeps the control plane telling of who is at its address, if that is a client's own word.
    pub(crate) _present: Option<Presence>,
}

impl Destination {
    /// This address of a workload.
    pub(crate) fn new(workload: &Arc<Workload>, address: SocketAddr) -> Self {
        Self {
            workload: Arc::clone(workload),
            address,
            identity: identity_of(workload),
            via: None,
            host: None,
            used: None,
            _present: None,
        }
    }

    /// Whether it is outside of the mesh.
    pub(crate) fn is_outside(&self) -> bool {
        self.via.is_none() && self.workload.is_outside()
    }

    /// The workload as it is told of: what is outside of the mesh is known by the service alone.
    pub(crate) fn told(&self) -> Option<Arc<Workload>> {
        (!self.is_outside()).then(|| Arc::clone(&self.workload))
    }

    /// Whether it is reached in a tunnel.
    pub(crate) fn is_tunnelled(&self) -> bool {
        self.via.is_some() || self.workload.protocol == TunnelProtocol::Hbone
    }
}

/// The identity that a workload has to prove, if it takes tunnels.
pub(crate) fn identity_of(workload: &Workload) -> Option<SpiffeId> {
    (workload.protocol == TunnelProtocol::Hbone).then(|| workload.identity())
}

/// A port of a service.
type PortName = (ServiceName, u16);

/// What the waypoint knows.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The mesh, as far as it is told.
    pub(crate) mesh: Mesh,
    /// The service of this waypoint.
    pub(crate) own: ServiceName,
    /// Policies that say something of requests.
    pub(crate) policies: Policies,
    /// Policies that cannot be read.
    pub(crate) unread: Unread,
    address: IpAddr,
    place: Place,
    routes: imbl::HashMap<ServiceName, Arc<Table>>,
    /// Those of a service without an entry there.
    unusable: Arc<Routes>,
    clusters: imbl::HashMap<PortName, Clusters>,
    /// Those that have ejected endpoints, or had some a moment ago.
    ejecting: imbl::HashSet<ClusterName>,
    /// Room for copies of requests.
    copies: imbl::HashMap<ServiceName, Arc<CopyRoom>>,
    /// Endpoints by what stands for them in sessions.
    tags: imbl::HashMap<EndpointTag, WorkloadUid>,
    /// Host names by which endpoints are known.
    named: Nameds,
    /// What stands for their addresses.
    faces: imbl::HashMap<WorkloadUid, Arc<Workload>>,
    /// Whether a host outside of the mesh may be at an address.
    pub(crate) may_be_outside: fn(IpAddr) -> bool,
    /// What judges tokens.
    pub(crate) authenticators: Authenticators,
    ties: Ties<ServiceName>,
    /// Of workloads that are bound by themselves.
    ties_of_workloads: Ties<WorkloadUid>,
}

impl View {
    /// Nothing known yet. `address` is the waypoint's own.
    pub(crate) fn new(own: ServiceName, address: IpAddr) -> Self {
        Self {
            ties: imbl::HashMap::new(),
            ties_of_workloads: imbl::HashMap::new(),
            mesh: Mesh::default(),
            unread: Unread::new(&own.namespace),
            own,
            policies: Policies::default(),
            address,
            place: Place::default(),
            routes: imbl::HashMap::new(),
            unusable: Arc::new(Routes::Unusable),
            clusters: imbl::HashMap::new(),
            ejecting: imbl::HashSet::new(),
            copies: imbl::HashMap::new(),
            tags: imbl::HashMap::new(),
            authenticators: Authenticators::new(),
            named: Nameds::new(),
            faces: imbl::HashMap::new(),
            may_be_outside: ambit_decide::is_elsewhere,
        }
    }

    /// The routes for a client of a namespace, on a port of a service. Where it is not known whether
    /// there are some, these cannot be used.
    pub(crate) fn routes(
        &self,
        service: &ServiceName,
        port: u16,
        client: Option<&str>,
    ) -> Option<&Arc<Routes>> {
        match self.routes.get(service).map(AsRef::as_ref) {
            Some(Table::Ports(ports)) => ports.get(&port)?.for_client(client),
            Some(Table::Rejected) | None => Some(&self.unusable),
        }
    }

    /// Whether these are of the client's own namespace, and not of the service's.
    pub(crate) fn are_clients_own(
        &self,
        service: &ServiceName,
        port: u16,
        client: Option<&str>,
    ) -> bool {
        match self.routes.get(service).map(AsRef::as_ref) {
            Some(Table::Ports(ports)) => ports.get(&port).is_some_and(|port| port.is_own(client)),
            Some(Table::Rejected) | None => false,
        }
    }

    /// All routes of a service.
    pub(crate) fn table(&self, service: &ServiceName) -> Option<&Arc<Table>> {
        self.routes.get(service)
    }

    /// The endpoints of a port of a service, or of a subset of these; none if there is no such port or
    /// subset.
    pub(crate) fn cluster(
        &self,
        service: &ServiceName,
        port: u16,
        subset: Option<&str>,
    ) -> Option<&Cluster> {
        self.clusters.get(&(service.clone(), port))?.get(subset)
    }

    /// All clusters, with their names.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = (ClusterName, &Cluster)> {
        self.clusters
            .iter()
            .flat_map(|((service, port), clusters)| {
                let all = clusters.all();
                all.map(|(subset, one)| ((service.clone(), *port, subset.cloned()), one))
            })
    }

    /// Room for copies of requests that a service is sent.
    pub(crate) fn copies(&self, service: &ServiceName) -> Option<&Arc<CopyRoom>> {
        self.copies.get(service)
    }

    /// The endpoint that a tag stands for.
    pub(crate) fn tagged(&self, tag: EndpointTag) -> Option<&WorkloadUid> {
        self.tags.get(&tag)
    }

    /// The workload that this waypoint is, once it has been told.
    pub(crate) fn own_workload(&self) -> Option<&Arc<Workload>> {
        self.mesh.workloads_at(self.address).next()
    }

    /// Whether an address is this waypoint's.
    pub(crate) fn is_own_address(&self, address: IpAddr) -> bool {
        self.address.to_canonical() == address
    }

    /// Whether an address is that of a service of the cluster, as far as services are told.
    pub(crate) fn is_of_a_service(&self, address: IpAddr) -> bool {
        let service = self.mesh.service_at(address);
        service.is_some_and(|service| service.canonical)
    }

    fn is_ours(&self, waypoint: Option<&GatewayAddress>) -> bool {
        waypoint.and_then(GatewayAddress::service) == Some(&self.own)
    }

    /// Takes one change in.
    pub(crate) fn apply(&mut self, change: Change, now: Instant) {
        self.authenticators.follow(&change, &self.mesh);
        match &change {
            Change::PutService(service) => {
                let before = self.mesh.service(&service.name).map(Arc::clone);
                self.mesh.apply(change.clone());
                self.put_service(service, before.as_deref(), now);
                let is_bound = self.is_ours(service.waypoint.as_ref());
                retie(&mut self.ties, &service.name, is_bound, now);
                return;
            }
            Change::RemoveService(name) => self.forget_service(name),
            Change::PutWorkload(workload) => {
                self.change_workload(workload, now);
                let is_bound = self.is_ours(workload.waypoint.as_ref());
                retie(&mut self.ties_of_workloads, &workload.uid, is_bound, now);
                if workload.addresses.contains(&self.address) && !workload.host_network {
                    self.settle(Place::of(workload), now);
                }
            }
            Change::RemoveWorkload(uid) => {
                self.leave_workload(uid, now);
                untie(&mut self.ties_of_workloads, uid);
            }
            Change::PutRoutes(routes) => {
                let before = self.table(&routes.service).map(AsRef::as_ref);
                let (table, _problems) = Table::new(routes, before);
                self.put_routes(Arc::clone(routes), table);
                return;
            }
            Change::RemoveRoutes(service) => {
                self.routes.remove(service);
            }
            Change::PutPolicy(policy) => {
                let before = self.mesh.policy(&policy.name);
                self.policies.put(policy, before.map(AsRef::as_ref));
            }
            Change::RemovePolicy(name) => {
                let before = self.mesh.policy(name);
                self.policies.remove(name, before.map(AsRef::as_ref));
            }
            Change::PutAuthentication(_) | Change::RemoveAuthentication(_) => {}
        }
        self.mesh.apply(change);
    }

    /// Takes in routes that have been made ready.
    pub(crate) fn put_routes(&mut self, routes: Arc<ServiceRoutes>, table: Table) {
        self.routes.insert(routes.service.clone(), Arc::new(table));
        self.mesh.apply(Change::PutRoutes(routes));
    }

    /// Notes that there are routes of a service that cannot be read. Those before them stay; without
    /// any nothing is served.
    pub(crate) fn reject_routes(&mut self, service: ServiceName) {
        let rejected = || Arc::new(Table::Rejected);
        self.routes.entry(service).or_insert_with(rejected);
    }

    /// Notes that a policy cannot be read, by the name of its resource. What it said before stays; whether it said
    /// nothing, and was not noted.
    pub(crate) fn reject_policy(&mut self, resource: &str) -> bool {
        let name = PolicyName::parse(resource);
        let is_known = name.is_some_and(|name| self.mesh.policy(&name).is_some());
        !is_known && self.unread.note(resource)
    }

    /// Makes or reconfigures the endpoint sets of a service, which may have got other ports.
    fn put_service(&mut self, service: &Service, before: Option<&Service>, now: Instant) {
        let room = || Arc::new(CopyRoom::new());
        self.copies.entry(service.name.clone()).or_insert_with(room);
        if let Some(before) = before {
            self.drop_endpoints(before, |port| {
                let mut ports = service.ports.iter();
                !ports.any(|now| now.service_port == port)
            });
        }
        let members = self.mesh.endpoints(&service.name);
        let members = members.flat_map(|workload| self.faces_of(workload));
        let members = members.map(|face| (Arc::clone(&face), self.used(&face)));
        let members: Vec<_> = members.collect();
        for port in &service.ports {
            let name = (service.name.clone(), port.service_port);
            let scene = Scene {
                service,
                port: port.service_port,
                place: &self.place,
            };
            let here = || -> Vec<Labelled> {
                let here = members.iter();
                here.filter_map(|(workload, used)| endpoint_of(workload, &name, used.as_ref()))
                    .collect()
            };
            match self.clusters.get_mut(&name) {
                Some(clusters) => clusters.configure(scene, here, now),
                None => {
                    let mut clusters = Clusters::new(scene);
                    clusters.configure(scene, Vec::new, now);
                    clusters.fill(&here(), now);
                    self.clusters.insert(name, clusters);
                }
            }
        }
    }

    fn forget_service(&mut self, name: &ServiceName) {
        untie(&mut self.ties, name);
        if let Some(known) = self.mesh.service(name).map(Arc::clone) {
            self.drop_endpoints(&known, |_port| true);
        }
        self.copies.remove(name);
    }

    /// Drops the endpoint sets of ports that are gone.
    fn drop_endpoints(&mut self, service: &Service, is_gone: impl Fn(u16) -> bool) {
        let ports = service.ports.iter().map(|port| port.service_port);
        for port in ports.filter(|port| is_gone(*port)) {
            self.clusters.remove(&(service.name.clone(), port));
        }
    }

    /// Notes where this waypoint runs, which decides what is near.
    fn settle(&mut self, place: Place, now: Instant) {
        if self.place == place {
            return;
        }
        self.place = place;
        for ((service, port), clusters) in self.clusters.iter_mut() {
            if let Some(service) = self.mesh.service(service) {
                let scene = Scene {
                    service,
                    port: *port,
                    place: &self.place,
                };
                clusters.configure(scene, Vec::new, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
