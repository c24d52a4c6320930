//! From the mesh model to the wire: messages, resource names and versions.
//!
//! Pure and total. Equal objects give equal bytes, and with that equal versions, in every process
//! and after every restart: the encoding has no maps in random order and elides nothing that
//! depends on a setting.

mod address;
mod authorization;
mod routes;

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    MeshTelemetry, OutsideCredential, Policy, RequestAuthentication, Service, ServiceRoutes,
    TelemetryRules, Workload,
};
use bytes::Bytes;
use prost::Message;

use crate::delta::Entry;
use crate::waypoint;

pub use address::{service_to_wire, workload_to_wire};
pub use authorization::policy_to_wire;
pub use routes::{routes_edit, routes_to_wire};

/// Name of our extension of a workload.
pub const WORKLOAD_EXTENSION: &str = "ambit.mesh/workload";
/// Type of our extension of a workload.
pub const WORKLOAD_EXTENSION_TYPE: &str = "type.googleapis.com/ambit.workload.v1.WorkloadExtension";

/// Name of our extension of a service.
pub const SERVICE_EXTENSION: &str = "ambit.mesh/service";
/// Type of our extension of a service.
pub const SERVICE_EXTENSION_TYPE: &str = "type.googleapis.com/ambit.workload.v1.ServiceExtension";

/// Name of the resource that says what is told of requests in the whole mesh.
pub const MESH_TELEMETRY: &str = "mesh";

/// Name of our extension of a policy that says what is left of it behind a waypoint.
pub const BEHIND_EXTENSION: &str = "ambit.mesh/behind";
/// Type of that extension.
pub const BEHIND_EXTENSION_TYPE: &str = "type.googleapis.com/ambit.workload.v1.BehindExtension";

/// Name of our extension of a policy that has all of it, for waypoints.
pub const REQUESTS_EXTENSION: &str = "ambit.mesh/requests";
/// Type of that extension.
pub const REQUESTS_EXTENSION_TYPE: &str = "type.googleapis.com/ambit.workload.v1.RequestsExtension";

/// Length of a version in bytes before it is written in hexadecimal: a collision among all the
/// versions that one name ever has is out of reach.
const VERSION_BYTES: usize = 16;

/// The version of a resource: a hash of its encoding.
pub fn content_version(body: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    digest
        .as_ref()
        .iter()
        .take(VERSION_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A workload as a named, versioned resource.
pub fn workload_entry(workload: &Workload) -> (Arc<str>, Entry) {
    let addresses = workload
        .addresses
        .iter()
        .map(|ip| alias(&workload.network, *ip));
    let aliases = addresses.collect();
    (
        workload.uid.as_str().into(),
        entry(&workload_to_wire(workload), aliases),
    )
}

/// A service as a named, versioned resource.
pub fn service_entry(service: &Service) -> (Arc<str>, Entry) {
    let addresses = service
        .vips
        .iter()
        .map(|(vip, _)| alias(&vip.network, vip.address));
    let aliases = addresses.collect();
    (
        service.name.to_string().into(),
        entry(&service_to_wire(service), aliases),
    )
}

/// A policy as a named, versioned resource.
pub fn policy_entry(policy: &Policy) -> (Arc<str>, Entry) {
    (
        policy.name.to_string().into(),
        entry(&policy_to_wire(policy), Arc::from([])),
    )
}

/// The routes of a service as a named, versioned resource.
pub fn routes_entry(routes: &ServiceRoutes) -> (Arc<str>, Entry) {
    (
        routes.service.to_string().into(),
        entry(&routes_to_wire(routes), Arc::from([])),
    )
}

/// What is told of requests in the whole mesh, as a named, versioned resource.
pub fn telemetry_entry(mesh: &MeshTelemetry) -> (Arc<str>, Entry) {
    let message = waypoint::Telemetry {
        // It has only texts and words: that is always JSON.
        mesh: serde_json::to_vec(mesh).unwrap_or_default().into(),
        ..waypoint::Telemetry::default()
    };
    (MESH_TELEMETRY.into(), entry(&message, Arc::from([])))
}

/// The rules of an object for what is told of requests, as a named, versioned resource.
pub fn telemetry_rules_entry(rules: &TelemetryRules) -> (Arc<str>, Entry) {
    let message = waypoint::Telemetry {
        // As above.
        rules: serde_json::to_vec(rules).unwrap_or_default().into(),
        ..waypoint::Telemetry::default()
    };
    let name = format!("{}/{}", rules.namespace, rules.name);
    (name.into(), entry(&message, Arc::from([])))
}

/// A request authentication as a named, versioned resource.
pub fn authentication_entry(object: &RequestAuthentication) -> (Arc<str>, Entry) {
    // No type of the model has a map whose keys are not texts or numbers: this does not fail.
    let json = serde_json::to_vec(object).unwrap_or_default().into();
    let message = waypoint::RequestAuthentication { json };
    (
        object.name.to_string().into(),
        entry(&message, Arc::from([])),
    )
}

/// What TLS with hosts outside of the mesh is spoken by, as a named, versioned resource.
pub fn credential_entry(name: &str, given: &OutsideCredential) -> (Arc<str>, Entry) {
    let bytes = |text: &Arc<str>| Bytes::copy_from_slice(text.as_bytes());
    let message = waypoint::OutsideCredential {
        chain: bytes(&given.chain),
        key: bytes(&given.key),
        roots: bytes(&given.roots),
    };
    (name.into(), entry(&message, Arc::from([])))
}

/// The name by which an address of a network can be asked for.
pub fn alias(network: &str, address: IpAddr) -> Arc<str> {
    format!("{network}/{address}").into()
}

fn entry(message: &impl Message, aliases: Arc<[Arc<str>]>) -> Entry {
    let body = Bytes::from(message.encode_to_vec());
    Entry {
        version: content_version(&body).into(),
        body,
        aliases,
    }
}

fn text(shared: &Arc<str>) -> String {
    String::from(&**shared)
}

fn octets(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    }
}

#[cfg(test)]
mod tests;
