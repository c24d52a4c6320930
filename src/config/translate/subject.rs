//! What traffic is sent to, as far as routes and traffic policies look at it: a Kubernetes Service, or a
//! host of service entries.
//!
//! A host is told by a key of kind `ServiceEntry` whose name is the host, whatever the object is called.

use std::sync::Arc;

use ambit_model::{AppProtocol, ServiceName};

use super::routes::is_headless;
use super::{Inputs, service, service_entry};
use crate::config::objects::metadata::Metadata;
use crate::config::objects::virtual_service::hosts::{Export, Host};
use crate::config::objects::{Kind, ObjectKey};

/// A service or a host that is there.
#[derive(Clone, Debug)]
pub(super) struct Subject<'a> {
    /// Of the object that says so.
    pub(super) metadata: &'a Metadata,
    /// Its TCP ports, and what they speak.
    pub(super) ports: Vec<(u16, AppProtocol)>,
    /// True if it has no address of its own.
    pub(super) is_headless: bool,
}

/// The one of that key; none of a service that stands for a name outside of the cluster.
pub(super) fn of<'a>(inputs: &Inputs<'a>, key: &ObjectKey) -> Option<Subject<'a>> {
    if key.kind == Kind::ServiceEntry {
        if Host::is_service_of(&key.namespace, &key.name) {
            return None;
        }
        let (_, entry) = service_entry::of_name(inputs, &name_of(inputs, key))?;
        return Some(Subject {
            metadata: &entry.metadata,
            ports: service_entry::ports(entry),
            is_headless: false,
        });
    }
    let object = inputs.objects.service(key)?;
    let ports = object.tcp_ports();
    let ports = ports.map(|port| (port.port, service::app_protocol(port)));
    (!object.is_external_name()).then(|| Subject {
        metadata: &object.metadata,
        ports: ports.collect(),
        is_headless: is_headless(object),
    })
}

/// Its name in the model.
pub(super) fn name_of(inputs: &Inputs<'_>, key: &ObjectKey) -> ServiceName {
    match key.kind {
        Kind::ServiceEntry => ServiceName::new(Arc::clone(&key.namespace), Arc::clone(&key.name)),
        _ => service::name_of(inputs.settings, key),
    }
}

/// Whether the host that an object of a namespace names is this one, written in full; how much of it
/// if it is a wildcard.
pub(super) fn precision(
    inputs: &Inputs<'_>,
    namespace: &str,
    host: &str,
    key: &ObjectKey,
) -> Option<usize> {
    let name = name_of(inputs, key);
    match Host::of(namespace, host) {
        Host::Wildcard(_) if key.kind == Kind::ServiceEntry && *key.name == *host => {
            Some(usize::MAX)
        }
        Host::Wildcard(suffix) => name.hostname.ends_with(&*suffix).then_some(suffix.len()),
        _ if key.kind == Kind::ServiceEntry => {
            let is_meant = host.contains('.') || *key.namespace == *namespace;
            (is_meant && *key.name == *host).then_some(usize::MAX)
        }
        host => {
            let meant = host.service(&inputs.settings.cluster_domain)?;
            (meant == *key).then_some(usize::MAX)
        }
    }
}

/// What an object of a namespace sends to by naming a host: a service of the cluster first, then a host of
/// the namespace's own entries, then the first by namespace that is exported there.
pub(super) fn meant(inputs: &Inputs<'_>, namespace: &str, host: &str) -> Option<ObjectKey> {
    let service = match Host::of(namespace, host) {
        Host::Wildcard(_) => None,
        host => host.service(&inputs.settings.cluster_domain),
    };
    if let Some(service) = service
        .clone()
        .filter(|key| inputs.objects.service(key).is_some())
    {
        return Some(service);
    }
    let hosts = inputs.objects.hosts_named(host).into_iter();
    let reaches = |key: &ObjectKey| {
        let entry = service_entry::of_name(inputs, &name_of(inputs, key));
        entry.is_some_and(|(_, entry)| {
            Export::of(&key.namespace, &entry.spec.export_to).reaches(namespace)
        })
    };
    let is_meant = |key: &ObjectKey| precision(inputs, namespace, host, key) == Some(usize::MAX);
    let outside = hosts.filter(|key| is_meant(key) && reaches(key));
    outside
        .min_by_key(|key| (*key.namespace != *namespace, key.clone()))
        .or(service)
}
