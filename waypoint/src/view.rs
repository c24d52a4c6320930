//! What the waypoint knows at one moment: the mesh, and what is made ready from it once so that no
//! request has to: compiled routes, endpoints to pick from, and what judges tokens.
//!
//! A [`View`] is an immutable value made of persistent maps: one task applies changes to its own
//! ([`View::apply`], O(change)) and puts a clone where requests find it. What lives on, such as how
//! many requests are outstanding at an endpoint, is shared by all clones.

use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_balance::{Endpoint, Place};
use ambit_model::{
    Change, GatewayAddress, Mesh, Service, ServiceName, ServiceRoutes, SpiffeId, TunnelProtocol,
    Workload, WorkloadUid,
};
use ambit_route::EndpointTag;

use crate::callers::Presence;
use crate::drain::{Drain, Step};
use crate::endpoint::Via;
use crate::outside::names::Use;

mod authenticators;
mod clusters;
mod copy_room;
mod ejections;
mod named;
mod policies;
mod routes;
mod settings;
mod terms;

pub(crate) use authenticators::{Authenticator, Authenticators};
pub(crate) use clusters::{Cluster, ClusterName};
use clusters::{Clusters, Labelled, Scene};
pub(crate) use copy_room::CopyRoom;
pub(crate) use named::Nameds;
pub(crate) use policies::Policies;
pub(crate) use routes::{Routes, Table};
pub(crate) use terms::{Active, Bell, Occupied, Terms};

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

/// How long connections are still taken for what is bound no longer: agents learn of it one by one.
pub(crate) const LINGER: Duration = Duration::from_secs(30);

/// What ties a service or workload that is or was bound to this waypoint.
#[derive(Clone, Debug)]
struct Tie {
    /// Drains when it is bound no longer.
    drain: Arc<Drain>,
    /// Until when connections for it are taken, if it is bound no longer.
    until: Option<Instant>,
}

/// What the waypoint knows.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The mesh, as far as it is told.
    pub(crate) mesh: Mesh,
    /// The service of this waypoint.
    pub(crate) own: ServiceName,
    /// Policies that say something of requests.
    pub(crate) policies: Policies,
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

    /// What ties a service that is bound to this waypoint, or was a moment ago. One whose routes have
    /// not been told yet is not tied: every service has some, if only empty ones.
    pub(crate) fn tie(&self, service: &ServiceName, now: Instant) -> Option<&Arc<Drain>> {
        self.routes.get(service)?;
        self.ties.get(service)?.at(now)
    }

    /// The same of a workload that is, or was, bound by itself.
    pub(crate) fn tie_of_workload(&self, uid: &WorkloadUid, now: Instant) -> Option<&Arc<Drain>> {
        self.ties_of_workloads.get(uid)?.at(now)
    }

    fn is_ours(&self, waypoint: Option<&GatewayAddress>) -> bool {
        matches!(waypoint, Some(GatewayAddress::Service(name, _)) if *name == self.own)
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

    /// Takes in a workload, or a change of it.
    fn change_workload(&mut self, workload: &Arc<Workload>, now: Instant) {
        let was = self.mesh.workload(&workload.uid).map(Arc::clone);
        let before = was.as_ref().map(|was| self.faces_of(was));
        self.name(workload);
        let faces = self.faces_of(workload);
        self.exchange(&before.unwrap_or_default(), &faces, now);
        if let Some(was) = was
            && named::name_of(&was) != named::name_of(workload)
        {
            self.unname(&was);
        }
    }

    fn leave_workload(&mut self, uid: &WorkloadUid, now: Instant) {
        if let Some(was) = self.mesh.workload(uid).map(Arc::clone) {
            let before = self.faces_of(&was);
            self.exchange(&before, &[], now);
            self.unname(&was);
        }
    }

    /// Puts endpoints in the place of others.
    fn exchange(&mut self, before: &[Arc<Workload>], faces: &[Arc<Workload>], now: Instant) {
        for was in before {
            let now_is = faces.iter().find(|face| face.uid == was.uid);
            self.leave(was, now_is.map(AsRef::as_ref), now);
        }
        for face in faces {
            self.join(face, now);
        }
    }

    /// Takes an endpoint out of the sets that it is in, but for those that `now_is` is in too.
    fn leave(&mut self, was: &Workload, now_is: Option<&Workload>, now: Instant) {
        self.tags.remove(&tag_of(was));
        self.faces.remove(&was.uid);
        for (service, ports) in &was.services {
            for mapping in ports {
                let stays = |workload: &Workload| {
                    workload
                        .target_port(service, mapping.service_port)
                        .is_some()
                        && workload.addresses.first() == was.addresses.first()
                };
                let name = (service.clone(), mapping.service_port);
                if !now_is.is_some_and(stays)
                    && let Some(clusters) = self.clusters.get_mut(&name)
                {
                    clusters.remove(&was.uid, now);
                }
            }
        }
    }

    fn join(&mut self, workload: &Arc<Workload>, now: Instant) {
        self.tags.insert(tag_of(workload), workload.uid.clone());
        if !workload.hostname.is_empty() {
            self.faces
                .insert(workload.uid.clone(), Arc::clone(workload));
        }
        let used = self.used(workload);
        for (service, ports) in &workload.services {
            for mapping in ports {
                let name = (service.clone(), mapping.service_port);
                let Some(endpoint) = endpoint_of(workload, &name, used.as_ref()) else {
                    continue;
                };
                if let Some(clusters) = self.clusters.get_mut(&name) {
                    clusters.put(&endpoint, now);
                }
            }
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

impl Tie {
    /// What drains with it, while connections are taken.
    fn at(&self, now: Instant) -> Option<&Arc<Drain>> {
        let holds = self.until.is_none_or(|until| now < until);
        holds.then_some(&self.drain)
    }
}

type Ties<K> = imbl::HashMap<K, Tie>;

/// Notes whether something is bound to this waypoint.
fn retie<K: Hash + Eq + Clone>(ties: &mut Ties<K>, key: &K, is_bound: bool, now: Instant) {
    match ties.get_mut(key) {
        Some(Tie { until: None, .. }) if is_bound => {}
        _ if is_bound => {
            let drain = Arc::new(Drain::new());
            ties.insert(key.clone(), Tie { drain, until: None });
        }
        Some(tie) if tie.until.is_none() => {
            tie.drain.go_on(Step::Draining);
            tie.until = Some(now + LINGER);
        }
        _ => {}
    }
}

/// Ends what ties something that is gone.
fn untie<K: Hash + Eq + Clone>(ties: &mut Ties<K>, key: &K) {
    if let Some(tie) = ties.remove(key) {
        tie.drain.go_on(Step::Draining);
    }
}

/// What stands for an endpoint in sessions: no other has its pod's uid.
pub(crate) fn tag_of(workload: &Workload) -> EndpointTag {
    let uid = workload.uid.as_str();
    EndpointTag::of(workload.pod_uid.as_deref().unwrap_or(uid))
}

/// A workload as an endpoint of a port, if it serves that.
fn endpoint_of(
    workload: &Arc<Workload>,
    (service, port): &PortName,
    used: Option<&Arc<Use>>,
) -> Option<Labelled> {
    let address = SocketAddr::new(
        *workload.addresses.first()?,
        workload.target_port(service, *port)?,
    );
    let destination = Destination {
        host: Some(Arc::clone(&service.hostname)),
        used: used.cloned(),
        ..Destination::new(workload, address)
    };
    let endpoint = Endpoint {
        key: workload.uid.clone(),
        payload: Arc::new(destination),
        weight: workload.weight(),
        place: Place::of(workload),
        health: workload.health,
    };
    Some((endpoint, workload.labels.clone()))
}

#[cfg(test)]
mod tests;
