//! Delta subscriptions as two machines without I/O: what a stream of discovery says, for one type
//! of resource, at the [`Client`]'s end and at the [`Server`]'s.
//!
//! ```text
//!   Client                                      Server
//!   connect() -- versions held -------------->  request()
//!   receive() <------------- what differs ----  poll()        one response is under way at a time
//!   answer()  -- ACK, or NACK "name: reason" -> request()     acked_through() moves on
//!             <------------- what changed ----  changed(n), poll()
//! ```
//!
//! Invariants: a resource whose version the client holds is not sent again; a rejected resource
//! keeps its last good state at the client and is asked for again (empty version) on the next
//! stream; both ends hold equal names and versions once nothing is under way.
//!
//! What travels of a type that can be edited ([`Server::editing`]) may lead from the version that the client
//! holds to another one, and have that one's version.
//!
//! Our own client announces ([`ANNOUNCE_CHUNKS`]) that it understands a state that comes in several
//! responses, all but the last marked [`MORE`]; any other client gets its first state in one.

mod catalog;
mod client;
mod server;

pub use catalog::{Catalog, Entry};
pub use client::{Client, Received, Rejection, Update};
pub use server::{Edit, Outcome, Server};

/// Type of workloads and services.
pub const ADDRESS_TYPE: &str = "type.googleapis.com/istio.workload.Address";
/// Type of authorization policies.
pub const AUTHORIZATION_TYPE: &str = "type.googleapis.com/istio.security.Authorization";
/// Type of the routes of services, of our own.
pub const ROUTES_TYPE: &str = "type.googleapis.com/ambit.waypoint.v1.ServiceRoutes";
/// Type of what waypoints tell of requests, of our own.
pub const TELEMETRY_TYPE: &str = "type.googleapis.com/ambit.waypoint.v1.Telemetry";
/// Type of request authentications, of our own.
pub const AUTHENTICATION_TYPE: &str = "type.googleapis.com/ambit.waypoint.v1.RequestAuthentication";
/// Type of what TLS with hosts outside of the mesh is spoken by, of our own.
pub const CREDENTIAL_TYPE: &str = "type.googleapis.com/ambit.waypoint.v1.OutsideCredential";
/// `system_version_info` of a response that more responses of the same state follow.
pub const MORE: &str = "ambit.mesh/more";
/// Field of the node's metadata by which a client says that it waits for the end of [`MORE`].
pub const ANNOUNCE_CHUNKS: &str = "AMBIT_CHUNKS";

#[cfg(test)]
mod properties;
