//! Endpoints that are known by name only: hosts outside of the mesh. The name is resolved when somebody
//! connects, by a resolver that is not ours; so where it leads is judged before anybody goes there.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_model::{Mesh, Service, TunnelProtocol, Workload};

use crate::balance::Endpoint;
use crate::elsewhere::is_elsewhere;
use crate::plan::OutboundPlan;
use crate::refusal::{Reason, Refusal};
use crate::trace::{Step, Trace};

/// To an endpoint by its name.
pub(super) fn to_name<T: Trace>(
    endpoint: &Endpoint<'_>,
    service: &Arc<Service>,
    trace: &mut T,
) -> OutboundPlan {
    let (workload, port) = (endpoint.workload, endpoint.port);
    trace.note(|| {
        let text = format!(
            "plaintext to port {port} of {}, resolved",
            workload.hostname
        );
        Step::of("workload", &workload.uid, text)
    });
    OutboundPlan::Resolve {
        hostname: Arc::clone(&workload.hostname),
        port,
        workload: Arc::clone(workload),
        service: Arc::clone(service),
    }
}

/// Whether a connection may go where a name leads.
///
/// Not to the pod itself nor its link, and to nothing that the mesh knows: that is reached under its own
/// name, through tunnels, waypoints and policies. An address outside of the mesh that somebody has
/// registered may be reached by name too.
///
/// # Errors
/// Where it may not.
pub fn resolved(mesh: &Mesh, hostname: &str, to: SocketAddr) -> Result<(), Refusal> {
    if !is_elsewhere(to.ip()) {
        let what = "no host outside of the mesh has that address";
        let detail = format!("{hostname} leads to {to}: {what}");
        return Err(Refusal::new(Reason::OutsideAddress, detail));
    }
    not_inside(mesh, hostname, to)
}

/// Whether nothing of the mesh is at an address to which an entry leads, by a name or as it is written.
pub(super) fn not_inside(mesh: &Mesh, entry: &str, to: SocketAddr) -> Result<(), Refusal> {
    let refused = |what: String| {
        let detail = format!("{entry} leads to {to}: {what}");
        Err(Refusal::new(Reason::OutsideAddress, detail))
    };
    if let Some(workload) = mesh.workloads_at(to.ip()).find(|found| is_inside(found)) {
        return refused(format!("that is {}", workload.uid));
    }
    match mesh.service_at(to.ip()) {
        Some(service) if is_of_mesh(mesh, service) => refused(format!("that is {}", service.name)),
        _ => Ok(()),
    }
}

/// Whether a service is more than an address outside of the mesh that somebody has registered.
fn is_of_mesh(mesh: &Mesh, service: &Service) -> bool {
    service.canonical
        || service.waypoint.is_some()
        || mesh.endpoints(&service.name).any(|found| is_inside(found))
}

/// Whether a workload has the mesh before it. Hosts that an entry names have not, nor have those of a
/// node's own network, whose address is the node's.
fn is_inside(workload: &Workload) -> bool {
    let is_plain = workload.protocol == TunnelProtocol::None && workload.waypoint.is_none();
    !(workload.is_outside() || is_plain && workload.host_network)
}

#[cfg(test)]
mod tests;
