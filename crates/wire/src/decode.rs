//! From the wire to the mesh model. Total on any bytes: an answer or a [`DecodeError`], no panic.
//!
//! What this version does not understand never opens a door: a tunnel protocol that is not known
//! stays "unsupported" (and is not replaced by plain text), an unreadable waypoint becomes one that
//! cannot be reached, an unreadable part of a policy marks its match, and a policy whose scope or
//! action is not known denies.

mod address;
mod authentication;
mod authorization;
mod routes;

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{MeshTelemetry, OutsideCredential, Policy, Service, TelemetryRules, Workload};
use prost::Message;

use crate::{security, waypoint, workload as wire};

pub use address::{service_from_wire, workload_from_wire};
pub use authentication::authentication_from_bytes;
pub use authorization::{policy_from_wire, waypoint_policy_from_wire};
pub use routes::{RoutesReader, routes_from_bytes};

/// What an `istio.workload.Address` holds.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, from the decoder to an Arc"
)]
pub enum Decoded {
    /// A workload.
    Workload(Workload),
    /// A service.
    Service(Service),
}

/// Why a resource cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the message.
    #[error("not a message of its type: {0}")]
    Message(String),
    /// A field that must be there is empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// A field that cannot be understood.
    #[error("`{field}` is `{value}`, {expected} expected")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What stands in it, shortened.
        value: String,
        /// What should.
        expected: &'static str,
    },
}

impl DecodeError {
    fn field(field: &'static str, value: &impl ToString, expected: &'static str) -> Self {
        let value: String = value.to_string().chars().take(100).collect();
        Self::Field {
            field,
            value,
            expected,
        }
    }
}

/// Reads a workload or service from its encoding. An empty trust domain stands for `trust_domain`.
pub fn address_from_bytes(body: &[u8], trust_domain: &str) -> Result<Decoded, DecodeError> {
    let message = wire::Address::decode(body).map_err(|e| DecodeError::Message(e.to_string()))?;
    address_from_wire(message, trust_domain)
}

/// Reads a workload or service. An empty trust domain stands for `trust_domain`.
pub fn address_from_wire(
    message: wire::Address,
    trust_domain: &str,
) -> Result<Decoded, DecodeError> {
    match message.r#type {
        None => Err(DecodeError::Empty("type")),
        Some(wire::address::Type::Workload(workload)) => {
            workload_from_wire(workload, trust_domain).map(Decoded::Workload)
        }
        Some(wire::address::Type::Service(service)) => {
            service_from_wire(service).map(Decoded::Service)
        }
    }
}

/// Reads a policy from its encoding.
pub fn policy_from_bytes(body: &[u8]) -> Result<Policy, DecodeError> {
    let message =
        security::Authorization::decode(body).map_err(|e| DecodeError::Message(e.to_string()))?;
    policy_from_wire(message)
}

/// What a resource says of what is told of requests.
#[derive(Clone, Debug, PartialEq)]
pub enum DecodedTelemetry {
    /// What holds for the mesh.
    Mesh(MeshTelemetry),
    /// The rules of an object.
    Rules(TelemetryRules),
}

/// Reads what is told of requests from its encoding.
pub fn telemetry_from_bytes(body: &[u8]) -> Result<DecodedTelemetry, DecodeError> {
    let message =
        waypoint::Telemetry::decode(body).map_err(|e| DecodeError::Message(e.to_string()))?;
    let read = match message.rules.is_empty() {
        true => serde_json::from_slice(&message.mesh).map(DecodedTelemetry::Mesh),
        false => serde_json::from_slice(&message.rules).map(DecodedTelemetry::Rules),
    };
    read.map_err(|e| DecodeError::Message(e.to_string()))
}

/// Reads what TLS with hosts outside of the mesh is spoken by, from its encoding. What is wrong with it is told
/// without any of it.
pub fn credential_from_bytes(body: &[u8]) -> Result<OutsideCredential, DecodeError> {
    let unreadable = || DecodeError::Message("no credential".to_owned());
    let message = waypoint::OutsideCredential::decode(body).map_err(|_unreadable| unreadable())?;
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Arc::from(text)),
        Err(_binary) => Err(unreadable()),
    };
    Ok(OutsideCredential {
        chain: text(&message.chain)?,
        key: text(&message.key)?,
        roots: text(&message.roots)?,
    })
}

/// Reads a policy as a waypoint judges by it, from its encoding.
pub fn waypoint_policy_from_bytes(body: &[u8]) -> Result<Policy, DecodeError> {
    let message =
        security::Authorization::decode(body).map_err(|e| DecodeError::Message(e.to_string()))?;
    waypoint_policy_from_wire(message)
}

/// An address of 4 or 16 bytes.
fn ip(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waypoint_policies;
