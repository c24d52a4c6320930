//! May a connection that arrived at an enrolled pod go on to the application?
//!
//! The steps of [`inbound`], in order: a tunnel must ask for this pod ([`check_destination`]), the
//! port must not be the agent's own ([`check_port`]), every policy that applies must be known
//! ([`check_policies_known`]), a workload that is kept to its waypoint must be asked by it
//! ([`check_waypoint`]), and the policies must let it pass ([`authorize`]).
//!
//! # Connections of the workload's own waypoint
//!
//! Behind the workload's own waypoint ([`waypoint::own_waypoint`]) stands a client that is not seen
//! here. The waypoint has judged it: by the policies bound to the waypoint or to what was asked for, and
//! by what the policies that apply to this workload say of clients (principals, namespaces, service
//! accounts, addresses) and of their requests (methods, paths, hosts, headers, tokens). Here the same
//! policies are judged by the rest: a match that names something of the client or of a request holds
//! within ALLOW and does not within DENY as far as that is concerned; what it says of the destination's
//! address and port, and what this version cannot evaluate, decides as for everybody. So an ALLOW policy
//! without rules still lets nobody in, and a DENY for a port still closes it. The identity of the waypoint
//! is not asked about by any policy. What names a request cannot be told from the rules about connections:
//! what is left of such a policy comes beside them ([`Policy::behind`](ambit_model::Policy::behind)).
//! From anybody else, whatever names a request never allows, and refuses by the rest of what it says.
//!
//! Anybody else is judged as who it proved to be, also a waypoint of other workloads. So is every
//! waypoint under a foreign control plane: those of Istio leave such policies to the destination.

mod waypoint;

use std::net::{IpAddr, SocketAddr};

use ambit_model::{Mesh, Policy, PolicyName, SpiffeId, Workload};

use crate::authorize::{Admission, Connection, Judged, Said, authorize};
use crate::is_agent_port;
use crate::refusal::{Reason, Refusal};
use crate::trace::{Explanation, Silent, Step, Trace};

use self::waypoint::own_waypoint;

pub use self::waypoint::looks_like_waypoint;

/// A connection that arrived at an enrolled pod.
#[derive(Clone, Copy, Debug)]
pub struct InboundQuery<'a> {
    /// The pod that it arrived at, known by the listener that accepted it.
    pub workload: &'a Workload,
    /// The address and port in the pod that it asks for.
    pub destination: SocketAddr,
    /// Address of the client: of whoever made the TCP connection.
    pub source: IpAddr,
    /// Identity that the client proved; `None` for plaintext.
    pub peer: Option<&'a SpiffeId>,
}

/// Decides about a connection that arrived at an enrolled pod.
pub fn inbound(mesh: &Mesh, query: &InboundQuery<'_>) -> Result<Admission, Refusal> {
    decide(mesh, query, &mut Silent)
}

/// Decides like [`inbound`], and says how the decision came about.
pub fn explain_inbound(mesh: &Mesh, query: &InboundQuery<'_>) -> Explanation<Admission> {
    Explanation::of(|steps| decide(mesh, query, steps))
}

fn decide<T: Trace>(
    mesh: &Mesh,
    query: &InboundQuery<'_>,
    trace: &mut T,
) -> Result<Admission, Refusal> {
    trace.note(|| arrival(query));
    check_destination(query)?;
    check_port(query)?;
    check_policies_known(mesh, query.workload)?;
    let waypoint = own_waypoint(mesh, query);
    check_waypoint(query, waypoint.is_some())?;
    let client_is_judged = waypoint.is_some() && is_of_our_control_plane(query.workload);
    if let Some(waypoint) = waypoint {
        trace.note(|| own(waypoint, client_is_judged));
    }
    let connection = Connection {
        source: query.source,
        destination: query.destination,
        peer: query.peer,
        client_is_judged,
    };
    let judged = Judged {
        policies: || mesh.policies_for(query.workload),
        say: |_: &Policy| Said::Nothing,
        to: &query.workload.uid,
    };
    let mut admission = authorize(&judged, &connection, trace)?;
    admission.from_waypoint = waypoint.is_some();
    trace.note(|| admitted(admission.allowed_by.as_ref()));
    Ok(admission)
}

/// The authority of a tunnel must be an address of the pod itself, else the agent would be an
/// open proxy in the pod's network, its loopback included. A plaintext connection's destination
/// is what the kernel delivered to the pod.
fn check_destination(query: &InboundQuery<'_>) -> Result<(), Refusal> {
    let asked = query.destination.ip().to_canonical();
    let is_own = || {
        query
            .workload
            .addresses
            .iter()
            .any(|own| own.to_canonical() == asked)
    };
    if query.peer.is_none() || is_own() {
        return Ok(());
    }
    let detail = format!(
        "a tunnel to {} asks for {}",
        query.workload.uid, query.destination
    );
    Err(Refusal::new(Reason::WrongDestination, detail))
}

fn check_port(query: &InboundQuery<'_>) -> Result<(), Refusal> {
    if !is_agent_port(query.destination.port()) {
        return Ok(());
    }
    let detail = format!("{} asks for {}", query.source, query.destination);
    Err(Refusal::new(Reason::SelfCall, detail))
}

/// A workload and its policies are one unit: what a missing policy would say is not known.
pub(crate) fn check_policies_known(mesh: &Mesh, workload: &Workload) -> Result<(), Refusal> {
    let applicable = workload.applicable_policies.iter().flatten();
    let missing = applicable
        .chain(&workload.policies)
        .find(|name| mesh.policy(name).is_none());
    missing.map_or(Ok(()), |name| {
        let detail = format!("policy {name} applies to {} and is not known", workload.uid);
        Err(Refusal::by_policy(
            Reason::PoliciesUnknown,
            name.clone(),
            detail,
        ))
    })
}

/// What only a waypoint can judge is not served to those who come around it.
fn check_waypoint(query: &InboundQuery<'_>, is_own: bool) -> Result<(), Refusal> {
    if is_own || !query.workload.waypoint_only {
        return Ok(());
    }
    let uid = &query.workload.uid;
    let peer = query.peer.map_or("plaintext", SpiffeId::as_str);
    let detail = format!(
        "{peer} from {} to {uid} port {}, which takes connections of its waypoint only",
        query.source,
        query.destination.port()
    );
    Err(Refusal::new(Reason::WaypointRequired, detail))
}

/// Only our control plane lists the policies of a workload, and only its waypoints judge by them.
fn is_of_our_control_plane(workload: &Workload) -> bool {
    workload.applicable_policies.is_some()
}

fn own(waypoint: &Workload, client_is_judged: bool) -> Step {
    let text = if client_is_judged {
        "is the workload's own waypoint, which judges clients"
    } else {
        "is the workload's own waypoint, and judged as itself"
    };
    Step::of("workload", &waypoint.uid, text)
}

fn arrival(query: &InboundQuery<'_>) -> Step {
    let uid = &query.workload.uid;
    let text = match query.peer {
        Some(peer) => format!(
            "{peer} from {} in a tunnel to {}",
            query.source, query.destination
        ),
        None => format!("plaintext from {} to {}", query.source, query.destination),
    };
    Step::of("workload", uid, text)
}

fn admitted(by: Option<&PolicyName>) -> Step {
    match by {
        Some(policy) => Step::of("policy", policy, "admitted"),
        None => Step::plain("admitted: no ALLOW policy applies and no DENY policy matches"),
    }
}

#[cfg(test)]
mod tests;
