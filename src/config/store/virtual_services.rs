//! Virtual services by the services that they are for, by those that they send traffic to, and by what
//! they delegate to; and the labels of clients that they ask for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Indexing, Objects};
use crate::config::objects::virtual_service::VirtualService;
use crate::config::objects::virtual_service::hosts::Host;
use crate::config::objects::{Kind, Object, ObjectKey};

/// The index.
#[derive(Debug, Default)]
pub(super) struct VirtualIndex {
    by_service: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// By their hosts that are no wildcards, and those that they send traffic to, as they are written.
    by_host: HashMap<Arc<str>, BTreeSet<ObjectKey>>,
    by_destination_host: HashMap<Arc<str>, BTreeSet<ObjectKey>>,
    /// Those that have a wildcard among their hosts: seldom any.
    wild: BTreeSet<ObjectKey>,
    by_destination: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    by_delegate: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    /// How many objects ask for a label.
    labels: BTreeMap<Arc<str>, usize>,
}

impl VirtualIndex {
    pub(super) fn apply(&mut self, indexing: Indexing, key: &ObjectKey, object: &VirtualService) {
        for service in hosts(key, object) {
            indexing.apply(&mut self.by_service, service, key);
        }
        for host in &object.spec.hosts {
            indexing.apply(&mut self.by_host, Arc::clone(host), key);
        }
        for destination in object.destinations() {
            let host = Arc::clone(&destination.host);
            indexing.apply(&mut self.by_destination_host, host, key);
        }
        if !wildcards(object).is_empty() {
            match indexing {
                Indexing::Add => self.wild.insert(key.clone()),
                Indexing::Remove => self.wild.remove(key),
            };
        }
        for service in destinations(key, object) {
            indexing.apply(&mut self.by_destination, service, key);
        }
        for delegate in delegates(key, object) {
            indexing.apply(&mut self.by_delegate, delegate, key);
        }
        for label in labels(object) {
            let count = self.labels.entry(label.clone()).or_default();
            match indexing {
                Indexing::Add => *count += 1,
                Indexing::Remove => *count = count.saturating_sub(1),
            }
            if *count == 0 {
                self.labels.remove(label);
            }
        }
    }
}

impl Objects {
    /// The virtual service of that name.
    pub fn virtual_service(&self, key: &ObjectKey) -> Option<&VirtualService> {
        match self.get(key)?.as_ref() {
            Object::VirtualService(object) => Some(object),
            _ => None,
        }
    }

    /// The same, with the name as it is kept here.
    pub fn virtual_service_with_key(
        &self,
        key: &ObjectKey,
    ) -> Option<(&ObjectKey, &VirtualService)> {
        let (kept, _) = self.entries.get_key_value(key)?;
        Some((kept, self.virtual_service(key)?))
    }

    /// Virtual services that name a service, or may by a wildcard.
    pub fn virtual_services_of<'a>(
        &'a self,
        service: &ObjectKey,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a VirtualService)> + use<'a> {
        let named = match service.kind {
            Kind::ServiceEntry => self.virtual_services.by_host.get(&service.name),
            _ => self.virtual_services.by_service.get(service),
        };
        let keys: BTreeSet<&ObjectKey> = named
            .into_iter()
            .flatten()
            .chain(&self.virtual_services.wild)
            .collect();
        keys.into_iter()
            .filter_map(|key| Some((key, self.virtual_service(key)?)))
    }

    /// Virtual services that send traffic to a service.
    pub fn virtual_services_to(
        &self,
        service: &ObjectKey,
    ) -> impl Iterator<Item = (&ObjectKey, &VirtualService)> {
        let keys = match service.kind {
            Kind::ServiceEntry => self.virtual_services.by_destination_host.get(&service.name),
            _ => self.virtual_services.by_destination.get(service),
        };
        let keys = keys.into_iter().flatten();
        keys.filter_map(|key| Some((key, self.virtual_service(key)?)))
    }

    /// Virtual services that delegate to another one.
    pub fn delegating_to(
        &self,
        delegate: &ObjectKey,
    ) -> impl Iterator<Item = (&ObjectKey, &VirtualService)> {
        let keys = self.virtual_services.by_delegate.get(delegate);
        let keys = keys.into_iter().flatten();
        keys.filter_map(|key| Some((key, self.virtual_service(key)?)))
    }

    /// Services that virtual services are for, whether they are there or not.
    pub fn virtually_routed(&self) -> BTreeSet<ObjectKey> {
        let mut services: BTreeSet<ObjectKey> =
            self.virtual_services.by_service.keys().cloned().collect();
        let by_host = self.virtual_services.by_host.keys();
        services.extend(by_host.flat_map(|host| self.hosts_named(host)));
        for key in &self.virtual_services.wild {
            if let Some(object) = self.virtual_service(key) {
                services.extend(self.services_named(object));
            }
        }
        services
    }

    /// Services that there are whose names the wildcards of a virtual service may mean, and hosts of service
    /// entries that it names.
    pub fn services_named(&self, object: &VirtualService) -> Vec<ObjectKey> {
        let hosts = object.spec.hosts.iter();
        let mut named: BTreeSet<ObjectKey> =
            hosts.flat_map(|host| self.hosts_named(host)).collect();
        let wildcards = wildcards(object);
        if !wildcards.is_empty() {
            let services = self.of_kind(Kind::Service).map(|(key, _)| key);
            let may_be = |key: &&ObjectKey| wildcards.iter().any(|suffix| may_end(key, suffix));
            named.extend(services.filter(may_be).cloned());
            let outside = wildcards.iter();
            named.extend(outside.flat_map(|suffix| self.hosts_ending(suffix)));
        }
        named.into_iter().collect()
    }

    /// Whether somebody asks for a label: a virtual service of clients, or a destination rule of
    /// endpoints.
    pub fn asks_for_label(&self, label: &str) -> bool {
        self.virtual_services.labels.contains_key(label) || self.divides_by_label(label)
    }
}

/// Services that a virtual service names one by one.
pub fn hosts(key: &ObjectKey, object: &VirtualService) -> BTreeSet<ObjectKey> {
    services(key, object.spec.hosts.iter())
}

/// Names of the labels of clients that a virtual service asks for.
pub fn labels(object: &VirtualService) -> BTreeSet<&Arc<str>> {
    object.source_labels().collect()
}

/// The object that a rule of a virtual service delegates to.
pub fn delegates(key: &ObjectKey, object: &VirtualService) -> BTreeSet<ObjectKey> {
    let all = object.delegates().map(|delegate| {
        let namespace = delegate.namespace.as_ref();
        let namespace = namespace.map_or_else(|| Arc::clone(&key.namespace), |name| name.shared());
        ObjectKey::new(Kind::VirtualService, namespace, delegate.name.shared())
    });
    all.collect()
}

fn destinations(key: &ObjectKey, object: &VirtualService) -> BTreeSet<ObjectKey> {
    services(
        key,
        object.destinations().map(|destination| &destination.host),
    )
}

fn services<'a>(key: &ObjectKey, hosts: impl Iterator<Item = &'a Arc<str>>) -> BTreeSet<ObjectKey> {
    let meant = hosts.filter_map(|host| match Host::of(&key.namespace, host) {
        Host::Service(service, _) => Some(service),
        Host::Wildcard(_) | Host::Outside => None,
    });
    meant.collect()
}

/// What the names that wildcards of a virtual service mean end with.
fn wildcards(object: &VirtualService) -> Vec<Arc<str>> {
    let hosts = object.spec.hosts.iter();
    let suffixes = hosts.filter_map(|host| match Host::of("", host) {
        Host::Wildcard(suffix) => Some(suffix),
        Host::Service(..) | Host::Outside => None,
    });
    suffixes.collect()
}

/// Whether the full name of a service may end so, in whatever domain: narrower than all services, and
/// never too narrow.
pub(super) fn may_end(service: &ObjectKey, suffix: &str) -> bool {
    match suffix.split_once(".svc.") {
        Some((before, _)) => {
            let name = format!("{}.{}", service.name, service.namespace);
            name.ends_with(before)
        }
        None => true,
    }
}
