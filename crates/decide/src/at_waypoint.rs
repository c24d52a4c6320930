//! May a client's connection or request go on from a waypoint to this workload?
//!
//! The waypoint sees the client and the workload's agent does not (see [`inbound()`](fn@crate::inbound)):
//! so here every policy that applies to the workload is judged whole, as its agent would judge it
//! without a waypoint.

use std::net::{IpAddr, SocketAddr};

use ambit_model::{Mesh, SpiffeId, Workload};

use crate::authorize::{Admission, Connection, authorize};
use crate::inbound::check_policies_known;
use crate::refusal::Refusal;
use crate::trace::{Explanation, Silent, Trace};

/// Decides at a waypoint about a client that wants to reach this address of a workload.
pub fn at_waypoint(
    mesh: &Mesh,
    workload: &Workload,
    client: IpAddr,
    destination: SocketAddr,
    peer: Option<&SpiffeId>,
) -> Result<Admission, Refusal> {
    let connection = of(client, destination, peer);
    decide(mesh, workload, &connection, &mut Silent)
}

/// Decides like [`at_waypoint`], and says how the decision came about.
pub fn explain_at_waypoint(
    mesh: &Mesh,
    workload: &Workload,
    client: IpAddr,
    destination: SocketAddr,
    peer: Option<&SpiffeId>,
) -> Explanation<Admission> {
    let connection = of(client, destination, peer);
    Explanation::of(|steps| decide(mesh, workload, &connection, steps))
}

fn of(client: IpAddr, destination: SocketAddr, peer: Option<&SpiffeId>) -> Connection<'_> {
    Connection {
        source: client,
        destination,
        peer,
        client_is_judged: false,
    }
}

fn decide<T: Trace>(
    mesh: &Mesh,
    workload: &Workload,
    connection: &Connection<'_>,
    trace: &mut T,
) -> Result<Admission, Refusal> {
    check_policies_known(mesh, workload)?;
    authorize(mesh, workload, connection, trace)
}

#[cfg(test)]
mod tests;
