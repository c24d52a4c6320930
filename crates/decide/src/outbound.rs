//! Where does a connection go that an enrolled pod opened?
//!
//! [`outbound`] resolves the destination and follows it:
//!
//! - the pod itself ([`to_itself`]): left alone;
//! - a service ([`to_service`]): to its waypoint, else to one endpoint of the asked port;
//! - a workload's own address ([`to_workload`]): to its waypoint, else to the workload;
//! - nothing known ([`to_unknown`]): as the egress mode says.
//!
//! What is bound to a waypoint ends in [`waypoint::pass`]: a tunnel to the waypoint or a refusal,
//! also where the client's own pod is one of the endpoints behind it. Workload and endpoint end in
//! [`reach`]: a tunnel if the workload takes tunnels, plaintext only if it asks for that, a refusal
//! if it asks for something unknown.
//!
//! An endpoint that is known by name only ends in [`named`]: its name is resolved by whoever connects,
//! and where it leads is judged again ([`resolved`]).
//!
//! Ports 15001, 15006 and 15008 of a workload that takes tunnels are the agent's own there, and
//! so are the pod's own. Going there in plaintext would by-pass the tunnel, going there in a
//! tunnel ends in a refusal at the far end; both are refused here as `self_call`.

mod named;
mod waypoint;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_model::{
    LoadBalancingMode, Mesh, Service, ServicePort, SpiffeId, Target, TunnelProtocol, Workload,
};

pub use self::named::resolved;
use self::waypoint::Bound;
use crate::balance::{self, Wanted};
use crate::egress::EgressMode;
use crate::plan::{OutboundPlan, OutboundQuery};
use crate::refusal::{Reason, Refusal};
use crate::trace::{Explanation, Silent, Step, Trace};
use crate::{HBONE_PORT, is_agent_port};

/// Decides about a connection that an enrolled pod opened.
pub fn outbound(mesh: &Mesh, query: &OutboundQuery<'_>) -> Result<OutboundPlan, Refusal> {
    decide(mesh, query, &mut Silent)
}

/// Decides like [`outbound`], and says how the decision came about.
pub fn explain_outbound(mesh: &Mesh, query: &OutboundQuery<'_>) -> Explanation<OutboundPlan> {
    Explanation::of(|steps| decide(mesh, query, steps))
}

fn decide<T: Trace>(
    mesh: &Mesh,
    query: &OutboundQuery<'_>,
    trace: &mut T,
) -> Result<OutboundPlan, Refusal> {
    let destination = query.destination;
    if is_own_address(query.source, destination.ip()) {
        return to_itself(query, destination, None, trace);
    }
    match mesh.target_for(&query.source.namespace, destination) {
        Target::Service(service, port) => to_service(mesh, query, service, Some(port), trace),
        Target::ServiceWithoutPort(service) => to_service(mesh, query, service, None, trace),
        Target::Workload(workload) => to_workload(mesh, query, workload, None, trace),
        Target::Unknown => to_unknown(mesh, query, None, trace),
    }
}

fn to_itself<T: Trace>(
    query: &OutboundQuery<'_>,
    to: SocketAddr,
    service: Option<&Arc<Service>>,
    trace: &mut T,
) -> Result<OutboundPlan, Refusal> {
    trace.note(|| {
        Step::of(
            "workload",
            &query.source.uid,
            format!("{to} is the pod itself"),
        )
    });
    if is_agent_port(to.port()) {
        return Err(self_call(query, query.source, to));
    }
    Ok(OutboundPlan::Own {
        to,
        service: service.cloned(),
    })
}

fn to_service<T: Trace>(
    mesh: &Mesh,
    query: &OutboundQuery<'_>,
    service: &Arc<Service>,
    port: Option<ServicePort>,
    trace: &mut T,
) -> Result<OutboundPlan, Refusal> {
    let name = &service.name;
    trace.note(|| {
        Step::of(
            "service",
            name,
            format!("{} is the service's", query.destination),
        )
    });
    let Some(port) = port else {
        return Err(unknown_port(query, service));
    };
    if let Some(waypoint) = &service.waypoint {
        return waypoint::pass(mesh, query, Bound::Service(service), waypoint, trace);
    }
    if service.load_balancing.mode == LoadBalancingMode::Passthrough {
        trace.note(|| Step::of("service", name, "has no endpoints: the destination is kept"));
        return match mesh.workload_at(query.destination.ip(), query.destination.port()) {
            Some(workload) => to_workload(mesh, query, workload, Some(service), trace),
            None => to_unknown(mesh, query, Some(service), trace),
        };
    }
    let wanted = Wanted::server(query, service, port.service_port);
    let Some(endpoint) = balance::pick(mesh, &wanted) else {
        let detail = balance::shortage(mesh, &wanted);
        return Err(Refusal::new(Reason::NoEndpoint, detail));
    };
    let Some(address) = endpoint.address else {
        return Ok(named::to_name(&endpoint, service, trace));
    };
    let to = SocketAddr::new(address, endpoint.port);
    trace.note(|| {
        let all = mesh
            .endpoint_set(name)
            .map_or(0, ambit_model::Endpoints::len);
        Step::of(
            "workload",
            &endpoint.workload.uid,
            format!("endpoint at {to}, one of {all}"),
        )
    });
    if is_own_address(query.source, address) {
        return to_itself(query, to, Some(service), trace);
    }
    if endpoint.workload.is_outside() {
        named::not_inside(mesh, &name.hostname, to)?;
    }
    reach(query, endpoint.workload, to, Some(service), trace)
}

/// To a workload's own address, which its waypoint guards; endpoints of a service are guarded by
/// the service's.
fn to_workload<T: Trace>(
    mesh: &Mesh,
    query: &OutboundQuery<'_>,
    workload: &Arc<Workload>,
    service: Option<&Arc<Service>>,
    trace: &mut T,
) -> Result<OutboundPlan, Refusal> {
    let to = canonical(query.destination);
    trace.note(|| {
        Step::of(
            "workload",
            &workload.uid,
            format!("{to} is the workload's own"),
        )
    });
    if let Some(waypoint) = &workload.waypoint {
        if workload.protocol == TunnelProtocol::Hbone && is_agent_port(to.port()) {
            return Err(self_call(query, workload, to));
        }
        let bound = Bound::Workload(workload, service);
        return waypoint::pass(mesh, query, bound, waypoint, trace);
    }
    reach(query, workload, to, service, trace)
}

/// To an address that no single workload owns: `service` is one that covers it and keeps the
/// destination. Several workloads may claim the address; going there in plaintext is right only
/// if it would be for each of them.
fn to_unknown<T: Trace>(
    mesh: &Mesh,
    query: &OutboundQuery<'_>,
    service: Option<&Arc<Service>>,
    trace: &mut T,
) -> Result<OutboundPlan, Refusal> {
    let to = canonical(query.destination);
    let inside = mesh
        .workloads_at(to.ip())
        .filter(|claimant| !claimant.is_outside());
    let mut claims = inside.peekable();
    let is_claimed = claims.peek().is_some();
    if let Some(guarded) = claims.find(|claimant| !is_plain(claimant)) {
        let detail = format!("several workloads claim {to}, among them {}", guarded.uid);
        return Err(Refusal::new(Reason::UnknownDestination, detail));
    }
    if !is_claimed && service.is_none() {
        trace.note(|| Step::plain(format!("nothing in the mesh has the address {to}")));
        if query.egress == EgressMode::RegistryOnly {
            let detail = format!(
                "{} asks for {to}, egress is REGISTRY_ONLY",
                query.source.uid
            );
            return Err(Refusal::new(Reason::UnknownDestination, detail));
        }
    }
    trace.note(|| Step::plain(format!("plaintext to {to}")));
    Ok(OutboundPlan::Passthrough {
        to,
        workload: None,
        service: service.cloned(),
    })
}

/// Goes to a workload in the way that it asks for.
fn reach<T: Trace>(
    query: &OutboundQuery<'_>,
    workload: &Arc<Workload>,
    to: SocketAddr,
    service: Option<&Arc<Service>>,
    trace: &mut T,
) -> Result<OutboundPlan, Refusal> {
    let (workload_uid, service) = (&workload.uid, service.cloned());
    match workload.protocol {
        TunnelProtocol::Hbone if is_agent_port(to.port()) => Err(self_call(query, workload, to)),
        TunnelProtocol::Hbone => {
            let expected = expected_identities(workload, service.as_deref());
            let authority = to;
            let to = SocketAddr::new(to.ip(), HBONE_PORT);
            trace.note(|| {
                Step::of(
                    "workload",
                    workload_uid,
                    tunnel_text(to, authority, &expected),
                )
            });
            Ok(OutboundPlan::Tunnel {
                to,
                authority,
                expected,
                workload: Arc::clone(workload),
                service,
                waypoint: false,
            })
        }
        TunnelProtocol::None => {
            trace.note(|| Step::of("workload", workload_uid, format!("plaintext to {to}")));
            Ok(OutboundPlan::Passthrough {
                to,
                workload: Some(Arc::clone(workload)),
                service,
            })
        }
        TunnelProtocol::Unsupported(number) => {
            let detail = format!("{workload_uid} asks for tunnel protocol {number}");
            Err(Refusal::new(Reason::UnsupportedProtocol, detail))
        }
    }
}

/// The workload's identity, and those that the service accepts beside it.
fn expected_identities(workload: &Workload, service: Option<&Service>) -> Arc<[SpiffeId]> {
    let identity = workload.identity();
    match service.map(|service| &*service.subject_alt_names) {
        None | Some([]) => Arc::new([identity]),
        Some(others) => {
            let others = others.iter().filter(|other| **other != identity).cloned();
            std::iter::once(identity.clone()).chain(others).collect()
        }
    }
}

/// The pod's own addresses, and those that mean "this host" whoever asks.
fn is_own_address(source: &Workload, address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback()
        || address.is_unspecified()
        || source
            .addresses
            .iter()
            .any(|own| own.to_canonical() == address)
}

/// True if plaintext to the workload's own address is what the mesh asks for.
fn is_plain(workload: &Workload) -> bool {
    workload.protocol == TunnelProtocol::None && workload.waypoint.is_none()
}

/// An IPv4 address written as IPv6 becomes IPv4; all else stays, the scope of an address included.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::new(IpAddr::V4(v4), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn tunnel_text(to: SocketAddr, authority: SocketAddr, expected: &[SpiffeId]) -> String {
    let expected: Vec<_> = expected.iter().map(SpiffeId::as_str).collect();
    format!(
        "tunnel to {to}, asking for {authority}, expecting {}",
        expected.join(" or ")
    )
}

#[cold]
fn self_call(query: &OutboundQuery<'_>, workload: &Workload, to: SocketAddr) -> Refusal {
    let detail = format!(
        "{} asks for {to}, the agent's port of {}",
        query.source.uid, workload.uid
    );
    Refusal::new(Reason::SelfCall, detail)
}

#[cold]
fn unknown_port(query: &OutboundQuery<'_>, service: &Service) -> Refusal {
    let ports: Vec<_> = service
        .ports
        .iter()
        .map(|port| port.service_port.to_string())
        .collect();
    let port = query.destination.port();
    let detail = format!(
        "service {} has no port {port}, only {}",
        service.name,
        ports.join(", ")
    );
    Refusal::new(Reason::UnknownPort, detail)
}

#[cfg(test)]
mod tests;
