//! The mesh at one moment: every object, and the indexes that a connection needs.
//!
//! A [`Mesh`] is a value made of persistent maps. Cloning it is O(1), [`Mesh::apply`] costs
//! O(change) and leaves every earlier clone as it was: the writer keeps one, applies changes, and
//! hands clones to readers, who never lock. Each kind of object has its own index beside this
//! file: [`workloads`], [`services`], [`policies`].
//!
//! Invariant: an index holds an entry for an object if and only if the object stands in the map
//! by name, and the entry is that very object. Look-ups by address are network-agnostic, and an
//! IPv4 address written as IPv6 is the IPv4 address.

mod policies;
mod services;
mod workloads;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imbl::OrdMap;

use crate::authentication::RequestAuthentication;
use crate::endpoints::Endpoints;
use crate::former::Former;
use crate::names::{PolicyName, ServiceName, WorkloadUid};
use crate::policy::Policy;
use crate::route::ServiceRoutes;
use crate::service::{PortMapping, Service, ServicePort};
use crate::workload::{GatewayAddress, Workload};

use policies::Policies;
use services::{Services, Sought};
use workloads::Workloads;

/// The mesh at one moment.
#[derive(Clone, Default)]
pub struct Mesh {
    workloads: Workloads,
    services: Services,
    policies: Policies,
    routes: OrdMap<ServiceName, Arc<ServiceRoutes>>,
    authentications: OrdMap<PolicyName, Arc<RequestAuthentication>>,
    former_of_services: Former<ServiceName>,
    former_of_workloads: Former<WorkloadUid>,
}

/// One change of the mesh. Putting an object replaces the one of the same name; removing what is
/// not there changes nothing.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants say what they do")]
pub enum Change {
    PutWorkload(Arc<Workload>),
    RemoveWorkload(WorkloadUid),
    PutService(Arc<Service>),
    RemoveService(ServiceName),
    PutPolicy(Arc<Policy>),
    RemovePolicy(PolicyName),
    PutRoutes(Arc<ServiceRoutes>),
    RemoveRoutes(ServiceName),
    PutAuthentication(Arc<RequestAuthentication>),
    RemoveAuthentication(PolicyName),
}

/// What a destination address stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// A service, on a port that it serves.
    Service(&'a Arc<Service>, ServicePort),
    /// A service, on a port that it does not serve.
    ServiceWithoutPort(&'a Arc<Service>),
    /// A workload's own address.
    Workload(&'a Arc<Workload>),
    /// Nothing in the mesh, or several workloads of which none can be told to be meant (then
    /// [`Mesh::workloads_at`] names them).
    Unknown,
}

impl<'a> Target<'a> {
    fn of(service: &'a Arc<Service>, port: u16) -> Self {
        match service.port(port) {
            Some(port) => Self::Service(service, *port),
            None => Self::ServiceWithoutPort(service),
        }
    }
}

impl Mesh {
    /// Applies one change. Clones made before do not see it.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutWorkload(workload) => self.workloads.put(workload),
            Change::RemoveWorkload(uid) => self.workloads.remove(&uid),
            Change::PutService(service) => self.services.put(service),
            Change::RemoveService(name) => self.services.remove(&name),
            Change::PutPolicy(policy) => self.policies.put(policy),
            Change::RemovePolicy(name) => self.policies.remove(&name),
            Change::PutRoutes(routes) => {
                self.routes.insert(routes.service.clone(), routes);
            }
            Change::RemoveRoutes(service) => {
                self.routes.remove(&service);
            }
            Change::PutAuthentication(object) => {
                self.authentications.insert(object.name.clone(), object);
            }
            Change::RemoveAuthentication(name) => {
                self.authentications.remove(&name);
            }
        }
    }

    /// The workload of that name.
    pub fn workload(&self, uid: &WorkloadUid) -> Option<&Arc<Workload>> {
        self.workloads.by_uid.get(uid)
    }

    /// The workload that a connection to this address and port means: the only one there, or the
    /// only one of several that serves the port. Pods on the host's network share the node's
    /// address; after reuse of an address two pods may claim it for a moment.
    pub fn workload_at(&self, address: IpAddr, port: u16) -> Option<&Arc<Workload>> {
        self.workloads.at(address, port)
    }

    /// Every workload that claims this address, by name.
    pub fn workloads_at(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.claiming(address)
    }

    /// The workload of a pod by its namespace and name.
    pub fn workload_by_pod(&self, namespace: &str, name: &str) -> Option<&Arc<Workload>> {
        self.workloads.by_pod(namespace, name)
    }

    /// The workload of a pod by Kubernetes' uid of it.
    pub fn workload_by_pod_uid(&self, pod_uid: &str) -> Option<&Arc<Workload>> {
        self.workloads.by_pod_uid.get(pod_uid)?.first()
    }

    /// The service of that name.
    pub fn service(&self, name: &ServiceName) -> Option<&Arc<Service>> {
        self.services.by_name.get(name)
    }

    /// The service of that full host name; of several in different namespaces the first by name.
    pub fn service_by_hostname(&self, hostname: &str) -> Option<&Arc<Service>> {
        self.services_by_host(hostname).next()
    }

    /// The services of that full host name, by namespace. Names are compared as they are written, in
    /// lower case.
    pub fn services_by_host(&self, host: &str) -> impl Iterator<Item = &Arc<Service>> {
        self.services.of_host(host)
    }

    /// The services whose host name begins with a `*` that can stand for the beginning of this name,
    /// the closest first. The `*` stands for one label or more.
    pub fn services_by_wildcard<'a>(
        &'a self,
        host: &str,
    ) -> impl Iterator<Item = &'a Arc<Service>> {
        self.services.of_wildcard(host)
    }

    /// The service that a host name means to clients of a namespace: of that very name before one with
    /// a `*`, and of several one of the cluster, then one of their own namespace, else the first by namespace.
    pub fn service_named(&self, client: &str, host: &str) -> Option<&Arc<Service>> {
        let seen = |service: &&Arc<Service>| service.is_visible_to(client);
        let rank =
            |service: &&Arc<Service>| (!service.canonical, *service.name.namespace != *client);
        let exact = self.services_by_host(host).filter(seen);
        if let Some(service) = exact.min_by_key(rank) {
            return Some(service);
        }
        let mut fitting = self.services_by_wildcard(host).filter(seen);
        let closest = fitting.next()?;
        let same = fitting.take_while(|service| service.name.hostname == closest.name.hostname);
        std::iter::once(closest).chain(same).min_by_key(rank)
    }

    /// The service with the longest prefix that holds the address; of several with the same prefix
    /// a service of the cluster, else the first by name.
    pub fn service_at(&self, address: IpAddr) -> Option<&Arc<Service>> {
        let (client, port) = (None, None);
        self.services.at(address, Sought { client, port })
    }

    /// What a destination stands for, whoever asks: for the mesh's own ways. What it stands for to a
    /// client, [`Mesh::target_for`] says.
    pub fn target(&self, destination: SocketAddr) -> Target<'_> {
        self.sought(None, destination)
    }

    /// What a destination stands for to clients of a namespace: a service that is not for them is none.
    ///
    /// The single address of a service of the cluster comes first, then a workload's own, then those that
    /// anybody may write: the single address of another service, that of a server outside of the mesh, and
    /// services that cover a range.
    pub fn target_for(&self, client: &str, destination: SocketAddr) -> Target<'_> {
        self.sought(Some(client), destination)
    }

    fn sought(&self, client: Option<&str>, destination: SocketAddr) -> Target<'_> {
        let (address, port) = (destination.ip(), destination.port());
        let sought = Sought {
            client,
            port: Some(port),
        };
        let exact = self.services.at_exactly(address, sought);
        if let Some(service) = exact
            && service.canonical
        {
            return Target::of(service, port);
        }
        if self.workloads.is_claimed(address) {
            let workload = self.workload_at(address, port);
            return workload.map_or(Target::Unknown, Target::Workload);
        }
        // Of an address that is somebody else's too, an entry has the ports that it lists; of one that the mesh
        // has given to it, all.
        let is_given = matches!(address, IpAddr::V4(v4) if v4.octets()[0] >= 240);
        let has = |service: &&Arc<Service>| {
            let is_own = is_given || service.canonical || service.port(port).is_some();
            // Older control planes do not say which services are the cluster's.
            is_own
                || self
                    .endpoints(&service.name)
                    .any(|found| !found.is_outside())
        };
        if let Some(service) = exact.filter(has) {
            return Target::of(service, port);
        }
        if let Some(server) = self.server_at(client, destination) {
            return Target::Workload(server);
        }
        let around = self.services.at(address, sought).filter(has);
        around.map_or(Target::Unknown, |service| Target::of(service, port))
    }

    /// A server outside of the mesh, by its own address: on a port on which a service serves it that the
    /// client may know, and that asks for no waypoint.
    fn server_at(&self, client: Option<&str>, destination: SocketAddr) -> Option<&Arc<Workload>> {
        let is_open = |name: &ServiceName| {
            self.service(name).is_some_and(|service| {
                let is_visible = client.is_none_or(|client| service.is_visible_to(client));
                is_visible && service.waypoint.is_none()
            })
        };
        self.workloads_at(destination.ip()).find(|workload| {
            let mut services = workload.services.iter();
            let serves = |ports: &[PortMapping]| {
                let mut ports = ports.iter();
                ports.any(|port| port.target_port == destination.port())
            };
            services.any(|(name, ports)| serves(ports) && is_open(name))
        })
    }

    /// The endpoints of a service, in no particular order.
    pub fn endpoints(&self, service: &ServiceName) -> impl Iterator<Item = &Arc<Workload>> {
        self.endpoint_set(service)
            .into_iter()
            .flat_map(Endpoints::iter)
    }

    /// The endpoints of a service, to pick from; `None` if it has none.
    pub fn endpoint_set(&self, service: &ServiceName) -> Option<&Endpoints> {
        self.workloads
            .endpoints
            .get(service)
            .map(|endpoints| &**endpoints)
    }

    /// The policy of that name.
    pub fn policy(&self, name: &PolicyName) -> Option<&Arc<Policy>> {
        self.policies.by_name.get(name)
    }

    /// The known policies that apply to a workload, each once: those of the whole mesh, those of
    /// its namespace, those that it lists.
    pub fn policies_for(&self, workload: &Workload) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.applying_to(workload)
    }

    /// The services whose traffic must pass the waypoint with this service, by name.
    pub fn bound_services(&self, waypoint: &ServiceName) -> impl Iterator<Item = &Arc<Service>> {
        let bound = self.services.bound.of(waypoint);
        bound.filter_map(|name| self.service(name))
    }

    /// The workloads to whose own address traffic must pass the waypoint with this service, by name.
    pub fn bound_workloads(&self, waypoint: &ServiceName) -> impl Iterator<Item = &Arc<Workload>> {
        let bound = self.workloads.bound.of(waypoint);
        bound.filter_map(|uid| self.workload(uid))
    }

    /// Waypoints that a service was bound to until a moment ago, as far as anybody keeps them.
    pub fn former_waypoints_of(&self, name: &ServiceName) -> impl Iterator<Item = &GatewayAddress> {
        self.former_of_services.of(name)
    }

    /// The same of a workload that was bound by itself.
    pub fn former_waypoints_of_workload(
        &self,
        uid: &WorkloadUid,
    ) -> impl Iterator<Item = &GatewayAddress> {
        self.former_of_workloads.of(uid)
    }

    /// Keeps these as the former waypoints of a service, in place of those before.
    pub fn keep_former_of(
        &mut self,
        name: &ServiceName,
        waypoints: impl Iterator<Item = GatewayAddress>,
    ) {
        self.former_of_services.set(name, waypoints);
    }

    /// The same of a workload.
    pub fn keep_former_of_workload(
        &mut self,
        uid: &WorkloadUid,
        waypoints: impl Iterator<Item = GatewayAddress>,
    ) {
        self.former_of_workloads.set(uid, waypoints);
    }

    /// The routes of a service; `None` if it has none.
    pub fn routes(&self, service: &ServiceName) -> Option<&Arc<ServiceRoutes>> {
        self.routes.get(service)
    }

    /// The routes of every service that has some, by its name.
    pub fn all_routes(&self) -> impl ExactSizeIterator<Item = &Arc<ServiceRoutes>> {
        self.routes.values()
    }

    /// The request authentication of that name.
    pub fn authentication(&self, name: &PolicyName) -> Option<&Arc<RequestAuthentication>> {
        self.authentications.get(name)
    }

    /// Every request authentication, by name.
    pub fn authentications(&self) -> impl ExactSizeIterator<Item = &Arc<RequestAuthentication>> {
        self.authentications.values()
    }

    /// Every workload, by name.
    pub fn workloads(&self) -> impl ExactSizeIterator<Item = &Arc<Workload>> {
        self.workloads.by_uid.values()
    }

    /// Every service, by name.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Arc<Service>> {
        self.services.by_name.values()
    }

    /// Every policy, by name.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Arc<Policy>> {
        self.policies.by_name.values()
    }

    /// How many workloads there are.
    pub fn workload_count(&self) -> usize {
        self.workloads.by_uid.len()
    }

    /// How many services there are.
    pub fn service_count(&self) -> usize {
        self.services.by_name.len()
    }

    /// How many policies there are.
    pub fn policy_count(&self) -> usize {
        self.policies.by_name.len()
    }
}

/// Two meshes are equal if they hold equal objects; how they came to is not compared.
impl PartialEq for Mesh {
    fn eq(&self, other: &Self) -> bool {
        self.workloads.by_uid == other.workloads.by_uid
            && self.services.by_name == other.services.by_name
            && self.policies.by_name == other.policies.by_name
            && self.routes == other.routes
            && self.authentications == other.authentications
    }
}

/// Shows the objects, in the order of their names, without the indexes.
impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("workloads", &self.workloads.by_uid)
            .field("services", &self.services.by_name)
            .field("policies", &self.policies.by_name)
            .field("routes", &self.routes)
            .field("authentications", &self.authentications)
            .finish()
    }
}

#[cfg(test)]
mod tests;
