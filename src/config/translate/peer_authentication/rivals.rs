//! `PeerAuthentication`s of one scope contradict each other: only the oldest counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Settings;
use crate::config::objects::metadata::Labels;
use crate::config::objects::peer_authentication::PeerAuthentication;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::Finding;
use crate::config::store::Objects;

/// Pods that an object is for: of this namespace, none for those of the mesh, with these labels.
type Scope = (Option<Arc<str>>, Labels);

/// Objects that do not count because an older one is for the same pods.
pub fn outdone<'a>(settings: &Settings, objects: &'a Objects) -> Vec<(&'a ObjectKey, Finding)> {
    let mut by_scope: BTreeMap<Scope, Vec<(&ObjectKey, &PeerAuthentication)>> = BTreeMap::new();
    for (key, object) in peer_authentications(objects) {
        let rivals = by_scope.entry(scope_of(settings, key, object)).or_default();
        rivals.push((key, object));
    }
    let mut outdone = Vec::new();
    for mut rivals in by_scope.into_values().filter(|rivals| rivals.len() > 1) {
        rivals.sort_by_key(|(key, object)| rank(key, object));
        let Some((winner, _)) = rivals.first().copied() else {
            continue;
        };
        let others = rivals.iter().skip(1);
        outdone.extend(others.map(|(key, _)| (*key, finding(winner))));
    }
    outdone
}

/// What an object that is about to be written contradicts.
pub fn rivals_of(settings: &Settings, objects: &Objects, object: &Object) -> Vec<Finding> {
    let Object::PeerAuthentication(new) = object else {
        return Vec::new();
    };
    let own = object.key();
    let scope = scope_of(settings, &own, new);
    let others = peer_authentications(objects)
        .filter(|(key, other)| **key != own && scope_of(settings, key, other) == scope);
    let oldest = others.min_by_key(|(key, other)| rank(key, other));
    let finding = oldest.map(|(key, other)| {
        if rank(key, other) < rank(&own, new) {
            finding(key)
        } else {
            let what = format!("{key} is for the same pods, and counts no more beside this one");
            Finding::new("spec.selector", what, ADVICE)
        }
    });
    finding.into_iter().collect()
}

const ADVICE: &str = "keep one of the two, or give them different selectors";

fn finding(winner: &ObjectKey) -> Finding {
    let what = format!("{winner} is for the same pods and older, so this one does not count");
    Finding::new("spec.selector", what, ADVICE)
}

fn peer_authentications(
    objects: &Objects,
) -> impl Iterator<Item = (&ObjectKey, &PeerAuthentication)> {
    let all = objects.of_kind(Kind::PeerAuthentication);
    all.filter_map(|(key, object)| match object {
        Object::PeerAuthentication(object) => Some((key, &**object)),
        _ => None,
    })
}

fn scope_of(settings: &Settings, key: &ObjectKey, object: &PeerAuthentication) -> Scope {
    let namespace = Some(Arc::clone(&key.namespace));
    match object.selector() {
        Some(selector) => (namespace, selector.match_labels.clone()),
        None => {
            let namespace = namespace.filter(|namespace| !settings.is_root(namespace));
            (namespace, Labels::new())
        }
    }
}

/// The least one counts, as in the translation.
fn rank(key: &ObjectKey, object: &PeerAuthentication) -> impl Ord + use<> {
    (object.metadata.age(), Arc::clone(&key.name), key.clone())
}
