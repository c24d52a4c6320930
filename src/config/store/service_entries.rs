//! Service entries by the services that their hosts name, by the labels that they select servers by, and by the addresses that they
//! and workload entries name.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::labels::LabelIndex;
use super::{Indexing, Objects};
use crate::config::objects::metadata::{Labels, selects};
use crate::config::objects::service_entry::ServiceEntry;
use crate::config::objects::short_name::ShortName;
use crate::config::objects::virtual_service::hosts::Host;
use crate::config::objects::workload_entry::WorkloadEntry;
use crate::config::objects::{Kind, Object, ObjectKey};

/// The index.
#[derive(Debug, Default)]
pub(super) struct EntryIndex {
    by_host: HashMap<Arc<str>, BTreeSet<ObjectKey>>,
    /// Those with a host that is the full name of a service, or may be short for it.
    by_service: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// Those with a host that may be short for something of a namespace.
    by_namespace: HashMap<Arc<str>, BTreeSet<ObjectKey>>,
    by_label: LabelIndex,
    /// Service entries by their addresses and those of their endpoints, workload entries by theirs.
    by_address: HashMap<IpAddr, BTreeSet<ObjectKey>>,
}

impl EntryIndex {
    pub(super) fn apply(&mut self, indexing: Indexing, key: &ObjectKey, object: &ServiceEntry) {
        for host in &object.spec.hosts {
            indexing.apply(&mut self.by_host, Arc::clone(host), key);
            if let Host::Service(service, Some(_)) = Host::of(&key.namespace, host) {
                indexing.apply(&mut self.by_service, service, key);
            }
            let short = ShortName::of(host);
            if let Some(service) = short.as_ref().and_then(|s| s.service(&key.namespace)) {
                indexing.apply(&mut self.by_service, service, key);
            }
            if let Some(namespace) = short.as_ref().and_then(ShortName::namespace) {
                indexing.apply(&mut self.by_namespace, Arc::clone(namespace), key);
            }
        }
        if let Some(selector) = &object.spec.workload_selector {
            match indexing {
                Indexing::Add => self.by_label.add(&selector.labels, key),
                Indexing::Remove => self.by_label.remove(&selector.labels, key),
            }
        }
        for address in object.single_addresses() {
            indexing.apply(&mut self.by_address, address, key);
        }
    }

    pub(super) fn apply_workload(
        &mut self,
        indexing: Indexing,
        key: &ObjectKey,
        object: &WorkloadEntry,
    ) {
        if let Ok(address) = object.spec.address.parse() {
            indexing.apply(&mut self.by_address, address, key);
        }
    }
}

impl Objects {
    /// The service entry of that name.
    pub fn service_entry(&self, key: &ObjectKey) -> Option<&ServiceEntry> {
        match self.get(key)?.as_ref() {
            Object::ServiceEntry(object) => Some(object),
            _ => None,
        }
    }

    /// The workload entry of that name.
    pub fn workload_entry(&self, key: &ObjectKey) -> Option<&WorkloadEntry> {
        match self.get(key)?.as_ref() {
            Object::WorkloadEntry(object) => Some(object),
            _ => None,
        }
    }

    /// Service entries of a namespace that have a host, whoever of them counts: by the key of the host, of
    /// kind `ServiceEntry` with the host as its name.
    pub fn entries_of_host(
        &self,
        host: &ObjectKey,
    ) -> impl Iterator<Item = (&ObjectKey, &ServiceEntry)> {
        let keys = self.service_entries.by_host.get(&host.name);
        let here = keys.into_iter().flatten();
        let here = here.filter(move |key| key.namespace == host.namespace);
        here.filter_map(|key| Some((key, self.service_entry(key)?)))
    }

    /// Keys of the hosts of that very name, one for each namespace that has it. A host that is the full name
    /// of a service of its namespace has none: what names it means the service.
    pub fn hosts_named(&self, host: &str) -> BTreeSet<ObjectKey> {
        let entries = self.service_entries.by_host.get_key_value(host);
        let entries = entries.into_iter().flat_map(|(host, keys)| {
            let keys = keys.iter();
            let keys = keys.filter(move |key| !Host::is_service_of(&key.namespace, host));
            let key = move |entry: &ObjectKey| {
                let namespace = Arc::clone(&entry.namespace);
                ObjectKey::new(Kind::ServiceEntry, namespace, Arc::clone(host))
            };
            keys.map(key)
        });
        entries.collect()
    }

    /// Keys of the hosts that end so.
    pub fn hosts_ending(&self, suffix: &str) -> BTreeSet<ObjectKey> {
        let hosts = self.service_entries.by_host.keys();
        let hosts = hosts.filter(|host| host.ends_with(suffix));
        hosts.flat_map(|host| self.hosts_named(host)).collect()
    }

    /// Service entries with a host that is the full name of a service, in whatever domain, or may be short
    /// for it.
    pub fn entries_named(
        &self,
        service: &ObjectKey,
    ) -> impl Iterator<Item = (&ObjectKey, &ServiceEntry)> {
        let keys = self.service_entries.by_service.get(service);
        let keys = keys.into_iter().flatten();
        keys.filter_map(|key| Some((key, self.service_entry(key)?)))
    }

    /// Service entries with a host that may be short for something of a namespace.
    pub fn entries_short_for(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = (&ObjectKey, &ServiceEntry)> {
        let keys = self.service_entries.by_namespace.get(namespace);
        let keys = keys.into_iter().flatten();
        keys.filter_map(|key| Some((key, self.service_entry(key)?)))
    }

    /// Service entries whose `workloadSelector` selects these labels.
    pub fn entries_selecting<'a>(
        &'a self,
        namespace: &str,
        labels: &'a Labels,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a ServiceEntry)> + use<'a> {
        let candidates = self.service_entries.by_label.candidates(namespace, labels);
        candidates
            .filter_map(|key| Some((key, self.service_entry(key)?)))
            .filter(|(_, entry)| {
                let selector = entry.spec.workload_selector.as_ref();
                selector.is_some_and(|selector| selects(&selector.labels, labels))
            })
    }

    /// Workload entries that a service entry selects.
    pub fn workload_entries_of<'a>(
        &'a self,
        key: &ObjectKey,
        entry: &'a ServiceEntry,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a WorkloadEntry)> + use<'a> {
        let selector = entry.spec.workload_selector.as_ref();
        let here = selector.map(|_| self.in_namespace(Kind::WorkloadEntry, &key.namespace));
        here.into_iter()
            .flatten()
            .filter_map(move |(key, object)| match object {
                Object::WorkloadEntry(object)
                    if selector.is_some_and(|s| selects(&s.labels, &object.labels())) =>
                {
                    Some((key, &**object))
                }
                _ => None,
            })
    }

    /// Service entries and workload entries that name an address as that of a server or their own.
    pub fn entries_at(&self, address: IpAddr) -> impl Iterator<Item = &ObjectKey> {
        let keys = self.service_entries.by_address.get(&address);
        keys.into_iter().flatten()
    }
}
