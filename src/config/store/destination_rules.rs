//! Destination rules by the service that they are for, and the labels of pods that they ask for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::virtual_services::may_end;
use super::{Indexing, Objects};
use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::virtual_service::hosts::Host;
use crate::config::objects::{Kind, Object, ObjectKey};

/// The index.
#[derive(Debug, Default)]
pub(super) struct DestinationIndex {
    by_service: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// Those whose host is none of the cluster's.
    by_host: HashMap<Arc<str>, BTreeSet<ObjectKey>>,
    /// Those whose host is a wildcard: seldom any.
    wild: BTreeSet<ObjectKey>,
    /// How many objects ask for a label.
    labels: BTreeMap<Arc<str>, usize>,
}

impl DestinationIndex {
    pub(super) fn apply(&mut self, indexing: Indexing, key: &ObjectKey, object: &DestinationRule) {
        match Host::of(&key.namespace, &object.spec.host) {
            Host::Service(service, _) => indexing.apply(&mut self.by_service, service, key),
            Host::Wildcard(_) => match indexing {
                Indexing::Add => drop(self.wild.insert(key.clone())),
                Indexing::Remove => drop(self.wild.remove(key)),
            },
            Host::Outside => {
                let host = Arc::clone(&object.spec.host);
                indexing.apply(&mut self.by_host, host, key);
            }
        }
        for label in object.labels() {
            let count = self.labels.entry(Arc::clone(&label)).or_default();
            match indexing {
                Indexing::Add => *count += 1,
                Indexing::Remove => *count = count.saturating_sub(1),
            }
            if *count == 0 {
                self.labels.remove(&label);
            }
        }
    }
}

impl Objects {
    /// The destination rule of that name.
    pub fn destination_rule(&self, key: &ObjectKey) -> Option<&DestinationRule> {
        match self.get(key)?.as_ref() {
            Object::DestinationRule(object) => Some(object),
            _ => None,
        }
    }

    /// Destination rules that name a service, or may by a wildcard.
    pub fn destination_rules_of<'a>(
        &'a self,
        service: &ObjectKey,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a DestinationRule)> + use<'a> {
        let named = self.destination_rules.by_service.get(service);
        let keys = named.into_iter().flatten();
        keys.chain(&self.destination_rules.wild)
            .filter_map(|key| Some((key, self.destination_rule(key)?)))
    }

    /// Destination rules that name a host outside of the cluster, or may by a wildcard.
    pub fn destination_rules_of_host<'a>(
        &'a self,
        host: &str,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a DestinationRule)> + use<'a> {
        let named = self.destination_rules.by_host.get(host);
        let keys = named.into_iter().flatten();
        keys.chain(&self.destination_rules.wild)
            .filter_map(|key| Some((key, self.destination_rule(key)?)))
    }

    /// Services that a destination rule names, whether they are there or not, or may mean by a
    /// wildcard, and hosts of service entries likewise.
    pub fn services_ruled(&self, key: &ObjectKey, object: &DestinationRule) -> Vec<ObjectKey> {
        let host = &object.spec.host;
        match Host::of(&key.namespace, host) {
            Host::Service(service, _) => vec![service],
            Host::Wildcard(suffix) => {
                let services = self.of_kind(Kind::Service).map(|(key, _)| key);
                let services = services.filter(|key| may_end(key, &suffix)).cloned();
                services.chain(self.hosts_ending(&suffix)).collect()
            }
            Host::Outside => self.hosts_named(host).into_iter().collect(),
        }
    }

    /// Whether some destination rule asks for a label of pods.
    pub(super) fn divides_by_label(&self, label: &str) -> bool {
        self.destination_rules.labels.contains_key(label)
    }
}
