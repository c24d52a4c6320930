//! What a changed service entry or workload entry touches, and what touches them.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Dirty, Output};
use crate::config::objects::pod::Pod;
use crate::config::objects::service_entry::ServiceEntry;
use crate::config::objects::virtual_service::hosts::Host;
use crate::config::objects::workload_entry::WorkloadEntry;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::{Claim, Objects};

impl Dirty {
    /// A service entry, its pods, and those of whoever has its hosts without it.
    pub(super) fn touch_entry(&mut self, objects: &Objects, key: &ObjectKey, object: &Object) {
        let Object::ServiceEntry(entry) = object else {
            return;
        };
        self.touch_served(objects, key, entry);
        self.touch_bound_policies(objects, &key.namespace);
        for rival in objects.rivals(object) {
            if let Some(entry) = objects.service_entry(rival) {
                self.touch_served(objects, rival, entry);
            }
        }
    }

    /// A service entry and its pods.
    pub(super) fn touch_served(
        &mut self,
        objects: &Objects,
        key: &ObjectKey,
        entry: &ServiceEntry,
    ) {
        self.outputs.insert(Output::ServiceEntry(key.clone()));
        self.touch_routes_of_hosts(objects, key, entry);
        if let Some(selector) = &entry.spec.workload_selector {
            self.touch_pods(objects, Some(&key.namespace), &selector.labels);
        }
        let addresses = entry.spec.endpoints.iter();
        let addresses = addresses.filter_map(|endpoint| endpoint.address.parse().ok());
        for address in addresses {
            if let Some(pod) = objects.owner(&Claim::PodAddress(address)) {
                self.outputs.insert(Output::Workload(pod.clone()));
            }
        }
    }

    /// Entries of a namespace with a host, by its key.
    pub(super) fn touch_host(&mut self, objects: &Objects, host: &ObjectKey) {
        let entries = objects.entries_of_host(host);
        self.outputs
            .extend(entries.map(|(key, _)| Output::ServiceEntry(key.clone())));
    }

    /// Routes of the hosts of an entry, and those that lead to them.
    pub(super) fn touch_routes_of_hosts(
        &mut self,
        objects: &Objects,
        key: &ObjectKey,
        entry: &ServiceEntry,
    ) {
        let hosts = entry.spec.hosts.iter();
        for host in hosts.filter(|host| !Host::is_service_of(&key.namespace, host)) {
            let namespace = Arc::clone(&key.namespace);
            let host = ObjectKey::new(Kind::ServiceEntry, namespace, Arc::clone(host));
            for (object, virtual_service) in objects.virtual_services_to(&host) {
                self.touch_hosts(objects, object, virtual_service);
            }
            self.outputs.insert(Output::Routes(host));
        }
    }

    /// Service entries that select a workload entry.
    pub(super) fn touch_selecting(
        &mut self,
        objects: &Objects,
        key: &ObjectKey,
        object: &WorkloadEntry,
    ) {
        let labels = object.labels();
        let entries = objects.entries_selecting(&key.namespace, &labels);
        self.outputs
            .extend(entries.map(|(entry, _)| Output::ServiceEntry(entry.clone())));
    }

    /// Service entries that name an address of a pod.
    pub(super) fn touch_entries_at(&mut self, objects: &Objects, pod: &Pod) {
        for address in pod.addresses() {
            self.touch_entries_at_address(objects, address);
        }
    }

    fn touch_entries_at_address(&mut self, objects: &Objects, address: IpAddr) {
        for key in objects.entries_at(address) {
            match objects.workload_entry(key) {
                Some(object) => self.touch_selecting(objects, key, object),
                None => drop(self.outputs.insert(Output::ServiceEntry(key.clone()))),
            }
        }
    }

    /// Service entries with a host that may be short for something of a namespace.
    pub(super) fn touch_entries_short_for(&mut self, objects: &Objects, namespace: &str) {
        for (key, entry) in objects.entries_short_for(namespace) {
            self.touch_served(objects, key, entry);
        }
    }

    /// Service entries that have the full name of a service, or a short one, as a host.
    pub(super) fn touch_entries_named(&mut self, objects: &Objects, service: &ObjectKey) {
        for (key, entry) in objects.entries_named(service) {
            self.touch_served(objects, key, entry);
        }
    }

    /// Service entries with endpoints, of whose labels others are asked for.
    pub(super) fn touch_labelled_endpoints(&mut self, objects: &Objects) {
        let entries = objects.of_kind(Kind::ServiceEntry).map(|(key, _)| key);
        self.outputs
            .extend(entries.cloned().map(Output::ServiceEntry));
    }
}
