//! May a connection that arrived at an enrolled pod go on to the application?
//!
//! The steps of [`inbound`], in order: a tunnel must ask for this pod ([`check_destination`]), the
//! port must not be the agent's own ([`check_port`]), every policy that applies must be known
//! ([`check_policies_known`]), and the policies must let it pass ([`authorize`]).

use std::net::{IpAddr, SocketAddr};

use ambit_model::{Mesh, PolicyName, SpiffeId, Workload};

use crate::authorize::{Admission, Connection, authorize};
use crate::is_agent_port;
use crate::refusal::{Reason, Refusal};
use crate::trace::{Explanation, Silent, Step, Trace};

/// A connection that arrived at an enrolled pod.
#[derive(Clone, Copy, Debug)]
pub struct InboundQuery<'a> {
    /// The pod that it arrived at, known by the listener that accepted it.
    pub workload: &'a Workload,
    /// The address and port in the pod that it asks for.
    pub destination: SocketAddr,
    /// Address of the client.
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
    let connection = Connection {
        source: query.source,
        destination: query.destination,
        peer: query.peer,
    };
    let admission = authorize(mesh, query.workload, &connection, trace)?;
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
fn check_policies_known(mesh: &Mesh, workload: &Workload) -> Result<(), Refusal> {
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
