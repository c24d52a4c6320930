//! Whether applications behind a waypoint are told who called: an annotation or a label of the Gateway, or
//! else of its namespace. It is told to waypoints as rules that are bound to them.

use std::sync::Arc;

use ambit_model::{TelemetryRules, TelemetryScope, TelemetryTarget};

use super::super::{Inputs, is_our_class};
use crate::config::objects::metadata::Metadata;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Severity};

/// Names of the annotation or label; ours beats Istio's.
const NAMES: [&str; 2] = [
    "ambit.mesh/xfcc-include-client-identity",
    "ambient.istio.io/xfcc-include-client-identity",
];

/// Where what is asked for stands, and with which value.
type Asked<'a> = (String, &'a str);

/// The rules of all waypoints for which somebody asks.
pub(in crate::config) fn rules(inputs: &Inputs<'_>) -> Vec<TelemetryRules> {
    let gateways = gateways(inputs);
    let rules = gateways.filter_map(|(key, own)| {
        let wanted = asked(own).or_else(|| asked(namespace(inputs, &key.namespace)?));
        Some(TelemetryRules {
            namespace: Arc::clone(&key.namespace),
            // No object has such a name.
            name: format!("gateway/{}", key.name).into(),
            since: "".into(),
            scope: TelemetryScope::Targets(vec![TelemetryTarget::Gateway(Arc::clone(&key.name))]),
            access_log: Vec::new(),
            tracing: Vec::new(),
            metrics: Vec::new(),
            client_identity: Some(wanted?.1 == "true"),
        })
    });
    rules.collect()
}

/// What is said of values that are neither.
pub(in crate::config) fn findings(inputs: &Inputs<'_>) -> Vec<(ObjectKey, Severity, Finding)> {
    let namespaces = inputs.objects.of_kind(Kind::Namespace);
    let namespaces = namespaces.filter_map(|(key, object)| match object {
        Object::Namespace(namespace) => Some((key, &namespace.metadata)),
        _ => None,
    });
    let all = gateways(inputs).chain(namespaces);
    all.filter_map(|(key, metadata)| {
        let (field, value) = asked(metadata)?;
        let what = format!("`{value}` is neither true nor false: nobody is told who called");
        let finding = || Finding::new(field, what, "write true or false");
        let is_wrong = !matches!(value, "true" | "false");
        is_wrong.then(|| (key.clone(), Severity::Error, finding()))
    })
    .collect()
}

fn gateways<'a>(
    inputs: &Inputs<'a>,
) -> impl Iterator<Item = (&'a ObjectKey, &'a Metadata)> + use<'a> {
    let objects = inputs.objects;
    let gateways = objects.of_kind(Kind::Gateway);
    gateways.filter_map(move |(key, object)| match object {
        Object::Gateway(gateway) if is_our_class(objects, &gateway.spec.gateway_class_name) => {
            Some((key, &gateway.metadata))
        }
        _ => None,
    })
}

fn namespace<'a>(inputs: &Inputs<'a>, name: &str) -> Option<&'a Metadata> {
    let key = ObjectKey::new(Kind::Namespace, "", name);
    match inputs.objects.get(&key)?.as_ref() {
        Object::Namespace(namespace) => Some(&namespace.metadata),
        _ => None,
    }
}

/// What an object says itself: an annotation beats a label of the same name.
fn asked(metadata: &Metadata) -> Option<Asked<'_>> {
    NAMES.iter().find_map(|name| {
        let annotation = metadata.annotation(name);
        let annotation = annotation.map(|value| (format!("metadata.annotations.{name}"), &**value));
        let label = || metadata.label(name);
        annotation.or_else(|| Some((format!("metadata.labels.{name}"), &**label()?)))
    })
}
