//! Whether a tunnel comes from the waypoint that stands in front of the workload.
//!
//! A workload's own waypoint is the one that it is bound to itself, or that a service of its namespace is bound to
//! which reaches the asked port of it (whoever can make it an endpoint of another namespace's must not choose who
//! comes around its policies); and those that stood there until a moment ago, which serve on
//! while clients learn of the change, and judge them as before. A peer is that waypoint if it proved the identity of one of
//! the waypoint's endpoints *and* connects from an address of that very endpoint: an identity
//! alone may be shared by pods that are no waypoint.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{GatewayAddress, Mesh, SpiffeId, Target, Workload};

use super::InboundQuery;
use crate::HBONE_PORT;

/// The endpoint of the workload's own waypoint that the connection comes from, if it does.
pub(super) fn own_waypoint<'a>(
    mesh: &'a Mesh,
    query: &InboundQuery<'_>,
) -> Option<&'a Arc<Workload>> {
    let peer = query.peer?;
    bindings(mesh, query.workload, query.destination.port())
        .find_map(|waypoint| endpoint(mesh, waypoint, query.source, peer))
}

/// The waypoints that stand in front of a port of the workload, or did until a moment ago.
fn bindings<'a>(
    mesh: &'a Mesh,
    workload: &'a Workload,
    port: u16,
) -> impl Iterator<Item = &'a GatewayAddress> {
    let own = workload.services.iter();
    let own = own.filter(|(name, _)| name.namespace == workload.namespace);
    let reaching =
        own.filter(move |(_, ports)| ports.iter().any(|mapping| mapping.target_port == port));
    let of_services = reaching.flat_map(|(name, _)| {
        let present = mesh
            .service(name)
            .and_then(|service| service.waypoint.as_ref());
        present.into_iter().chain(mesh.former_waypoints_of(name))
    });
    let former = mesh.former_waypoints_of_workload(&workload.uid);
    workload.waypoint.iter().chain(former).chain(of_services)
}

/// The endpoint of a waypoint with this address and identity.
fn endpoint<'a>(
    mesh: &'a Mesh,
    waypoint: &GatewayAddress,
    address: IpAddr,
    identity: &SpiffeId,
) -> Option<&'a Arc<Workload>> {
    mesh.workloads_at(address)
        .find(|workload| workload.identity() == *identity && is_part_of(mesh, waypoint, workload))
}

/// Whether a peer looks like a waypoint, of whatever: it proved the identity of a workload at its
/// address that is an endpoint of some service's port for tunnels.
pub fn looks_like_waypoint(mesh: &Mesh, source: IpAddr, peer: &SpiffeId) -> bool {
    let takes_tunnels = |workload: &Arc<Workload>| {
        let mut ports = workload.services.values().flatten();
        ports.any(|mapping| mapping.service_port == HBONE_PORT)
    };
    mesh.workloads_at(source)
        .any(|workload| workload.identity() == *peer && takes_tunnels(workload))
}

fn is_part_of(mesh: &Mesh, waypoint: &GatewayAddress, workload: &Arc<Workload>) -> bool {
    match waypoint {
        GatewayAddress::Service(name, _) => workload.services.contains_key(name),
        GatewayAddress::Address(address, port) => {
            match mesh.target((address.address, *port).into()) {
                Target::Service(service, _) | Target::ServiceWithoutPort(service) => {
                    workload.services.contains_key(&service.name)
                }
                Target::Workload(only) => only.uid == workload.uid,
                Target::Unknown => false,
            }
        }
    }
}

#[cfg(test)]
mod tests;
