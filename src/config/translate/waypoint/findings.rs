//! What is wrong with waypoints and the labels that name them. Each label is told of once, where it
//! stands: one of a namespace not for every service in it.

use std::sync::Arc;

use super::{
    GATEWAY_NAME, HBONE, Scope, USE_WAYPOINT, WAYPOINT_FOR, WAYPOINT_PORT, WhyRefused,
    is_our_class, named_waypoint, tunnel_listener,
};
use crate::config::objects::gateway::{Gateway, GatewayKey};
use crate::config::objects::metadata::{Labels, Metadata};
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Severity};
use crate::config::store::Objects;

/// What is wrong, and with which object.
pub fn waypoint_findings(objects: &Objects) -> Vec<(&ObjectKey, Severity, Finding)> {
    let mut found = Vec::new();
    for kind in [Kind::Namespace, Kind::Service, Kind::Pod] {
        for (key, object) in objects.of_kind(kind) {
            let finding = labels_of(object).and_then(|labels| of_label(objects, key, labels));
            found.extend(finding.map(|finding| (key, Severity::Error, finding)));
        }
    }
    for (key, object) in objects.of_kind(Kind::Gateway) {
        if let Object::Gateway(gateway) = object
            && is_our_class(objects, &gateway.spec.gateway_class_name)
        {
            let listener = of_listeners(gateway);
            found.extend(listener.map(|finding| (key, Severity::Error, finding)));
            let scope = of_scope(&gateway.metadata);
            found.extend(scope.map(|finding| (key, Severity::Warning, finding)));
        }
    }
    for (key, object) in objects.of_kind(Kind::GatewayClass) {
        if let Object::GatewayClass(class) = object
            && is_our_class(objects, &key.name)
        {
            let scope = of_scope(&class.metadata);
            found.extend(scope.map(|finding| (key, Severity::Warning, finding)));
        }
    }
    found
}

fn labels_of(object: &Object) -> Option<&Labels> {
    match object {
        Object::Namespace(namespace) => Some(&namespace.metadata.labels),
        Object::Service(service) => Some(&service.metadata.labels),
        // A pod's labels are its Deployment's: told of once is enough, and what was made is not bound.
        Object::Pod(pod) if !pod.metadata.labels.contains_key(GATEWAY_NAME) => {
            Some(&pod.metadata.labels)
        }
        _ => None,
    }
}

/// A label that names a waypoint which cannot serve.
fn of_label(objects: &Objects, key: &ObjectKey, labels: &Labels) -> Option<Finding> {
    let is_namespace = key.kind == Kind::Namespace;
    let home: &Arc<str> = if is_namespace {
        &key.name
    } else {
        &key.namespace
    };
    let waypoint = named_waypoint(labels, home).flatten()?;
    let (what, advice) = match objects.gateway(&waypoint) {
        None => (
            WhyRefused::Missing.words(),
            "make it with `ambit waypoint apply`, or take the label off",
        ),
        Some(gateway) => match tunnel_listener(gateway) {
            None => (
                WhyRefused::NotAWaypoint.words(),
                "correct the Gateway or the label",
            ),
            Some(listener) => {
                let namespaces = &listener.allowed_routes.namespaces;
                let labels = objects.namespace_labels(home);
                if namespaces.admit(&waypoint.namespace, home, labels) {
                    return None;
                }
                (
                    "its listener does not admit this namespace",
                    "widen allowedRoutes.namespaces of the Gateway's listener",
                )
            }
        },
    };
    Some(refusal(labels, &waypoint, what, advice))
}

fn refusal(labels: &Labels, waypoint: &GatewayKey, what: &str, advice: &str) -> Finding {
    let label = USE_WAYPOINT
        .into_iter()
        .find(|label| labels.contains_key(*label));
    let field = format!("metadata.labels[{}]", label.unwrap_or_default());
    let what = format!("names waypoint {waypoint}: {what}; connections are refused");
    Finding::new(field, what, advice)
}

fn of_listeners(gateway: &Gateway) -> Option<Finding> {
    let missing = tunnel_listener(gateway).is_none();
    missing.then(|| {
        Finding::new(
            "spec.listeners",
            format!("none is a waypoint's: protocol {HBONE} on port {WAYPOINT_PORT}"),
            "add {name: mesh, port: 15008, protocol: HBONE}",
        )
    })
}

fn of_scope(metadata: &Metadata) -> Option<Finding> {
    let mut named = WAYPOINT_FOR
        .into_iter()
        .filter_map(|label| Some((label, metadata.labels.get(label)?)));
    let (label, scope) = named.next()?;
    (!Scope::is_known(scope)).then(|| {
        Finding::new(
            format!("metadata.labels[{label}]"),
            format!("`{scope}` is not known, and is taken for `all`"),
            "write service, workload, all or none",
        )
    })
}
