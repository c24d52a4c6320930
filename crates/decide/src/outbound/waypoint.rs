//! The way to a destination that is bound to a waypoint: a tunnel to one endpoint of the waypoint,
//! which is asked for the destination as the client named it.
//!
//! Each connection picks an endpoint of its own, so that no client stays with one of them, and only
//! among those that take tunnels. Where there is none the answer is a refusal that says what is
//! missing: never the destination itself.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use ambit_model::{GatewayAddress, Mesh, Service, Target, TunnelProtocol, Workload};

use super::{canonical, expected_identities, tunnel_text};
use crate::balance::{self, Wanted};
use crate::plan::{OutboundPlan, OutboundQuery};
use crate::refusal::{Reason, Refusal};
use crate::trace::{Step, Trace};

/// A destination with a waypoint in front of it.
#[derive(Clone, Copy)]
pub(super) enum Bound<'a> {
    /// A service, on its own address.
    Service(&'a Arc<Service>),
    /// A workload on its own address, and the service that covers the address, if one does.
    Workload(&'a Arc<Workload>, Option<&'a Arc<Service>>),
}

impl<'a> Bound<'a> {
    /// The service that was asked for, if one was.
    fn service(self) -> Option<&'a Arc<Service>> {
        match self {
            Self::Service(service) => Some(service),
            Self::Workload(_, service) => service,
        }
    }

    fn step(self, text: String) -> Step {
        match self {
            Self::Service(service) => Step::of("service", &service.name, text),
            Self::Workload(workload, _) => Step::of("workload", &workload.uid, text),
        }
    }
}

impl fmt::Display for Bound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => write!(f, "service {}", service.name),
            Self::Workload(workload, _) => write!(f, "workload {}", workload.uid),
        }
    }
}

/// One endpoint of a waypoint, and where it takes tunnels.
struct Hop<'a> {
    workload: &'a Arc<Workload>,
    to: SocketAddr,
    /// The waypoint's service, if it has one.
    service: Option<&'a Arc<Service>>,
}

/// Goes to the waypoint that stands in front of the destination.
pub(super) fn pass<T: Trace>(
    mesh: &Mesh,
    query: &OutboundQuery<'_>,
    bound: Bound<'_>,
    waypoint: &GatewayAddress,
    trace: &mut T,
) -> Result<OutboundPlan, Refusal> {
    trace.note(|| bound.step(format!("is bound to {}", Named(waypoint))));
    let hop = hop(mesh, query, waypoint).map_err(|missing| {
        let detail = format!("{bound} is bound to {}: {missing}", Named(waypoint));
        Refusal::new(Reason::NoWaypoint, detail)
    })?;
    let authority = canonical(query.destination);
    let expected = expected_identities(hop.workload, hop.service.map(|service| &**service));
    trace.note(|| {
        let text = tunnel_text(hop.to, authority, &expected);
        Step::of("workload", &hop.workload.uid, format!("waypoint: {text}"))
    });
    Ok(OutboundPlan::Tunnel {
        to: hop.to,
        authority,
        expected,
        workload: Arc::clone(hop.workload),
        service: bound.service().cloned(),
        waypoint: true,
    })
}

/// An endpoint of the waypoint, or what is missing.
fn hop<'a>(
    mesh: &'a Mesh,
    query: &OutboundQuery<'_>,
    waypoint: &GatewayAddress,
) -> Result<Hop<'a>, String> {
    match waypoint {
        GatewayAddress::Service(name, port) => {
            let service = mesh.service(name);
            let service = service.ok_or_else(|| "the mesh has no such service".to_owned())?;
            endpoint(mesh, query, service, *port)
        }
        GatewayAddress::Address(address, port) => {
            let to = canonical(SocketAddr::new(address.address, *port));
            match mesh.target(to) {
                Target::Service(service, _) | Target::ServiceWithoutPort(service) => {
                    endpoint(mesh, query, service, *port)
                }
                Target::Workload(workload) => only(query, workload, to),
                Target::Unknown => Err(format!("{to} is no single workload of the mesh")),
            }
        }
    }
}

fn endpoint<'a>(
    mesh: &'a Mesh,
    query: &OutboundQuery<'_>,
    service: &'a Arc<Service>,
    port: u16,
) -> Result<Hop<'a>, String> {
    let wanted = Wanted::waypoint(query, service, port);
    let picked = balance::pick(mesh, &wanted);
    let Some((endpoint, address)) = picked.and_then(|found| Some((found, found.address?))) else {
        return Err(balance::shortage(mesh, &wanted));
    };
    Ok(Hop {
        workload: endpoint.workload,
        to: SocketAddr::new(address, endpoint.port),
        service: Some(service),
    })
}

/// A waypoint that is one workload, by its address.
fn only<'a>(
    query: &OutboundQuery<'_>,
    workload: &'a Arc<Workload>,
    to: SocketAddr,
) -> Result<Hop<'a>, String> {
    if workload.protocol != TunnelProtocol::Hbone {
        return Err(format!("{} takes no tunnels", workload.uid));
    }
    if query.avoid == Some(&workload.uid) {
        return Err(format!("{} is its only endpoint", workload.uid));
    }
    Ok(Hop {
        workload,
        to,
        service: None,
    })
}

/// A waypoint by what it is reached by.
struct Named<'a>(&'a GatewayAddress);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            GatewayAddress::Service(name, port) => {
                write!(f, "the waypoint of service {name}, port {port}")
            }
            GatewayAddress::Address(address, port) => {
                write!(f, "the waypoint at {}, port {port}", address.address)
            }
        }
    }
}

#[cfg(test)]
mod tests;
