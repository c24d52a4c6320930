//! What the API server has, as far as the next reading depends on it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::last_good::LastGood;
use crate::config::Batch;
use crate::config::objects::{self, Kind, Object, ObjectKey, ReadError};
use crate::config::problem::{Origin, Severity};
use crate::config::statuses::Shown;
use crate::config::store::ObjectEvent;

/// How messages name the place of an object of the cluster.
const PLACE: &str = "cluster";

/// What a watcher of one kind sees.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A listing begins.
    Listing,
    /// An object of the listing.
    Listed(Value),
    /// The listing is complete: what was not in it is gone.
    Complete,
    /// An object came or changed.
    Changed(Value),
    /// An object is gone.
    Gone(Value),
}

/// Every kind, as it was last seen.
#[derive(Debug)]
pub struct Listings {
    place: Arc<str>,
    kinds: BTreeMap<Kind, Listing>,
    /// Versions from before this process, for policies and routes that it has only seen broken.
    last_good: LastGood,
}

/// One kind, as it was last seen.
#[derive(Debug, Default)]
struct Listing {
    /// Objects that are there, also those that could not be read so far, by their uids.
    known: BTreeMap<ObjectKey, Option<Arc<str>>>,
    /// What the listing under way has shown.
    shown: Option<BTreeSet<ObjectKey>>,
    was_complete: bool,
}

impl Default for Listings {
    fn default() -> Self {
        let kinds = Kind::ALL
            .iter()
            .map(|kind| (*kind, Listing::default()))
            .collect();
        Self {
            place: PLACE.into(),
            kinds,
            last_good: LastGood::default(),
        }
    }
}

impl Listings {
    /// Nothing seen yet; these versions are in force for policies that cannot be read.
    pub fn with_last_good(last_good: LastGood) -> Self {
        Self {
            last_good,
            ..Self::default()
        }
    }

    /// True once every kind has been listed.
    pub fn are_complete(&self) -> bool {
        self.kinds.values().all(|listing| listing.was_complete)
    }

    /// Kinds that have not been listed yet.
    pub fn missing(&self) -> impl Iterator<Item = Kind> {
        let missing = self
            .kinds
            .iter()
            .filter(|(_, listing)| !listing.was_complete);
        missing.map(|(kind, _)| *kind)
    }

    /// Takes in all that there is of a kind.
    pub fn take_all(
        &mut self,
        kind: Kind,
        documents: impl IntoIterator<Item = Value>,
        batch: &mut Batch,
    ) {
        self.take(kind, Seen::Listing, batch);
        for document in documents {
            self.take(kind, Seen::Listed(document), batch);
        }
        self.take(kind, Seen::Complete, batch);
    }

    /// Takes in what a watcher saw; what that changes is added to the batch.
    pub fn take(&mut self, kind: Kind, seen: Seen, batch: &mut Batch) {
        let place = &self.place;
        let Some(listing) = self.kinds.get_mut(&kind) else {
            return;
        };
        match seen {
            Seen::Listing => listing.shown = Some(BTreeSet::new()),
            Seen::Listed(value) | Seen::Changed(value) => {
                let Some(key) = key_of(kind, &value) else {
                    return;
                };
                if let Some(shown) = &mut listing.shown {
                    shown.insert(key.clone());
                }
                listing.put(place, key, value, &self.last_good, batch);
            }
            Seen::Gone(value) => {
                let Some(key) = key_of(kind, &value) else {
                    return;
                };
                if let Some(shown) = &mut listing.shown {
                    shown.remove(&key);
                }
                listing.remove(place, &key, batch);
            }
            Seen::Complete => {
                let shown = listing.shown.take().unwrap_or_default();
                let known = listing.known.keys();
                let gone: Vec<_> = known.filter(|key| !shown.contains(key)).cloned().collect();
                for key in gone {
                    listing.remove(place, &key, batch);
                }
                listing.was_complete = true;
            }
        }
    }
}

impl Listing {
    /// A policy or a route that cannot be read keeps its last good version; without one, a policy
    /// refuses everything in its scope. Anything else that cannot be read is not there: an old version
    /// would hold addresses that others have by now.
    fn put(
        &mut self,
        place: &Arc<str>,
        key: ObjectKey,
        value: Value,
        last_good: &LastGood,
        batch: &mut Batch,
    ) {
        let name: Arc<str> = key.to_string().into();
        let shown = shown_of(key.kind, &value);
        let uid = uid_of(&value);
        let before = self.known.insert(key.clone(), uid.clone());
        if shown.is_some() {
            batch.shown.push((key.clone(), shown));
        }
        let error = match objects::read(value) {
            Ok(object) => {
                batch.problems.push((name, Vec::new()));
                batch.events.push(put(place, object));
                return;
            }
            Err(error) => *error,
        };
        let origin = Origin::file(place);
        let ReadError {
            object,
            cause,
            finding,
            ..
        } = error;
        let severity = match key.kind.is_for_sidecars() {
            true => Severity::Warning,
            false => Severity::Error,
        };
        let problem = finding.at(&origin, object, severity, cause);
        batch.problems.push((name, vec![problem]));
        // Deleted and made again while nobody watched: a version of the old one is none of this one.
        let is_same = before.as_ref() == Some(&uid);
        if key.kind.is_judged() && is_same {
            return;
        }
        let kept = uid.and_then(|uid| last_good.get(&key, &uid)).cloned();
        batch.events.extend(match kept {
            Some(object) => Some(put(place, object)),
            None if key.kind.is_policy() => Some(put(place, Object::UnreadablePolicy(key))),
            None => before.map(|_| ObjectEvent::Remove {
                file: Arc::clone(place),
                key,
            }),
        });
    }

    fn remove(&mut self, place: &Arc<str>, key: &ObjectKey, batch: &mut Batch) {
        if self.known.remove(key).is_none() {
            return;
        }
        batch.problems.push((key.to_string().into(), Vec::new()));
        if key.kind.has_our_status() {
            batch.shown.push((key.clone(), None));
        }
        batch.events.push(ObjectEvent::Remove {
            file: Arc::clone(place),
            key: key.clone(),
        });
    }
}

fn shown_of(kind: Kind, value: &Value) -> Option<Shown> {
    match kind {
        Kind::Gateway
        | Kind::GatewayClass
        | Kind::VirtualService
        | Kind::DestinationRule
        | Kind::ServiceEntry
        | Kind::WorkloadEntry
        | Kind::Telemetry => Some(Shown::with_status(value)),
        kind => kind.has_our_status().then(|| Shown::of(value)),
    }
}

fn put(place: &Arc<str>, object: Object) -> ObjectEvent {
    ObjectEvent::Put {
        origin: Origin::file(place),
        object: Arc::new(object),
    }
}

fn uid_of(value: &Value) -> Option<Arc<str>> {
    let uid = value.pointer("/metadata/uid")?.as_str()?;
    Some(uid.into())
}

/// The API server gives every object a name, and those of a namespace their namespace.
fn key_of(kind: Kind, value: &Value) -> Option<ObjectKey> {
    let metadata = value.get("metadata")?;
    let text = |field: &str| metadata.get(field).and_then(Value::as_str);
    let namespace = if kind.is_namespaced() {
        text("namespace")?
    } else {
        ""
    };
    Some(ObjectKey::new(kind, namespace, text("name")?))
}

#[cfg(test)]
mod tests;
