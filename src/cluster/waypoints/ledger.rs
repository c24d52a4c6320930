//! What was made for Gateways, as the watch shows it and as it was when we last wrote it. Pure.
//!
//! What differs has been changed by somebody, or has to change: it is applied again. Changes of a
//! status count only for kinds without a generation; to apply what is there already changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use kube::api::ObjectMeta;
use serde_json::Value;

use super::desired::{Desired, Part};
use crate::config::objects::gateway::GatewayKey;

/// One object.
pub(super) type Place = (Part, GatewayKey);

/// As much of an object as tells whether somebody changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its uid.
    pub(super) uid: String,
    version: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owners: Vec<String>,
}

/// What a watcher of one kind sees.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// A listing begins.
    Listing,
    /// There is one, new or changed.
    There(GatewayKey, Mark),
    /// One is gone.
    Gone(GatewayKey),
    /// The listing is complete: what it has not shown is gone.
    Complete,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    there: HashMap<Place, Mark>,
    applied: HashMap<Place, (Value, Mark)>,
    shown: HashMap<Part, HashSet<GatewayKey>>,
    complete: HashSet<Part>,
}

impl Mark {
    /// Of an object's metadata.
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        let generation = metadata.generation.filter(|generation| *generation > 0);
        let version = generation.map(|generation| generation.to_string());
        let version = version.or_else(|| metadata.resource_version.clone());
        let owners = metadata.owner_references.iter().flatten();
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            version: version.unwrap_or_default(),
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: metadata.annotations.clone().unwrap_or_default(),
            owners: owners.map(|owner| owner.uid.clone()).collect(),
        }
    }
}

/// Which Gateway's object it is: it has that one's name.
pub(super) fn gateway_of(metadata: &ObjectMeta) -> Option<GatewayKey> {
    Some(GatewayKey {
        namespace: Arc::from(metadata.namespace.as_deref()?),
        name: Arc::from(metadata.name.as_deref()?),
    })
}

impl Ledger {
    /// Takes in what a watcher saw.
    pub(super) fn take(&mut self, part: Part, seen: Seen) {
        match seen {
            Seen::Listing => {
                self.shown.insert(part, HashSet::new());
            }
            Seen::There(key, mark) => {
                if let Some(shown) = self.shown.get_mut(&part) {
                    shown.insert(key.clone());
                }
                self.there.insert((part, key), mark);
            }
            Seen::Gone(key) => {
                self.there.remove(&(part, key));
            }
            Seen::Complete => {
                let shown = self.shown.remove(&part).unwrap_or_default();
                self.there
                    .retain(|(of, key), _| *of != part || shown.contains(key));
                self.complete.insert(part);
            }
        }
    }

    /// Whether every kind has been listed.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.len() == Part::ALL.len()
    }

    /// Forgets what we wrote: another replica has written since.
    pub(super) fn forget(&mut self) {
        self.applied.clear();
    }

    /// What is to be applied of the objects of a Gateway.
    pub(super) fn due<'a>(&self, key: &GatewayKey, desired: &'a [Desired]) -> Vec<&'a Desired> {
        let is_right = |desired: &Desired| {
            let place = (desired.part, key.clone());
            let there = self.there.get(&place);
            let applied = self.applied.get(&place);
            applied.is_some_and(|(object, mark)| *object == desired.object && there == Some(mark))
        };
        desired
            .iter()
            .filter(|desired| !is_right(desired))
            .collect()
    }

    /// Notes what was applied, and what it became.
    pub(super) fn note(&mut self, key: &GatewayKey, desired: &Desired, mark: Mark) {
        let place = (desired.part, key.clone());
        // The watch will show the same: until then it would be applied again.
        self.there.insert(place.clone(), mark.clone());
        self.applied.insert(place, (desired.object.clone(), mark));
    }

    /// Objects that the Gateway with this uid owns and that are no longer wanted, with their uids.
    /// What only has its name and our labels is somebody else's.
    pub(super) fn excess(
        &self,
        key: &GatewayKey,
        owner: &str,
        wanted: &[Desired],
    ) -> Vec<(Place, String)> {
        let unwanted = Part::ALL.into_iter().filter(|part| {
            let is_it = |desired: &Desired| desired.part == *part;
            !wanted.iter().any(is_it)
        });
        let places = unwanted.map(|part| (part, key.clone()));
        let there = places.filter_map(|place| {
            let there = self.there.get(&place)?;
            let is_owned = there.owners.iter().any(|uid| uid == owner);
            is_owned.then(|| (place, there.uid.clone()))
        });
        there.collect()
    }

    /// Gateways for which something is there.
    pub(super) fn gateways(&self) -> HashSet<GatewayKey> {
        self.there.keys().map(|(_, key)| key.clone()).collect()
    }

    /// Notes that an object is gone.
    pub(super) fn gone(&mut self, place: &Place) {
        self.there.remove(place);
        self.applied.remove(place);
    }
}

#[cfg(test)]
mod tests;
