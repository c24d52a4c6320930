//! Where a host outside of the mesh cannot be: a name, or an entry that somebody writes, is no way around
//! policy, nor to what only the waypoint can reach.

use std::fmt;
use std::net::IpAddr;

use ambit_model::{TunnelProtocol, Workload};

use crate::view::View;

/// What stands at an address that is not gone to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// This host, its link, what tells of it, or nobody.
    Local,
    /// This waypoint.
    Own,
    /// A pod of the mesh, or a service of it.
    Mesh,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "this host's own, its link's, or nobody's",
            Self::Own => "the waypoint's own",
            Self::Mesh => "that of a pod or service of the mesh, which is called by its own name",
        })
    }
}

/// What forbids an address as one outside of the mesh, as far as the mesh is known.
pub(crate) fn forbidden(view: &View, address: IpAddr) -> Option<Forbidden> {
    let address = address.to_canonical();
    if !(view.may_be_outside)(address) {
        return Some(Forbidden::Local);
    }
    if view.is_own_address(address) {
        return Some(Forbidden::Own);
    }
    let is_pods = view.mesh.workloads_at(address).any(|w| is_of_mesh(w));
    (is_pods || view.is_of_a_service(address)).then_some(Forbidden::Mesh)
}

/// Whether a workload has the mesh before it. Those of a node's own network have not, and have its address.
fn is_of_mesh(workload: &Workload) -> bool {
    let is_tunnelled = workload.protocol != TunnelProtocol::None;
    is_tunnelled || !(workload.host_network || workload.is_outside())
}
