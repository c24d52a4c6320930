//! One connection of a client: who called, and what for. Its requests share this.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_decide::{Reason, Refusal};
use ambit_model::{GatewayAddress, Service, ServicePort, SpiffeId, Target as Found, Workload};

use crate::request::Target;
use crate::view::{Destination, View};

/// Who called.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The identity that it proved; `None` for plaintext.
    pub(crate) identity: Option<SpiffeId>,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The workload with that address, if it is known.
    pub(crate) workload: Option<Arc<Workload>>,
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
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Who.
    pub(crate) client: Client,
    /// What.
    pub(crate) asked: Asked,
    /// The address and port that the client used.
    pub(crate) destination: SocketAddr,
}

impl Call {
    /// The service that was asked for, with its port.
    pub(crate) fn service(&self) -> Option<(&Arc<Service>, &ServicePort)> {
        match &self.asked {
            Asked::Service(service, port) => Some((service, port)),
            Asked::Workload(_) => None,
        }
    }

    /// Where it goes if no route says otherwise.
    pub(crate) fn target(&self) -> Target {
        match &self.asked {
            Asked::Service(service, port) => {
                Target::Service(service.name.clone(), port.service_port)
            }
            Asked::Workload(destination) => Target::Workload(Arc::clone(destination)),
        }
    }
}

/// What an address stands for, if it is bound to this waypoint: it is a way to nothing else.
pub(crate) fn asked_for(view: &View, destination: SocketAddr) -> Result<Asked, Refusal> {
    let is_ours = |waypoint: &Option<GatewayAddress>| matches!(waypoint, Some(GatewayAddress::Service(name, _)) if *name == view.own);
    match view.mesh.target(destination) {
        Found::Service(service, port) if is_ours(&service.waypoint) => {
            Ok(Asked::Service(Arc::clone(service), port))
        }
        Found::ServiceWithoutPort(service) if is_ours(&service.waypoint) => {
            let detail = format!(
                "service {} has no port {}",
                service.name,
                destination.port()
            );
            Err(Refusal::new(Reason::UnknownPort, detail))
        }
        Found::Workload(workload) if is_ours(&workload.waypoint) => {
            Ok(Asked::Workload(Arc::new(Destination {
                workload: Arc::clone(workload),
                address: destination,
            })))
        }
        _ => {
            let detail = format!("{destination} is nothing that is bound to this waypoint");
            Err(Refusal::new(Reason::WrongDestination, detail))
        }
    }
}
