//! Decisions about connections: what happens to one, and which objects of the mesh decide it.
//!
//! Every decision is a pure function of one [`Mesh`](ambit_model::Mesh) snapshot and a query: no
//! async, no I/O, no clock, no hidden randomness. The node agent acts on [`outbound()`] and
//! [`inbound()`], a waypoint on [`at_waypoint()`]; `ambit explain` prints [`explain_outbound`],
//! [`explain_at_waypoint`] and [`explain_inbound`], which run the same code and write down the steps. A connection that may not be is a [`Refusal`] with a
//! [`Reason`], whose word is the same in log, metric and documentation.
//!
//! Where something is not known or not understood, the answer is a refusal, never plaintext.

mod at_waypoint;
mod authorize;
mod balance;
mod egress;
mod elsewhere;
#[cfg(test)]
mod fixtures;
mod inbound;
mod outbound;
mod plan;
mod refusal;
mod trace;

pub use at_waypoint::{at_waypoint, before_routing, explain_at_waypoint, explain_before_routing};
pub use authorize::{Admission, Connection, DryRun, Said, matches};
pub use egress::{EgressMode, EgressModeError};
pub use elsewhere::is_elsewhere;
pub use inbound::{InboundQuery, explain_inbound, inbound, looks_like_waypoint};
pub use outbound::{explain_outbound, outbound, resolved};
pub use plan::{OutboundPlan, OutboundQuery};
pub use refusal::{Reason, Refusal, reasons_table};
pub use trace::{Explanation, Step};

/// Port in every enrolled pod to which the pod's outgoing connections are redirected.
pub const OUTBOUND_PORT: u16 = 15001;
/// Port in every enrolled pod to which plaintext connections to the pod are redirected.
pub const INBOUND_PORT: u16 = 15006;
/// Port in every enrolled pod on which tunnels arrive.
pub const HBONE_PORT: u16 = 15008;

/// True for a port that the agent holds in every enrolled pod. No application is behind it.
pub fn is_agent_port(port: u16) -> bool {
    matches!(port, OUTBOUND_PORT | INBOUND_PORT | HBONE_PORT)
}
