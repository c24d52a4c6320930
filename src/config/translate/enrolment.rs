//! Which pods are to be captured, and which are: two different things. Labels ask for capture;
//! that a pod is captured is a fact that its node's agent reported.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Inputs;
use super::workload::first_label;
use crate::config::objects::metadata::Labels;
use crate::config::objects::pod::Pod;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::Objects;
use crate::config::{CaptureRecord, Settings};

/// Labels that ask for capture; ours beats Istio's.
pub(crate) const LABELS: &[&str] = &["ambit.mesh/dataplane-mode", "istio.io/dataplane-mode"];
/// Annotations that record a capture: by our agents, and by Istio's.
const RECORDS: &[&str] = &["ambit.mesh/redirection", "ambient.istio.io/redirection"];
/// Annotations that leave a pod's questions about names alone, ours first.
const DNS_CAPTURE: [&str; 2] = ["ambit.mesh/dns-capture", "ambient.istio.io/dns-capture"];
/// Annotation that asks to cut connections that are older than the capture: when, in Unix seconds.
pub(crate) const CUT_EXISTING: &str = "ambit.mesh/cut-existing";
/// Containers that are a mesh's proxy themselves.
const SIDECARS: &[&str] = &["istio-proxy", "linkerd-proxy"];
/// What an injected sidecar leaves on its pod.
const INJECTED: &str = "sidecar.istio.io/status";

/// Whether a pod is to be captured: its own label beats that of its namespace.
///
/// Pods on the network of their node, of excluded namespaces and with a proxy of their own are
/// not, whatever the labels say.
pub fn enrolled(settings: &Settings, objects: &Objects, key: &ObjectKey) -> bool {
    let Some(pod) = objects.pod(key) else {
        return false;
    };
    if pod.spec.host_network || settings.is_excluded(&key.namespace) || has_sidecar(pod) {
        return false;
    }
    let of = |labels: &Labels| first_label(labels, LABELS);
    let mode =
        of(&pod.metadata.labels).or_else(|| objects.namespace_labels(&key.namespace).and_then(of));
    mode.as_deref() == Some("ambient")
}

/// Namespaces whose pods are captured unless they opt out.
pub fn enrolled_namespaces(settings: &Settings, objects: &Objects) -> BTreeSet<Arc<str>> {
    let asks = |labels: &Labels| first_label(labels, LABELS).as_deref() == Some("ambient");
    let namespaces = objects.of_kind(Kind::Namespace);
    let enrolled = namespaces.filter(|(key, object)| match object {
        Object::Namespace(namespace) => {
            asks(&namespace.metadata.labels) && !settings.is_excluded(&key.name)
        }
        _ => false,
    });
    enrolled.map(|(key, _)| Arc::clone(&key.name)).collect()
}

/// Whether an agent has captured the pod, as far as recorded.
pub(super) fn is_captured(inputs: &Inputs<'_>, pod: &Pod, uid: &str) -> bool {
    let recorded = match inputs.settings.captures {
        CaptureRecord::Reports => inputs.captured.contains(uid),
        CaptureRecord::Annotations => is_recorded(pod) && !inputs.withheld.contains(uid),
    };
    recorded && !pod.spec.host_network
}

/// Whether it stands on the pod that it is captured.
pub fn is_recorded(pod: &Pod) -> bool {
    let record = |name: &&str| pod.metadata.annotation(name);
    let value = RECORDS.iter().find_map(record);
    value.is_some_and(|value| **value == *"enabled")
}

/// When it was asked to cut the pod's connections that are older than its capture.
pub fn cut_existing(pod: &Pod) -> Option<u64> {
    pod.metadata.annotation(CUT_EXISTING)?.parse().ok()
}

/// Whether the pod's questions about names are left alone.
pub fn keeps_its_resolver(pod: &Pod) -> bool {
    let told = |name: &&str| pod.metadata.annotation(name);
    let value = DNS_CAPTURE.iter().find_map(told);
    value.is_some_and(|value| **value == *"false")
}

fn has_sidecar(pod: &Pod) -> bool {
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let mut names = containers.filter_map(|container| container.name.as_deref());
    pod.metadata.annotation(INJECTED).is_some() || names.any(|name| SIDECARS.contains(&name))
}
