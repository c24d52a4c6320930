//! Annotations by which a sidecar, or whoever makes it, is told what to do. Without one they have no effect, and
//! somebody relies on it: what stands on services and captured pods is told, of a workload once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::enrolment::{enrolled, enrolled_namespaces};
use super::workload::made_by;
use crate::config::Settings;
use crate::config::objects::metadata::Labels;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::Finding;
use crate::config::store::Objects;

/// Most that are told of.
const MOST_TOLD: usize = 128;
/// For which namespaces a service is, in Istio.
const EXPORT_TO: &str = "networking.istio.io/exportTo";
/// What all annotations about the capture of a sidecar begin with.
const TRAFFIC: &str = "traffic.sidecar.istio.io/";
/// Settings of a sidecar.
const PROXY_CONFIG: &str = "proxy.istio.io/config";

const EXPORTED: (&str, &str) = (
    "is not looked at: the service is for clients of all namespaces",
    "say by an AuthorizationPolicy who may use it, and leave the annotation out",
);
const INBOUND: (&str, &str) = (
    "is not looked at: connections to all ports of a captured pod are captured, and policies hold for them",
    "leave it out; where a port has to take plaintext, say so by portLevelMtls of a PeerAuthentication",
);
const OUTBOUND: (&str, &str) = (
    "is not looked at: connections of a captured pod are captured, whatever their port and address",
    "leave it out: what leads out of the mesh passes as it is; where egress is REGISTRY_ONLY, register it by a \
     ServiceEntry",
);
const INTERFACES: (&str, &str) = (
    "is not looked at: a captured pod is captured whatever its interfaces are called",
    "leave it out, or opt the pod out by the label ambit.mesh/dataplane-mode: none",
);
const SETTINGS: (&str, &str) = (
    "is not looked at: it is for a sidecar, of which there is none",
    "leave it out; traces and the access log are said by Telemetry and meshConfig, waypoints have arguments of their own",
);

/// What is said of an annotation of a pod: what it is, and what to do; nothing of most.
fn of_pod(name: &str) -> Option<(&'static str, &'static str)> {
    if name == PROXY_CONFIG {
        return Some(SETTINGS);
    }
    let about = name.strip_prefix(TRAFFIC)?;
    Some(match about {
        "includeInboundPorts" | "excludeInboundPorts" => INBOUND,
        _ if about.ends_with("Interfaces") => INTERFACES,
        _ => OUTBOUND,
    })
}

/// Annotations of enrolled pods and of services of enrolled namespaces that have no effect.
pub fn without_effect<'a>(
    settings: &Settings,
    objects: &'a Objects,
) -> Vec<(&'a ObjectKey, Finding)> {
    let mut found = of_services(settings, objects);
    let mut told = BTreeSet::new();
    for (key, object) in objects.of_kind(Kind::Pod) {
        let Object::Pod(pod) = object else { continue };
        let mut said = notes(&pod.metadata.annotations).peekable();
        if said.peek().is_none() || pod.is_finished() || !enrolled(settings, objects, key) {
            continue;
        }
        let (workload, _) = made_by(pod);
        for (name, note) in said {
            if told.insert((&key.namespace, Arc::clone(&workload), name)) {
                found.push((key, finding(name, note)));
            }
        }
    }
    found.truncate(MOST_TOLD);
    found
}

fn notes(annotations: &Labels) -> impl Iterator<Item = (&Arc<str>, (&'static str, &'static str))> {
    let names = annotations.keys();
    names.filter_map(|name| Some((name, of_pod(name)?)))
}

fn of_services<'a>(settings: &Settings, objects: &'a Objects) -> Vec<(&'a ObjectKey, Finding)> {
    let namespaces = enrolled_namespaces(settings, objects);
    let services = objects.of_kind(Kind::Service);
    let found = services.filter_map(|(key, object)| {
        let Object::Service(service) = object else {
            return None;
        };
        let given = service.metadata.annotation(EXPORT_TO)?;
        let is_for_all = given.split(',').any(|namespace| namespace.trim() == "*");
        let is_narrow = !is_for_all && !given.trim().is_empty();
        (is_narrow && namespaces.contains(&key.namespace))
            .then(|| (key, finding(EXPORT_TO, EXPORTED)))
    });
    found.collect()
}

fn finding(name: &str, (what, advice): (&str, &str)) -> Finding {
    Finding::new(format!("metadata.annotations[{name}]"), what, advice)
}
