//! Workloads and services from the wire.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    AppProtocol, GatewayAddress, Health, IpFamilies, LoadBalancing, LoadBalancingMode, Locality,
    NetworkAddress, PolicyName, PortMapping, Service, ServiceName, ServicePort, ServiceTraffic,
    SpiffeId, TunnelProtocol, Visibility, Workload, WorkloadType, WorkloadUid,
};
use prost::Message;

use super::{DecodeError, ip};
use crate::encode::{
    SERVICE_EXTENSION, SERVICE_EXTENSION_TYPE, WORKLOAD_EXTENSION, WORKLOAD_EXTENSION_TYPE,
};
use crate::extension::{ServiceExtension, WorkloadExtension};
use crate::workload as wire;

/// Port that a gateway serves HBONE on when the wire does not say.
const DEFAULT_HBONE_PORT: u16 = 15008;

/// Reads a workload. An empty trust domain stands for `trust_domain`, an empty service account for
/// `default`.
pub fn workload_from_wire(
    message: wire::Workload,
    trust_domain: &str,
) -> Result<Workload, DecodeError> {
    if message.uid.is_empty() {
        return Err(DecodeError::Empty("uid"));
    }
    let identity = identity(&message, trust_domain)?;
    let extension: Option<WorkloadExtension> = extension(
        &message.extensions,
        WORKLOAD_EXTENSION,
        WORKLOAD_EXTENSION_TYPE,
    )?;
    let locality = message.locality.unwrap_or_default();
    Ok(Workload {
        uid: WorkloadUid::new(message.uid),
        pod_uid: extension
            .as_ref()
            .map(|e| e.pod_uid.as_str())
            .filter(|u| !u.is_empty())
            .map(Arc::from),
        name: message.name.into(),
        trust_domain: identity.trust_domain().into(),
        service_account: identity.service_account().into(),
        namespace: message.namespace.into(),
        addresses: addresses(&message.addresses)?,
        hostname: message.hostname.into(),
        network: message.network.into(),
        node: message.node.into(),
        cluster: message.cluster_id.into(),
        protocol: match wire::TunnelProtocol::try_from(message.tunnel_protocol) {
            Ok(wire::TunnelProtocol::None) => TunnelProtocol::None,
            Ok(wire::TunnelProtocol::Hbone) => TunnelProtocol::Hbone,
            Ok(wire::TunnelProtocol::LegacyIstioMtls) | Err(_) => {
                TunnelProtocol::Unsupported(message.tunnel_protocol)
            }
        },
        host_network: message.network_mode == i32::from(wire::NetworkMode::HostNetwork),
        workload_name: message.workload_name.into(),
        workload_type: match wire::WorkloadType::try_from(message.workload_type) {
            Ok(wire::WorkloadType::Cronjob) => WorkloadType::CronJob,
            Ok(wire::WorkloadType::Pod) => WorkloadType::Pod,
            Ok(wire::WorkloadType::Job) => WorkloadType::Job,
            Ok(wire::WorkloadType::Deployment) | Err(_) => WorkloadType::Deployment,
        },
        canonical_name: message.canonical_name.into(),
        canonical_revision: message.canonical_revision.into(),
        services: services(message.services)?,
        waypoint: message.waypoint.map(gateway),
        waypoint_only: extension.as_ref().is_some_and(|e| e.waypoint_only),
        policies: policy_names(&message.authorization_policies),
        authentications: extension
            .as_ref()
            .map_or_else(Vec::new, |e| policy_names(&e.authentications)),
        asked_authentications: extension
            .as_ref()
            .map_or_else(Vec::new, |e| policy_names(&e.asked_authentications)),
        labels: extension
            .iter()
            .flat_map(|e| &e.labels)
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
        applicable_policies: extension
            .filter(|e| e.has_applicable_policies)
            .map(|e| policy_names(&e.applicable_policies)),
        health: match wire::WorkloadStatus::try_from(message.status) {
            Ok(wire::WorkloadStatus::Healthy) => Health::Healthy,
            Ok(wire::WorkloadStatus::Unhealthy) | Err(_) => Health::Unhealthy,
        },
        locality: Locality {
            region: locality.region.into(),
            zone: locality.zone.into(),
            subzone: locality.subzone.into(),
        },
        capacity: message.capacity.unwrap_or(1),
    })
}

/// Reads a service.
pub fn service_from_wire(message: wire::Service) -> Result<Service, DecodeError> {
    if message.namespace.is_empty() {
        return Err(DecodeError::Empty("namespace"));
    }
    if message.hostname.is_empty() {
        return Err(DecodeError::Empty("hostname"));
    }
    let extension: ServiceExtension = extension(
        &message.extensions,
        SERVICE_EXTENSION,
        SERVICE_EXTENSION_TYPE,
    )?
    .unwrap_or_default();
    let balancing = message.load_balancing.unwrap_or_default();
    let visibility = visibility(message.visibility, &message.namespace, &extension);
    Ok(Service {
        name: ServiceName::new(message.namespace, message.hostname),
        short_name: message.name.into(),
        vips: message
            .addresses
            .iter()
            .map(vip)
            .collect::<Result<_, _>>()?,
        ports: message
            .ports
            .iter()
            .map(service_port)
            .collect::<Result<_, _>>()?,
        // A name that is no identity of the mesh can never be presented to us: not one more door.
        subject_alt_names: message
            .subject_alt_names
            .iter()
            .filter_map(|name| name.parse::<SpiffeId>().ok())
            .collect(),
        waypoint: match message.waypoint {
            Some(waypoint) => Some(gateway(waypoint)),
            // Several waypoints are one binding: the heaviest stands for it.
            None => message
                .weighted_waypoints
                .into_iter()
                .max_by_key(|waypoint| waypoint.weight)
                .map(|waypoint| gateway(waypoint.destination.unwrap_or_default())),
        },
        load_balancing: LoadBalancing {
            routing_preference: balancing.routing_preference,
            mode: match wire::load_balancing::Mode::try_from(balancing.mode) {
                Ok(wire::load_balancing::Mode::Strict) => LoadBalancingMode::Strict,
                Ok(wire::load_balancing::Mode::Failover) => LoadBalancingMode::Failover,
                Ok(wire::load_balancing::Mode::Passthrough) => LoadBalancingMode::Passthrough,
                Ok(wire::load_balancing::Mode::UnspecifiedMode) | Err(_) => {
                    LoadBalancingMode::Unspecified
                }
            },
            allow_unhealthy: balancing.health_policy
                == i32::from(wire::load_balancing::HealthPolicy::AllowAll),
            session_affinity: extension.session_affinity,
        },
        ip_families: match wire::IpFamilies::try_from(message.ip_families) {
            Ok(wire::IpFamilies::Ipv4Only) => IpFamilies::Ipv4Only,
            Ok(wire::IpFamilies::Ipv6Only) => IpFamilies::Ipv6Only,
            Ok(wire::IpFamilies::Dual) => IpFamilies::Dual,
            Ok(wire::IpFamilies::Automatic) | Err(_) => IpFamilies::Automatic,
        },
        traffic: traffic(&extension.traffic)?,
        authentications: policy_names(&extension.authentications),
        visibility,
        canonical: message.canonical,
        dynamic: extension.dynamic,
    })
}

/// Whose clients a service is for: a value that this version does not know is not everyone.
fn visibility(value: i32, namespace: &str, extension: &ServiceExtension) -> Visibility {
    match wire::service::Visibility::try_from(value) {
        Ok(wire::service::Visibility::Public) => Visibility::Everyone,
        Ok(wire::service::Visibility::Namespace) | Err(_) if extension.has_visible_to => {
            let named = extension.visible_to.iter();
            Visibility::Namespaces(named.map(|name| name.as_str().into()).collect())
        }
        Ok(wire::service::Visibility::Namespace) | Err(_) => {
            Visibility::Namespaces(vec![namespace.into()])
        }
    }
}

fn traffic(wire: &[u8]) -> Result<Option<Arc<ServiceTraffic>>, DecodeError> {
    if wire.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_slice(wire);
    read.map(Some)
        .map_err(|error| DecodeError::Message(error.to_string()))
}

/// The parts of an identity go into certificates and policies: they must form a SPIFFE id.
fn identity(message: &wire::Workload, trust_domain: &str) -> Result<SpiffeId, DecodeError> {
    let or = |value: &str, default: &str| {
        if value.is_empty() {
            default.to_owned()
        } else {
            value.to_owned()
        }
    };
    let trust_domain = or(&message.trust_domain, trust_domain);
    let account = or(&message.service_account, "default");
    let text = format!(
        "spiffe://{trust_domain}/ns/{}/sa/{account}",
        message.namespace
    );
    text.parse().map_err(|_invalid| {
        DecodeError::field(
            "trust_domain, namespace, service_account",
            &text,
            "a SPIFFE id",
        )
    })
}

/// Our extension of that name, if there is one.
fn extension<T: Message + Default>(
    extensions: &[wire::Extension],
    name: &str,
    type_url: &'static str,
) -> Result<Option<T>, DecodeError> {
    let Some(extension) = extensions.iter().find(|e| e.name == name) else {
        return Ok(None);
    };
    let config = extension
        .config
        .as_ref()
        .ok_or(DecodeError::Empty("extensions.config"))?;
    if config.type_url != type_url {
        return Err(DecodeError::field(
            "extensions.config",
            &config.type_url,
            type_url,
        ));
    }
    let decoded = T::decode(config.value.as_slice());
    decoded
        .map(Some)
        .map_err(|e| DecodeError::Message(e.to_string()))
}

fn addresses(wire: &[bytes::Bytes]) -> Result<Vec<IpAddr>, DecodeError> {
    wire.iter()
        .map(|octets| {
            ip(octets).ok_or_else(|| {
                DecodeError::field("addresses", &format!("{octets:?}"), "4 or 16 bytes")
            })
        })
        .collect()
}

fn services(
    wire: BTreeMap<String, wire::PortList>,
) -> Result<BTreeMap<ServiceName, Vec<PortMapping>>, DecodeError> {
    wire.into_iter()
        .map(|(name, list)| {
            let name = ServiceName::parse(&name)
                .ok_or_else(|| DecodeError::field("services", &name, "`namespace/hostname`"))?;
            let mapping = |port: &wire::Port| {
                Ok(PortMapping {
                    service_port: port_number("services.service_port", port.service_port)?,
                    target_port: port_number("services.target_port", port.target_port)?,
                })
            };
            Ok((
                name,
                list.ports.iter().map(mapping).collect::<Result<_, _>>()?,
            ))
        })
        .collect()
}

fn service_port(port: &wire::Port) -> Result<ServicePort, DecodeError> {
    Ok(ServicePort {
        service_port: port_number("ports.service_port", port.service_port)?,
        target_port: port_number("ports.target_port", port.target_port)?,
        app_protocol: match wire::AppProtocol::try_from(port.app_protocol) {
            Ok(wire::AppProtocol::Http11) => AppProtocol::Http11,
            Ok(wire::AppProtocol::Http2) => AppProtocol::Http2,
            Ok(wire::AppProtocol::Grpc) => AppProtocol::Grpc,
            Ok(wire::AppProtocol::Tcp) => AppProtocol::Tcp,
            Ok(wire::AppProtocol::Tls) => AppProtocol::Tls,
            Ok(wire::AppProtocol::Unknown) | Err(_) => AppProtocol::Unknown,
        },
    })
}

fn port_number(field: &'static str, value: u32) -> Result<u16, DecodeError> {
    u16::try_from(value).map_err(|_too_large| DecodeError::field(field, &value, "a port"))
}

fn vip(wire: &wire::NetworkAddress) -> Result<(NetworkAddress, u8), DecodeError> {
    let address = ip(&wire.address).ok_or_else(|| {
        DecodeError::field("addresses", &format!("{:?}", wire.address), "4 or 16 bytes")
    })?;
    let full: u8 = if address.is_ipv4() { 32 } else { 128 };
    let length = match wire.length {
        None => full,
        Some(length) => u8::try_from(length)
            .ok()
            .filter(|length| *length <= full)
            .ok_or_else(|| DecodeError::field("addresses.length", &length, "a prefix length"))?,
    };
    Ok((
        NetworkAddress {
            network: wire.network.as_str().into(),
            address,
        },
        length,
    ))
}

/// A waypoint that cannot be read stays a binding: to a name that nothing has.
fn gateway(wire: wire::GatewayAddress) -> GatewayAddress {
    use wire::gateway_address::Destination;
    let unreadable = || GatewayAddress::Service(ServiceName::new("", "unreadable waypoint"), 0);
    let port = match wire.hbone_mtls_port {
        0 => DEFAULT_HBONE_PORT,
        port => match u16::try_from(port) {
            Ok(port) => port,
            Err(_) => return unreadable(),
        },
    };
    match wire.destination {
        Some(Destination::Hostname(name)) => {
            GatewayAddress::Service(ServiceName::new(name.namespace, name.hostname), port)
        }
        Some(Destination::Address(address)) => match ip(&address.address) {
            Some(ip) => {
                let network = address.network.into();
                GatewayAddress::Address(
                    NetworkAddress {
                        network,
                        address: ip,
                    },
                    port,
                )
            }
            None => unreadable(),
        },
        None => unreadable(),
    }
}

fn policy_names(names: &[String]) -> Vec<PolicyName> {
    names.iter().map(|name| policy_name(name)).collect()
}

/// A name that cannot be read stays in the list: as one that no policy has, so that the workload is
/// not served without it.
fn policy_name(text: &str) -> PolicyName {
    PolicyName::parse(text).unwrap_or_else(|| PolicyName::new("unreadable name", text))
}
