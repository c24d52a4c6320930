//! NetworkPolicies that let connections of enrolled pods through on the ports that they are made
//! to, but not on the one by which the mesh carries them.
//!
//! One that lets no TCP through at all is not told: it was meant to stop everything.

use super::enrolled;
use crate::config::Settings;
use crate::config::objects::network_policy::{Direction, NetworkPolicy};
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::Finding;
use crate::config::store::Objects;

/// Where tunnels end.
const TUNNELS: u16 = 15008;

/// Policies that keep it closed for a pod that no other policy opens it for.
pub fn closed_by<'a>(settings: &Settings, objects: &'a Objects) -> Vec<(&'a ObjectKey, Finding)> {
    let mut closed = Vec::new();
    for (key, policy) in policies(objects.of_kind(Kind::NetworkPolicy)) {
        for direction in [Direction::Ingress, Direction::Egress] {
            let spec = &policy.spec;
            if spec.isolates(direction)
                && spec.passes_tcp(direction)
                && !spec.passes(direction, TUNNELS)
                && has_cut_off(settings, objects, key, policy, direction)
            {
                closed.push((key, finding(direction)));
            }
        }
    }
    closed
}

/// Whether it selects an enrolled pod that no policy of its namespace opens the port for.
fn has_cut_off(
    settings: &Settings,
    objects: &Objects,
    key: &ObjectKey,
    policy: &NetworkPolicy,
    direction: Direction,
) -> bool {
    let neighbours = objects.in_namespace(Kind::NetworkPolicy, &key.namespace);
    let opening: Vec<&NetworkPolicy> = policies(neighbours)
        .map(|(_, policy)| policy)
        .filter(|policy| policy.spec.isolates(direction) && policy.spec.passes(direction, TUNNELS))
        .collect();
    let mut pods = objects.in_namespace(Kind::Pod, &key.namespace);
    pods.any(|(pod_key, object)| {
        let Object::Pod(pod) = object else {
            return false;
        };
        let labels = &pod.metadata.labels;
        let selects = |policy: &NetworkPolicy| policy.spec.pod_selector.selects(labels);
        selects(policy)
            && !opening.iter().any(|policy| selects(policy))
            && enrolled(settings, objects, pod_key)
    })
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
