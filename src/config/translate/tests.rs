mod annotations;
mod authentication;
mod destination_rule;
mod incremental;
mod peer_authentication;
mod policy;
mod requests;
mod routes;
mod service;
mod service_entry;
mod targets;
mod tunnel_port;
mod workload;

use ambit_model::{Policy, PolicyName, Service, Workload};

use crate::config::fixture::Folder;

/// A waypoint `w` of this namespace, which services of all namespaces may use, and these objects.
fn behind_waypoint(namespace: &str, objects: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: w, namespace: {namespace}}}
spec:
  gatewayClassName: ambit-waypoint
  listeners: [{{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {{namespaces: {{from: All}}}}}}]
---
{objects}"
    )
}

/// The workload of a pod.
fn workload<'a>(folder: &'a Folder, namespace: &str, name: &str) -> &'a Workload {
    let found = folder.configuration.mesh().workload_by_pod(namespace, name);
    found.unwrap_or_else(|| panic!("no workload {namespace}/{name}"))
}

/// A service by its host name up to `.svc`.
fn service<'a>(folder: &'a Folder, name: &str) -> &'a Service {
    let found = folder
        .configuration
        .mesh()
        .service_by_hostname(&format!("{name}.svc.cluster.local"));
    found.unwrap_or_else(|| panic!("no service {name}"))
}

/// A policy by namespace and name.
fn policy<'a>(folder: &'a Folder, namespace: &str, name: &str) -> Option<&'a Policy> {
    let name = PolicyName::new(namespace, name);
    folder.configuration.mesh().policy(&name).map(AsRef::as_ref)
}

/// Names in the form that tables like.
fn names(list: &[PolicyName]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
