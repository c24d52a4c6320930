//! Workloads and services as messages.

use std::sync::Arc;

use ambit_model::{
    AppProtocol, GatewayAddress, Health, IpFamilies, LoadBalancing, LoadBalancingMode,
    NetworkAddress, PolicyName, PortMapping, Service, TunnelProtocol, Visibility, Workload,
    WorkloadType,
};
use prost::Message;

use super::{
    SERVICE_EXTENSION, SERVICE_EXTENSION_TYPE, WORKLOAD_EXTENSION, WORKLOAD_EXTENSION_TYPE, octets,
    text,
};
use crate::{extension, workload as wire};

/// A workload as a message.
pub fn workload_to_wire(workload: &Workload) -> wire::Address {
    let message = wire::Workload {
        uid: workload.uid.as_str().to_owned(),
        name: text(&workload.name),
        namespace: text(&workload.namespace),
        addresses: workload.addresses.iter().map(|ip| octets(*ip)).collect(),
        hostname: text(&workload.hostname),
        network: text(&workload.network),
        tunnel_protocol: tunnel_protocol(workload.protocol),
        trust_domain: text(&workload.trust_domain),
        service_account: text(&workload.service_account),
        node: text(&workload.node),
        cluster_id: text(&workload.cluster),
        canonical_name: text(&workload.canonical_name),
        canonical_revision: text(&workload.canonical_revision),
        workload_type: workload_type(workload.workload_type).into(),
        workload_name: text(&workload.workload_name),
        services: services(workload),
        waypoint: workload.waypoint.as_ref().map(gateway),
        authorization_policies: workload.policies.iter().map(ToString::to_string).collect(),
        status: match workload.health {
            Health::Healthy => wire::WorkloadStatus::Healthy.into(),
            Health::Unhealthy => wire::WorkloadStatus::Unhealthy.into(),
        },
        locality: locality(workload),
        network_mode: if workload.host_network {
            wire::NetworkMode::HostNetwork.into()
        } else {
            wire::NetworkMode::Standard.into()
        },
        extensions: workload_extension(workload).into_iter().collect(),
        capacity: (workload.capacity != 1).then_some(workload.capacity),
        native_tunnel: false,
        network_gateway: None,
        application_tunnel: None,
    };
    wire::Address {
        r#type: Some(wire::address::Type::Workload(message)),
    }
}

/// A service as a message.
pub fn service_to_wire(service: &Service) -> wire::Address {
    let balancing = &service.load_balancing;
    let message = wire::Service {
        name: text(&service.short_name),
        namespace: text(&service.name.namespace),
        hostname: text(&service.name.hostname),
        addresses: service
            .vips
            .iter()
            .map(|(vip, length)| range(vip, *length))
            .collect(),
        ports: service
            .ports
            .iter()
            .map(|port| wire::Port {
                service_port: port.service_port.into(),
                target_port: port.target_port.into(),
                app_protocol: app_protocol(port.app_protocol).into(),
            })
            .collect(),
        subject_alt_names: service
            .subject_alt_names
            .iter()
            .map(ToString::to_string)
            .collect(),
        waypoint: service.waypoint.as_ref().map(gateway),
        load_balancing: load_balancing(balancing),
        ip_families: ip_families(service.ip_families).into(),
        extensions: service_extension(service).into_iter().collect(),
        canonical: service.canonical,
        ingress_use_waypoint: false,
        weighted_waypoints: Vec::new(),
        visibility: match service.visibility {
            Visibility::Everyone => wire::service::Visibility::Public.into(),
            Visibility::Namespaces(_) => wire::service::Visibility::Namespace.into(),
        },
    };
    wire::Address {
        r#type: Some(wire::address::Type::Service(message)),
    }
}

fn load_balancing(balancing: &LoadBalancing) -> Option<wire::LoadBalancing> {
    let message = wire::LoadBalancing {
        routing_preference: balancing.routing_preference.clone(),
        mode: match balancing.mode {
            LoadBalancingMode::Unspecified => wire::load_balancing::Mode::UnspecifiedMode,
            LoadBalancingMode::Strict => wire::load_balancing::Mode::Strict,
            LoadBalancingMode::Failover => wire::load_balancing::Mode::Failover,
            LoadBalancingMode::Passthrough => wire::load_balancing::Mode::Passthrough,
        }
        .into(),
        health_policy: i32::from(balancing.allow_unhealthy),
    };
    (message != wire::LoadBalancing::default()).then_some(message)
}

fn service_extension(service: &Service) -> Option<wire::Extension> {
    let visible_to = match &service.visibility {
        Visibility::Namespaces(to) if **to != [Arc::clone(&service.name.namespace)] => Some(to),
        Visibility::Namespaces(_) | Visibility::Everyone => None,
    };
    let extension = extension::ServiceExtension {
        session_affinity: service.load_balancing.session_affinity,
        // No type of the model has a map whose keys are not texts or numbers: this does not fail.
        traffic: service
            .traffic
            .as_ref()
            .and_then(|traffic| serde_json::to_vec(traffic).ok())
            .unwrap_or_default()
            .into(),
        authentications: names(&service.authentications),
        visible_to: visible_to
            .into_iter()
            .flatten()
            .map(|to| to.to_string())
            .collect(),
        has_visible_to: visible_to.is_some(),
        dynamic: service.dynamic,
    };
    (extension != extension::ServiceExtension::default()).then(|| wire::Extension {
        name: SERVICE_EXTENSION.to_owned(),
        config: Some(prost_types::Any {
            type_url: SERVICE_EXTENSION_TYPE.to_owned(),
            value: extension.encode_to_vec(),
        }),
    })
}

fn range(address: &NetworkAddress, length: u8) -> wire::NetworkAddress {
    let full = if address.address.is_ipv4() { 32 } else { 128 };
    wire::NetworkAddress {
        network: text(&address.network),
        address: octets(address.address),
        length: (length != full).then(|| length.into()),
    }
}

fn gateway(gateway: &GatewayAddress) -> wire::GatewayAddress {
    use wire::gateway_address::Destination;
    let (destination, port) = match gateway {
        GatewayAddress::Service(name, port) => {
            let hostname = wire::NamespacedHostname {
                namespace: text(&name.namespace),
                hostname: text(&name.hostname),
            };
            (Destination::Hostname(hostname), *port)
        }
        GatewayAddress::Address(address, port) => {
            let full = if address.address.is_ipv4() { 32 } else { 128 };
            (Destination::Address(range(address, full)), *port)
        }
    };
    wire::GatewayAddress {
        destination: Some(destination),
        hbone_mtls_port: port.into(),
    }
}

fn services(workload: &Workload) -> std::collections::BTreeMap<String, wire::PortList> {
    let port = |mapping: &PortMapping| wire::Port {
        service_port: mapping.service_port.into(),
        target_port: mapping.target_port.into(),
        app_protocol: wire::AppProtocol::Unknown.into(),
    };
    let list = |ports: &Vec<PortMapping>| wire::PortList {
        ports: ports.iter().map(port).collect(),
    };
    workload
        .services
        .iter()
        .map(|(name, ports)| (name.to_string(), list(ports)))
        .collect()
}

fn locality(workload: &Workload) -> Option<wire::Locality> {
    let locality = &workload.locality;
    (*locality != ambit_model::Locality::default()).then(|| wire::Locality {
        region: text(&locality.region),
        zone: text(&locality.zone),
        subzone: text(&locality.subzone),
    })
}

fn workload_extension(workload: &Workload) -> Option<wire::Extension> {
    let applicable = workload.applicable_policies.as_deref();
    let says_nothing = !workload.waypoint_only
        && workload.labels.is_empty()
        && workload.authentications.is_empty()
        && workload.asked_authentications.is_empty();
    if workload.pod_uid.is_none() && applicable.is_none() && says_nothing {
        return None;
    }
    let message = extension::WorkloadExtension {
        pod_uid: workload.pod_uid.as_ref().map(text).unwrap_or_default(),
        applicable_policies: names(applicable.unwrap_or_default()),
        has_applicable_policies: applicable.is_some(),
        waypoint_only: workload.waypoint_only,
        labels: workload
            .labels
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect(),
        authentications: names(&workload.authentications),
        asked_authentications: names(&workload.asked_authentications),
    };
    Some(wire::Extension {
        name: WORKLOAD_EXTENSION.to_owned(),
        config: Some(prost_types::Any {
            type_url: WORKLOAD_EXTENSION_TYPE.to_owned(),
            value: message.encode_to_vec(),
        }),
    })
}

fn names(names: &[PolicyName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn tunnel_protocol(protocol: TunnelProtocol) -> i32 {
    match protocol {
        TunnelProtocol::None => wire::TunnelProtocol::None.into(),
        TunnelProtocol::Hbone => wire::TunnelProtocol::Hbone.into(),
        TunnelProtocol::Unsupported(number) => number,
    }
}

fn workload_type(kind: WorkloadType) -> wire::WorkloadType {
    match kind {
        WorkloadType::Deployment => wire::WorkloadType::Deployment,
        WorkloadType::CronJob => wire::WorkloadType::Cronjob,
        WorkloadType::Pod => wire::WorkloadType::Pod,
        WorkloadType::Job => wire::WorkloadType::Job,
    }
}

fn app_protocol(protocol: AppProtocol) -> wire::AppProtocol {
    match protocol {
        AppProtocol::Unknown => wire::AppProtocol::Unknown,
        AppProtocol::Http11 => wire::AppProtocol::Http11,
        AppProtocol::Http2 => wire::AppProtocol::Http2,
        AppProtocol::Grpc => wire::AppProtocol::Grpc,
        AppProtocol::Tcp => wire::AppProtocol::Tcp,
        AppProtocol::Tls => wire::AppProtocol::Tls,
    }
}

fn ip_families(families: IpFamilies) -> wire::IpFamilies {
    match families {
        IpFamilies::Automatic => wire::IpFamilies::Automatic,
        IpFamilies::Ipv4Only => wire::IpFamilies::Ipv4Only,
        IpFamilies::Ipv6Only => wire::IpFamilies::Ipv6Only,
        IpFamilies::Dual => wire::IpFamilies::Dual,
    }
}
