//! Service entries: hosts outside of the cluster, or of it under other names, as services.
//!
//! - Each host of an entry is a service of the entry's namespace by the host's full name. Two entries
//!   of a namespace that have one host: the older counts, then the first by name. A host that is the full
//!   name of a Kubernetes Service, or one that pods may call it by in short, is that service's alone
//!   ([`names`]).
//! - Its addresses are those of the entry, or one that stands for it ([`addresses`]).
//! - `STATIC`: each endpoint is a workload that is reached in the clear. `DNS`: each is one that is known
//!   by its name; without endpoints the host itself is. `NONE`: the address is the one that the client
//!   asks for; without addresses the name is resolved as with `DNS`. A host with a `*` and no endpoints has
//!   no workloads: the host is the one that a request names, which only a waypoint sees.
//! - A pod joins as itself, with its identity: if `workloadSelector` selects it, or if its address is that
//!   of an endpoint. Only of the entry's own namespace: what leads to a pod decides who may come to it
//!   around its policies.
//! - An address that is a pod's never stands for a host.

mod addresses;
mod findings;
mod names;
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    AppProtocol, IpFamilies, LoadBalancing, LoadBalancingMode, NetworkAddress, PortMapping,
    Service, ServiceName, ServicePort, Visibility, Workload,
};

use super::waypoint::{Bound, waypoint};
use super::{Inputs, authentication, service};
use crate::config::objects::pod::Pod;
use crate::config::objects::service_entry::{
    Endpoint, Protocol, Resolution, ServiceEntry, ServiceEntryPort,
};
use crate::config::objects::virtual_service::hosts::Export;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::settings::Settings;
use crate::config::store::Claim;

pub use self::addresses::{RecordedAddress, recorded as recorded_addresses};
pub use self::findings::{
    findings as entry_findings, of_workload_entry as workload_entry_findings,
};
use self::names::service_of;

/// What a service entry comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TranslatedEntry {
    /// A service for each of its hosts that counts.
    pub services: Vec<Service>,
    /// Its endpoints that are no pods.
    pub workloads: Vec<Workload>,
}

/// How connections to a host find their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To where the client says.
    Kept,
    /// To endpoints, which may be known by their names.
    Endpoints,
    /// To the host itself, whose name is resolved.
    Itself,
    /// To the host that a request names.
    Named,
}

impl Way {
    /// That of a host of an entry.
    pub fn of(entry: &ServiceEntry, host: &str) -> Self {
        let spec = &entry.spec;
        let is_many = host.starts_with('*');
        if !spec.endpoints.is_empty() || spec.workload_selector.is_some() {
            return Self::Endpoints;
        }
        match spec.resolution {
            Resolution::None if !spec.addresses.is_empty() => Self::Kept,
            _ if is_many => Self::Named,
            Resolution::Static => Self::Endpoints,
            _ => Self::Itself,
        }
    }
}

/// How connections find their way to the host of this key; none if it is a service of the cluster, or not there.
pub(super) fn way_of(inputs: &Inputs<'_>, host: &ObjectKey) -> Option<Way> {
    let is_host = host.kind == Kind::ServiceEntry;
    let name = is_host.then(|| inputs.service_name(host))?;
    let (_, entry) = of_name(inputs, &name)?;
    Some(Way::of(entry, &host.name))
}

pub(super) fn translate(inputs: &Inputs<'_>, key: &ObjectKey) -> TranslatedEntry {
    let Some(entry) = inputs.objects.service_entry(key) else {
        return TranslatedEntry::default();
    };
    let hosts = hosts(inputs, key, entry);
    let services = hosts.iter().map(|host| of_host(inputs, key, entry, host));
    TranslatedEntry {
        services: services.collect(),
        workloads: servers::of_entry(inputs, key, entry, &hosts),
    }
}

/// Hosts of an entry that are its own to give.
pub(super) fn hosts<'a>(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &'a ServiceEntry,
) -> BTreeSet<&'a Arc<str>> {
    let own = |host: &&Arc<str>| {
        let claim = Claim::Host(Arc::clone(&key.namespace), Arc::clone(host));
        inputs.objects.owner(&claim) == Some(key)
            && service_of(inputs, &key.namespace, host).is_none()
            && !is_of_others(inputs.settings, &key.namespace, host)
    };
    entry.spec.hosts.iter().filter(own).collect()
}

/// The Kubernetes Service whose full name a host is.
pub(super) fn of_cluster(inputs: &Inputs<'_>, host: &str) -> Option<ObjectKey> {
    let key = service::key_of(inputs.settings, host)?;
    let service = inputs.objects.service(&key)?;
    (!service.is_external_name()).then_some(key)
}

/// Whether a host is a name of the cluster that is not this namespace's to give, or has a `*` that stands
/// for such names: with the search domains of pods, whoever had those would have every name that is asked for.
pub(super) fn is_of_others(settings: &Settings, namespace: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let domain = settings.cluster_domain.to_ascii_lowercase();
    let is_below = |name: &str, of: &str| {
        let front = name.strip_suffix(of);
        front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
    };
    // Pods may leave the domain out.
    let host = match host == "svc" || host.ends_with(".svc") {
        true => format!("{host}.{domain}"),
        false => host,
    };
    let rest = host
        .strip_prefix('*')
        .map(|rest| rest.trim_start_matches('.'));
    let name = rest.unwrap_or(&host);
    if is_below(name, &domain) {
        return !is_below(name, &format!("{namespace}.svc.{domain}"));
    }
    rest.is_some_and(|rest| is_below(&domain, rest))
}

/// The entry that a host of a namespace is of.
pub(super) fn of_name<'a>(
    inputs: &Inputs<'a>,
    name: &ServiceName,
) -> Option<(&'a ObjectKey, &'a ServiceEntry)> {
    let claim = Claim::Host(Arc::clone(&name.namespace), Arc::clone(&name.hostname));
    let key = inputs.objects.owner(&claim)?;
    let entry = inputs.objects.service_entry(key)?;
    let is_own = service_of(inputs, &name.namespace, &name.hostname).is_none()
        && !is_of_others(inputs.settings, &key.namespace, &name.hostname);
    is_own.then_some((key, entry))
}

/// Hosts of an entry that another entry has, by their places.
pub(super) fn hosts_of_others<'e>(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &'e ServiceEntry,
) -> Vec<(usize, ObjectKey, &'e Arc<str>)> {
    let hosts = entry.spec.hosts.iter().enumerate();
    let others = hosts.filter_map(|(index, host)| {
        let claim = Claim::Host(Arc::clone(&key.namespace), Arc::clone(host));
        let owner = inputs.objects.owner(&claim)?;
        (owner != key).then(|| (index, owner.clone(), host))
    });
    others.collect()
}

/// Whether a name is no longer that of a host of this entry, but another's.
pub(super) fn is_of_another(inputs: &Inputs<'_>, entry: &ObjectKey, name: &ServiceName) -> bool {
    let service = of_cluster(inputs, &name.hostname);
    service.is_some_and(|service| service.namespace == name.namespace)
        || of_name(inputs, name).is_some_and(|(owner, _)| owner != entry)
}

fn of_host(inputs: &Inputs<'_>, key: &ObjectKey, entry: &ServiceEntry, host: &Arc<str>) -> Service {
    let way = Way::of(entry, host);
    let name = ServiceName::new(Arc::clone(&key.namespace), Arc::clone(host));
    let vips = addresses::of_host(inputs, key, entry, host).into_iter();
    let vips = vips.map(|block| {
        let address = NetworkAddress {
            network: "".into(),
            address: block.addr(),
        };
        (address, block.prefix_len())
    });
    let mode = match way == Way::Kept {
        true => LoadBalancingMode::Passthrough,
        false => LoadBalancingMode::Unspecified,
    };
    let waypoint = waypoint(inputs, Bound::Service, &entry.metadata, &key.namespace);
    // Without an address it is nobody's question, and goes on as if nobody had written it.
    let is_left = way == Way::Named && waypoint.is_none();
    Service {
        short_name: Arc::clone(host),
        vips: vips.filter(|_| !is_left).collect(),
        ports: entry.spec.ports.iter().map(port).collect(),
        subject_alt_names: Vec::new(),
        waypoint,
        load_balancing: LoadBalancing {
            mode,
            ..LoadBalancing::default()
        },
        ip_families: IpFamilies::Automatic,
        traffic: inputs
            .traffic(&host_key(&key.namespace, host))
            .traffic
            .map(Arc::new),
        authentications: authentication::of_entry(inputs, key, entry),
        visibility: visibility(inputs, key, entry, host),
        canonical: false,
        dynamic: way == Way::Named,
        name,
    }
}

/// The key by which routes and traffic policies tell a host of a namespace's entries.
pub(super) fn host_key(namespace: &Arc<str>, host: &Arc<str>) -> ObjectKey {
    ObjectKey::new(Kind::ServiceEntry, Arc::clone(namespace), Arc::clone(host))
}

/// The ports of an entry, and what they speak.
pub(super) fn ports(entry: &ServiceEntry) -> Vec<(u16, AppProtocol)> {
    let ports = entry.spec.ports.iter().map(port);
    ports
        .map(|port| (port.service_port, port.app_protocol))
        .collect()
}

/// Whom a host is for. One that clients elsewhere may mean a Service by is for those of its own namespace.
fn visibility(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &ServiceEntry,
    host: &str,
) -> Visibility {
    let own = &key.namespace;
    let is_short = names::is_for_own_only(inputs, own, host);
    match Export::of(own, &entry.spec.export_to) {
        Export::Everywhere if is_short => Visibility::Namespaces(vec![Arc::clone(own)]),
        Export::Everywhere => Visibility::Everyone,
        Export::To(mut namespaces) => {
            namespaces.retain(|namespace| !is_short || namespace == own);
            namespaces.sort();
            namespaces.dedup();
            Visibility::Namespaces(namespaces)
        }
    }
}

fn port(port: &ServiceEntryPort) -> ServicePort {
    ServicePort {
        service_port: port.number.number(),
        target_port: target(port),
        app_protocol: match port.protocol {
            Protocol::Http => AppProtocol::Http11,
            Protocol::Http2 | Protocol::GrpcWeb => AppProtocol::Http2,
            Protocol::Grpc => AppProtocol::Grpc,
            Protocol::Https | Protocol::Tls => AppProtocol::Tls,
            Protocol::Tcp | Protocol::Mongo | Protocol::Mysql | Protocol::Redis => AppProtocol::Tcp,
            Protocol::Unsaid => AppProtocol::Unknown,
        },
    }
}

fn target(port: &ServiceEntryPort) -> u16 {
    port.target_port.unwrap_or(port.number).number()
}

/// The ports of an entry as one of its endpoints serves them, or a pod.
fn mappings(entry: &ServiceEntry, endpoint: Option<&Endpoint>) -> Vec<PortMapping> {
    let ports = entry.spec.ports.iter();
    let mapped = ports.map(|port| {
        let own = endpoint.and_then(|endpoint| endpoint.ports.get(&port.name));
        PortMapping {
            service_port: port.number.number(),
            target_port: own.map_or_else(|| target(port), |own| own.number()),
        }
    });
    mapped.collect()
}

/// Hosts that a pod serves, added to the services that it is an endpoint of.
pub(super) fn join(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    pod: &Pod,
    services: &mut BTreeMap<ServiceName, Vec<PortMapping>>,
) {
    let objects = inputs.objects;
    let mut add = |of: &ObjectKey, entry: &ServiceEntry, endpoint: Option<&Endpoint>| {
        for host in hosts(inputs, of, entry) {
            let name = ServiceName::new(Arc::clone(&of.namespace), Arc::clone(host));
            let ports = services.entry(name).or_default();
            ports.extend(mappings(entry, endpoint));
        }
    };
    for (of, entry) in objects.entries_selecting(&key.namespace, &pod.metadata.labels) {
        add(of, entry, None);
    }
    for address in pod.addresses() {
        if objects.owner(&Claim::PodAddress(address)) != Some(key) {
            continue;
        }
        for of in objects.entries_at(address) {
            let entry = objects.service_entry(of);
            let Some(entry) = entry.filter(|_| of.namespace == key.namespace) else {
                continue;
            };
            let at = |endpoint: &&Endpoint| endpoint.address.parse() == Ok::<IpAddr, _>(address);
            for endpoint in entry.spec.endpoints.iter().filter(at) {
                add(of, entry, Some(endpoint));
            }
        }
    }
}

/// The pod or Kubernetes Service that has an address, which then stands for nothing else.
fn owner_of<'a>(inputs: &Inputs<'a>, address: IpAddr) -> Option<&'a ObjectKey> {
    let address = address.to_canonical();
    let pod = inputs.objects.owner(&Claim::PodAddress(address));
    let pod = pod.filter(|owner| owner.kind == Kind::Pod);
    let service = inputs.objects.owner(&Claim::ServiceAddress(address));
    pod.or_else(|| service.filter(|owner| owner.kind == Kind::Service))
}
