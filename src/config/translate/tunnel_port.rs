//! NetworkPolicies that let connections of enrolled pods through on the ports that they are made
//! to, but not on the one by which the mesh carries them.
//!
//! One that lets no TCP through at all is not told: it was meant to stop everything.

use std::collections::HashMap;

use super::enrolled;
use crate::config::Settings;
use crate::config::objects::metadata::Labels;
use crate::config::objects::network_policy::{Direction, NetworkPolicy};
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::Finding;
use crate::config::store::Objects;

/// Where tunnels end.
const TUNNELS: u16 = 15008;

/// Policies that keep it closed for a pod that no other policy opens it for.
pub fn closed_by<'a>(settings: &Settings, objects: &'a Objects) -> Vec<(&'a ObjectKey, Finding)> {
    let mut closed = Vec::new();
    // Of namespaces that have such a policy, each looked through once.
    let mut enrolled: HashMap<&str, Vec<&Labels>> = HashMap::new();
    for (key, policy) in policies(objects.of_kind(Kind::NetworkPolicy)) {
        for direction in [Direction::Ingress, Direction::Egress] {
            let spec = &policy.spec;
            if !spec.isolates(direction)
                || !spec.passes_tcp(direction)
                || spec.passes(direction, TUNNELS)
            {
                continue;
            }
            let pods = enrolled
                .entry(&key.namespace)
                .or_insert_with(|| enrolled_pods(settings, objects, &key.namespace));
            if has_cut_off(objects, key, policy, direction, pods) {
                closed.push((key, finding(direction)));
            }
        }
    }
    closed
}

/// Labels of the enrolled pods of a namespace.
fn enrolled_pods<'a>(
    settings: &Settings,
    objects: &'a Objects,
    namespace: &str,
) -> Vec<&'a Labels> {
    let pods = objects.in_namespace(Kind::Pod, namespace);
    let enrolled = pods.filter(|(key, _)| enrolled(settings, objects, key));
    let labels = enrolled.filter_map(|(_, object)| match object {
        Object::Pod(pod) => Some(&pod.metadata.labels),
        _ => None,
    });
    labels.collect()
}

/// Whether it selects a pod that no policy of its namespace opens the port for.
fn has_cut_off(
    objects: &Objects,
    key: &ObjectKey,
    policy: &NetworkPolicy,
    direction: Direction,
    pods: &[&Labels],
) -> bool {
    let mut selected = pods
        .iter()
        .filter(|labels| policy.spec.pod_selector.selects(labels))
        .peekable();
    if selected.peek().is_none() {
        return false;
    }
    let neighbours = objects.in_namespace(Kind::NetworkPolicy, &key.namespace);
    let opening: Vec<&NetworkPolicy> = policies(neighbours)
        .map(|(_, policy)| policy)
        .filter(|policy| policy.spec.isolates(direction) && policy.spec.passes(direction, TUNNELS))
        .collect();
    let opens = |policy: &&NetworkPolicy, labels| policy.spec.pod_selector.selects(labels);
    selected.any(|labels| !opening.iter().any(|policy| opens(policy, labels)))
}

fn policies<'a>(
    objects: impl Iterator<Item = (&'a ObjectKey, &'a Object)>,
) -> impl Iterator<Item = (&'a ObjectKey, &'a NetworkPolicy)> {
    objects.filter_map(|(key, object)| match object {
        Object::NetworkPolicy(policy) => Some((key, &**policy)),
        _ => None,
    })
}

fn finding(direction: Direction) -> Finding {
    let (field, what, advice) = match direction {
        Direction::Ingress => (
            "spec.ingress",
            "enrolled pods that it selects are reached by the mesh on TCP port 15008, which no policy lets in",
            "add {port: 15008, protocol: TCP} to the ports of its rules",
        ),
        Direction::Egress => (
            "spec.egress",
            "enrolled pods that it selects reach others by the mesh on TCP port 15008, which no policy lets out",
            "add {port: 15008, protocol: TCP} to the ports of its rules",
        ),
    };
    Finding::new(field, what, advice)
}
