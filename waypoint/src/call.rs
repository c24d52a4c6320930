//! One connection of a client: who called, and what for. Its requests share this.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_decide::{Reason, Refusal};
use ambit_model::{Mesh, Service, ServicePort, SpiffeId, Target as Found, Workload};
use ambit_route::Source;
use ambit_telemetry::Ends;

use crate::callers::Presence;
use crate::drain::Drain;
use crate::pressure::holders::Holder;
use crate::request::Target;
use crate::room::ClientSlot;
use crate::view::{Destination, Routes, View};

/// Who called.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The identity that it proved; `None` for plaintext.
    pub(crate) identity: Option<SpiffeId>,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The workload with that address, if it is known.
    pub(crate) workload: Option<Arc<Workload>>,
    /// Whether it is a waypoint itself.
    pub(crate) is_waypoint: bool,
    /// Waypoints that its connection has come through already.
    pub(crate) waypoints: u32,
    /// While this is kept, it goes on being known.
    pub(crate) _presence: Option<Presence>,
}

impl Client {
    /// What routes may ask of it: the namespace that it proved, and the labels of its pod, if the pod at
    /// its address is of that identity.
    pub(crate) fn source<'a>(&'a self, mesh: &'a Mesh) -> Source<'a> {
        let Some(identity) = &self.identity else {
            return Source::default();
        };
        let known = self.workload.as_deref();
        let now = known
            .and_then(|known| mesh.workload(&known.uid))
            .map(AsRef::as_ref);
        let proved = now.or(known).filter(|workload| {
            *workload.namespace == *identity.namespace()
                && *workload.service_account == *identity.service_account()
                && *workload.trust_domain == *identity.trust_domain()
        });
        Source {
            namespace: Some(identity.namespace()),
            labels: proved.map(|workload| &workload.labels),
        }
    }

    /// Who is who, as far as that is known of whoever calls.
    pub(crate) fn ends(&self) -> Ends {
        Ends {
            source: self.workload.clone(),
            source_id: self.identity.clone(),
            ..Ends::default()
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// A service, by one of its own addresses.
    Service(Arc<Service>, ServicePort),
    /// A workload, by its own address.
    Workload(Arc<Destination>),
}

/// A connection of a client.
#[derive(Debug)]
pub(crate) struct Call {
    /// Who.
    pub(crate) client: Client,
    /// What.
    pub(crate) asked: Asked,
    /// The address and port that the client used.
    pub(crate) destination: SocketAddr,
    /// What was asked for is bound to this waypoint by it: that may end before the connection.
    pub(crate) tie: Arc<Drain>,
    /// The memory that it holds.
    pub(crate) holder: Arc<Holder>,
    /// Its place among the client's connections, held while anything of it goes on.
    pub(crate) _place: Option<ClientSlot>,
}

impl Call {
    /// The service that was asked for, with its port.
    pub(crate) fn service(&self) -> Option<(&Arc<Service>, &ServicePort)> {
        match &self.asked {
            Asked::Service(service, port) => Some((service, port)),
            Asked::Workload(_) => None,
        }
    }

    /// Who is who, as far as a connection is known before an endpoint is.
    pub(crate) fn ends(&self) -> Ends {
        let destination = match &self.asked {
            Asked::Service(..) => None,
            Asked::Workload(destination) => Some(Arc::clone(&destination.workload)),
        };
        Ends {
            destination,
            service: self.service().map(|(service, _)| Arc::clone(service)),
            ..self.client.ends()
        }
    }

    /// The service behind a target, which is another one than was asked for where a route says so.
    pub(crate) fn service_behind(&self, target: &Target, mesh: &Mesh) -> Option<Arc<Service>> {
        let asked = self.service().map(|(service, _)| service);
        match target {
            Target::Service(name, ..) if asked.is_none_or(|asked| asked.name != *name) => {
                mesh.service(name).or(asked).cloned()
            }
            _ => asked.cloned(),
        }
    }

    /// The routes that hold for this client, if it asked for a service that has some.
    pub(crate) fn routes(&self, view: &View) -> Option<Arc<Routes>> {
        let (service, port) = self.service()?;
        let namespace = self.client.identity.as_ref().map(|id| id.namespace());
        let routes = view.routes(&service.name, port.service_port, namespace);
        routes.map(Arc::clone)
    }

    /// Those that the service's own namespace has written, for all clients.
    pub(crate) fn service_routes<'v>(&self, view: &'v View) -> Option<&'v Routes> {
        let (service, port) = self.service()?;
        let routes = view.routes(&service.name, port.service_port, None);
        routes.map(AsRef::as_ref)
    }

    /// The client's namespace, if the routes are for that alone.
    pub(crate) fn client_of_own_routes(&self, view: &View) -> Option<&str> {
        let namespace = self.client.identity.as_ref().map(|id| id.namespace());
        let (service, port) = self.service()?;
        let are_own = view.are_clients_own(&service.name, port.service_port, namespace);
        namespace.filter(|_| are_own)
    }

    /// Why nothing is served where the routes cannot be used.
    pub(crate) fn unroutable(&self) -> Refusal {
        let service = self.service().map(|(service, _)| service.name.to_string());
        let service = service.unwrap_or_default();
        let detail = format!("the routes of {service} are not known, or cannot be read");
        Refusal::new(Reason::InvalidRoute, detail)
    }

    /// Where it goes if no route says otherwise.
    pub(crate) fn target(&self) -> Target {
        match &self.asked {
            Asked::Service(service, port) => {
                Target::Service(service.name.clone(), port.service_port, None)
            }
            Asked::Workload(destination) => Target::Workload(Arc::clone(destination)),
        }
    }
}

/// What an address stands for to clients of a namespace, if it is bound to this waypoint: it is a way to
/// nothing else. With what ties it to that.
pub(crate) fn asked_for(
    view: &View,
    client: Option<&str>,
    destination: SocketAddr,
    now: Instant,
) -> Result<(Asked, Arc<Drain>), Refusal> {
    let not_ours = || {
        let detail = format!("{destination} is nothing that is bound to this waypoint");
        Refusal::new(Reason::WrongDestination, detail)
    };
    let mesh = &view.mesh;
    // A client without an identity is of no namespace: it may ask for what everybody may.
    match mesh.target_for(client.unwrap_or_default(), destination) {
        Found::Service(service, port) => {
            let tie = view.tie(&service.name, now).ok_or_else(not_ours)?;
            let asked = Asked::Service(Arc::clone(service), port);
            Ok((asked, Arc::clone(tie)))
        }
        Found::ServiceWithoutPort(service) if view.tie(&service.name, now).is_some() => {
            let (name, port) = (&service.name, destination.port());
            let detail = format!("service {name} has no port {port}");
            Err(Refusal::new(Reason::UnknownPort, detail))
        }
        Found::Workload(workload) => {
            let tie = view.tie_of_workload(&workload.uid, now);
            let tie = tie.ok_or_else(not_ours)?;
            let asked = Asked::Workload(Arc::new(Destination::new(workload, destination)));
            Ok((asked, Arc::clone(tie)))
        }
        _ => Err(not_ours()),
    }
}

#[cfg(test)]
mod tests;
