//! May a client's connection or request go on from a waypoint to this workload?
//!
//! The waypoint sees the client and the workload's agent does not (see [`inbound()`](fn@crate::inbound)):
//! so here every policy that applies to the workload is judged whole, as its agent would judge it
//! without a waypoint. What a policy says of requests the waypoint says itself ([`Said`]).
//!
//! Policies that are bound to what the client asked for, a service or the waypoint as a whole, are judged
//! before it is known where that leads ([`before_routing`]).

use std::fmt;
use std::sync::Arc;

use ambit_model::{Mesh, Policy, Workload};

use crate::authorize::{Admission, Connection, Judged, Said, authorize};
use crate::inbound::check_policies_known;
use crate::refusal::Refusal;
use crate::trace::{Explanation, Silent, Trace};

/// Decides at a waypoint about a client that wants to reach an address of a workload.
pub fn at_waypoint(
    mesh: &Mesh,
    workload: &Workload,
    connection: &Connection<'_>,
    say: impl Fn(&Policy) -> Said,
) -> Result<Admission, Refusal> {
    decide(mesh, workload, connection, say, &mut Silent)
}

/// Decides like [`at_waypoint`], and says how the decision came about.
pub fn explain_at_waypoint(
    mesh: &Mesh,
    workload: &Workload,
    connection: &Connection<'_>,
    say: impl Fn(&Policy) -> Said,
) -> Explanation<Admission> {
    Explanation::of(|steps| decide(mesh, workload, connection, say, steps))
}

/// Decides at a waypoint by the policies that are bound to what a client asks for.
pub fn before_routing<'m, I: Iterator<Item = &'m Arc<Policy>>>(
    policies: impl Fn() -> I,
    asked: &dyn fmt::Display,
    connection: &Connection<'_>,
    say: impl Fn(&Policy) -> Said,
) -> Result<Admission, Refusal> {
    let judged = Judged {
        policies,
        say,
        to: asked,
    };
    authorize(&judged, connection, &mut Silent)
}

/// Decides like [`before_routing`], and says how the decision came about.
pub fn explain_before_routing<'m, I: Iterator<Item = &'m Arc<Policy>>>(
    policies: impl Fn() -> I,
    asked: &dyn fmt::Display,
    connection: &Connection<'_>,
    say: impl Fn(&Policy) -> Said,
) -> Explanation<Admission> {
    let judged = Judged {
        policies,
        say,
        to: asked,
    };
    Explanation::of(|steps| authorize(&judged, connection, steps))
}

fn decide<T: Trace>(
    mesh: &Mesh,
    workload: &Workload,
    connection: &Connection<'_>,
    say: impl Fn(&Policy) -> Said,
    trace: &mut T,
) -> Result<Admission, Refusal> {
    check_policies_known(mesh, workload)?;
    let judged = Judged {
        policies: || mesh.policies_for(workload),
        say,
        to: &workload.uid,
    };
    authorize(&judged, connection, trace)
}

#[cfg(test)]
mod tests;
