//! What people write for places, and where objects stand in files.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_model::{Health, Mesh, Service, ServiceName, Target, TunnelProtocol, Workload};

use crate::config::Configuration;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::Origin;
use crate::config::store::Claim;

/// Objects that decide, by name, with the place where they stand.
pub(super) type Origins = BTreeMap<String, Option<Origin>>;

/// Why a question cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UsageError {
    /// The source is no pod.
    #[error("no pod `{0}` with an address; write NAMESPACE/NAME or the address of a pod")]
    Source(String),
    /// There is no port.
    #[error("`{0}` has no port; write DESTINATION:PORT, IPv6 addresses in brackets")]
    Port(String),
    /// The destination is nothing known and no address.
    #[error("`{0}` is neither an address, nor a service, nor a pod with an address")]
    Destination(String),
    /// The request is none.
    #[error("{0}")]
    Request(String),
    /// The service has neither an address nor an endpoint.
    #[error("service {0} is headless and has no endpoint that serves port {1}")]
    NoEndpoint(ServiceName, u16),
}

/// The pod that connects.
pub(super) fn source<'a>(mesh: &'a Mesh, text: &str) -> Result<&'a Arc<Workload>, UsageError> {
    let found = match (text.parse::<IpAddr>(), text.split_once('/')) {
        (Ok(address), _) => mesh.workloads_at(address).next(),
        (Err(_), Some((namespace, name))) => mesh.workload_by_pod(namespace, name),
        (Err(_), None) => None,
    };
    found.ok_or_else(|| UsageError::Source(text.to_owned()))
}

/// The address that the pod's application would connect to.
pub(super) fn destination(
    configuration: &Configuration,
    source: &Workload,
    text: &str,
) -> Result<SocketAddr, UsageError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (place, port) = text
        .rsplit_once(':')
        .ok_or_else(|| UsageError::Port(text.to_owned()))?;
    let port = port.parse().ok().filter(|port| *port != 0);
    let port: u16 = port.ok_or_else(|| UsageError::Port(text.to_owned()))?;
    let mesh = configuration.mesh();
    if let Some(service) = service_named(configuration, source, place) {
        return address_of(mesh, source, service, port);
    }
    let pod = place
        .split_once('/')
        .and_then(|(namespace, name)| mesh.workload_by_pod(namespace, name));
    let address = pod.and_then(|pod| preferred(source, pod.addresses.iter().copied()));
    let address = address.ok_or_else(|| UsageError::Destination(place.to_owned()))?;
    Ok(SocketAddr::new(address, port))
}

/// A service by `NAMESPACE/NAME` or by any of the names that the cluster's DNS knows, or a host of a service
/// entry that the source may know.
fn service_named<'a>(
    configuration: &'a Configuration,
    source: &Workload,
    place: &'a str,
) -> Option<&'a Arc<Service>> {
    let domain = &configuration.settings().cluster_domain;
    let host = match place.split_once('/') {
        Some((namespace, name)) => format!("{name}.{namespace}.svc.{domain}"),
        None => {
            let place = place.trim_end_matches('.');
            let place = place
                .strip_suffix(&format!(".svc.{domain}"))
                .unwrap_or(place);
            match place.strip_suffix(".svc").unwrap_or(place).split_once('.') {
                None => format!("{place}.{}.svc.{domain}", source.namespace),
                Some((name, namespace)) => format!("{name}.{namespace}.svc.{domain}"),
            }
        }
    };
    let mesh = configuration.mesh();
    let of_cluster = mesh.service_by_hostname(&host);
    of_cluster.or_else(|| mesh.service_named(&source.namespace, place.trim_end_matches('.')))
}

/// What DNS would answer: the virtual address or, for a headless service, an endpoint's.
fn address_of(
    mesh: &Mesh,
    source: &Workload,
    service: &Service,
    port: u16,
) -> Result<SocketAddr, UsageError> {
    if let Some(vip) = preferred(source, service.vips.iter().map(|(vip, _)| vip.address)) {
        return Ok(SocketAddr::new(vip, port));
    }
    let endpoint = mesh
        .endpoints(&service.name)
        .find(|endpoint| endpoint.health == Health::Healthy);
    let address = endpoint.and_then(|e| preferred(source, e.addresses.iter().copied()));
    let address = address.ok_or_else(|| UsageError::NoEndpoint(service.name.clone(), port))?;
    Ok(SocketAddr::new(address, port))
}

/// The first address of a family that the source has too.
fn preferred(source: &Workload, addresses: impl IntoIterator<Item = IpAddr>) -> Option<IpAddr> {
    let shared = |to: &IpAddr| {
        source
            .addresses
            .iter()
            .any(|own| own.is_ipv4() == to.is_ipv4())
    };
    let mut addresses = addresses.into_iter().peekable();
    let first = addresses.peek().copied();
    addresses.find(shared).or(first)
}

/// Where a connection of a client that is not captured ends up.
pub(super) fn endpoint_at<'a>(
    mesh: &'a Mesh,
    client: &str,
    source: &Workload,
    to: SocketAddr,
) -> Option<(&'a Arc<Workload>, SocketAddr)> {
    match mesh.target_for(client, to) {
        Target::Workload(workload) => Some((workload, to)),
        Target::Service(service, port) => {
            let port = (&service.name, port.service_port);
            endpoint_of(mesh, source, port, |_| true)
        }
        Target::ServiceWithoutPort(_) | Target::Unknown => None,
    }
}

/// An endpoint like this of a port of a service, and where it serves that.
pub(super) fn endpoint_of<'a>(
    mesh: &'a Mesh,
    source: &Workload,
    (service, port): (&ServiceName, u16),
    is: impl Fn(&Workload) -> bool,
) -> Option<(&'a Arc<Workload>, SocketAddr)> {
    let mut endpoints = mesh.endpoints(service).filter(|endpoint| is(endpoint));
    endpoints.find_map(|endpoint| {
        let mappings = endpoint.services.get(service)?;
        let mapping = mappings.iter().find(|m| m.service_port == port)?;
        let address = preferred(source, endpoint.addresses.iter().copied())?;
        Some((endpoint, SocketAddr::new(address, mapping.target_port)))
    })
}

/// A workload in one line.
pub(super) fn describe(workload: &Workload) -> String {
    let addresses: Vec<String> = workload.addresses.iter().map(ToString::to_string).collect();
    let capture = if workload.protocol == TunnelProtocol::Hbone {
        "captured"
    } else {
        "not captured"
    };
    format!(
        "{}/{} ({}) on node {}, {capture}, {}",
        workload.namespace,
        workload.name,
        addresses.join(", "),
        workload.node,
        workload.identity(),
    )
}

/// The object behind a step's object, and where it stands.
pub(super) fn origin_of(configuration: &Configuration, object: &str) -> (String, Option<Origin>) {
    let Some(key) = key_of(configuration, object) else {
        return (object.to_owned(), None);
    };
    match configuration.objects().origin(&key) {
        Some(origin) => (key.to_string(), Some(origin.clone())),
        None => (object.to_owned(), None),
    }
}

/// That of the object which a rule of routes is named by: `HTTPRoute/shop/cart/0`.
fn key_of_rule(rule: &str) -> Option<ObjectKey> {
    let mut parts = rule.split('/');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let mut kinds = Kind::ALL.iter();
    let kind = kinds.find(|known| known.name() == kind)?;
    Some(ObjectKey::new(*kind, namespace, name))
}

fn key_of(configuration: &Configuration, object: &str) -> Option<ObjectKey> {
    let Some((kind, name)) = object.split_once(' ') else {
        return key_of_rule(object);
    };
    match kind {
        "workload" => {
            let mut parts = name.rsplit('/');
            let (name, namespace) = (parts.next()?, parts.next()?);
            Some(ObjectKey::new(Kind::Pod, namespace, name))
        }
        "service" => {
            let (namespace, host) = name.split_once('/')?;
            let claim = Claim::Host(namespace.into(), host.into());
            if let Some(entry) = configuration.objects().owner(&claim) {
                return Some(entry.clone());
            }
            let name = host.split('.').next()?;
            Some(ObjectKey::new(Kind::Service, namespace, name))
        }
        "policy" => {
            let (namespace, name) = name.split_once('/')?;
            let converted = name.strip_prefix("converted_peer_authentication_");
            let key = match converted {
                Some(name) => ObjectKey::new(Kind::PeerAuthentication, namespace, name),
                None => ObjectKey::new(Kind::AuthorizationPolicy, namespace, name),
            };
            configuration.objects().get(&key).map(|_| key)
        }
        _ => None,
    }
}
