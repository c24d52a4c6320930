//! From the mesh model to the wire: messages, resource names and versions.
//!
//! Pure and total. Equal objects give equal bytes, and with that equal versions, in every process
//! and after every restart: the encoding has no maps in random order and elides nothing that
//! depends on a setting.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    Action, AppProtocol, Clause, GatewayAddress, Health, IpFamilies, Match, NetworkAddress, Policy,
    PortMapping, Rule, Scope, Service, ServiceAccountMatch, StringMatch, TunnelProtocol, Workload,
    WorkloadType,
};
use bytes::Bytes;
use ipnet::IpNet;
use prost::Message;

use crate::delta::Entry;
use crate::{extension, security, workload as wire};

/// Name of our extension of a workload.
pub const WORKLOAD_EXTENSION: &str = "ambit.mesh/workload";
/// Type of our extension of a workload.
pub const WORKLOAD_EXTENSION_TYPE: &str = "type.googleapis.com/ambit.workload.v1.WorkloadExtension";

/// Length of a version in bytes before it is written in hexadecimal: a collision among all the
/// versions that one name ever has is out of reach.
const VERSION_BYTES: usize = 16;

/// The version of a resource: a hash of its encoding.
pub fn content_version(body: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    digest
        .as_ref()
        .iter()
        .take(VERSION_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A workload as a named, versioned resource.
pub fn workload_entry(workload: &Workload) -> (Arc<str>, Entry) {
    let addresses = workload
        .addresses
        .iter()
        .map(|ip| alias(&workload.network, *ip));
    let aliases = addresses.collect();
    (
        workload.uid.as_str().into(),
        entry(&workload_to_wire(workload), aliases),
    )
}

/// A service as a named, versioned resource.
pub fn service_entry(service: &Service) -> (Arc<str>, Entry) {
    let addresses = service
        .vips
        .iter()
        .map(|(vip, _)| alias(&vip.network, vip.address));
    let aliases = addresses.collect();
    (
        service.name.to_string().into(),
        entry(&service_to_wire(service), aliases),
    )
}

/// A policy as a named, versioned resource.
pub fn policy_entry(policy: &Policy) -> (Arc<str>, Entry) {
    (
        policy.name.to_string().into(),
        entry(&policy_to_wire(policy), Arc::from([])),
    )
}

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
        load_balancing: (*balancing != ambit_model::LoadBalancing::default()).then(|| {
            wire::LoadBalancing {
                routing_preference: balancing.routing_preference.clone(),
                mode: balancing.mode,
                health_policy: i32::from(balancing.allow_unhealthy),
            }
        }),
        ip_families: ip_families(service.ip_families).into(),
        extensions: Vec::new(),
        canonical: false,
        ingress_use_waypoint: false,
        weighted_waypoints: Vec::new(),
        visibility: wire::service::Visibility::Public.into(),
    };
    wire::Address {
        r#type: Some(wire::address::Type::Service(message)),
    }
}

/// A policy as a message.
///
/// A match that this version marks as not understood is sent with an extension that no receiver
/// understands, so that it stays so.
pub fn policy_to_wire(policy: &Policy) -> security::Authorization {
    security::Authorization {
        name: text(&policy.name.name),
        namespace: text(&policy.name.namespace),
        scope: match policy.scope {
            Scope::Global => security::Scope::Global.into(),
            Scope::Namespace => security::Scope::Namespace.into(),
            Scope::Workload => security::Scope::WorkloadSelector.into(),
        },
        action: match policy.action {
            Action::Allow => security::Action::Allow.into(),
            Action::Deny => security::Action::Deny.into(),
        },
        rules: policy.rules.iter().map(rule).collect(),
        dry_run: policy.dry_run,
        extensions: Vec::new(),
    }
}

/// The name by which an address of a network can be asked for.
pub fn alias(network: &str, address: IpAddr) -> Arc<str> {
    format!("{network}/{address}").into()
}

fn entry(message: &impl Message, aliases: Arc<[Arc<str>]>) -> Entry {
    let body = Bytes::from(message.encode_to_vec());
    Entry {
        version: content_version(&body).into(),
        body,
        aliases,
    }
}

fn text(shared: &Arc<str>) -> String {
    String::from(&**shared)
}

fn octets(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    }
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
    if workload.pod_uid.is_none() && workload.applicable_policies.is_none() {
        return None;
    }
    let applicable = workload.applicable_policies.as_deref();
    let message = extension::WorkloadExtension {
        pod_uid: workload.pod_uid.as_ref().map(text).unwrap_or_default(),
        applicable_policies: applicable
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect(),
        has_applicable_policies: applicable.is_some(),
    };
    Some(wire::Extension {
        name: WORKLOAD_EXTENSION.to_owned(),
        config: Some(prost_types::Any {
            type_url: WORKLOAD_EXTENSION_TYPE.to_owned(),
            value: message.encode_to_vec(),
        }),
    })
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

fn rule(rule: &Rule) -> security::Rule {
    security::Rule {
        clauses: rule.clauses.iter().map(clause).collect(),
    }
}

fn clause(clause: &Clause) -> security::Clause {
    security::Clause {
        matches: clause.matches.iter().map(one_match).collect(),
    }
}

fn one_match(one: &Match) -> security::Match {
    let unsupported = one.unsupported.then(|| security::Extension {
        name: "ambit.mesh/unsupported".to_owned(),
        config: None,
    });
    security::Match {
        namespaces: one.namespaces.iter().map(string_match).collect(),
        not_namespaces: one.not_namespaces.iter().map(string_match).collect(),
        principals: one.principals.iter().map(string_match).collect(),
        not_principals: one.not_principals.iter().map(string_match).collect(),
        source_ips: one.source_ips.iter().map(block).collect(),
        not_source_ips: one.not_source_ips.iter().map(block).collect(),
        destination_ips: one.destination_ips.iter().map(block).collect(),
        not_destination_ips: one.not_destination_ips.iter().map(block).collect(),
        destination_ports: one
            .destination_ports
            .iter()
            .map(|p| u32::from(*p))
            .collect(),
        not_destination_ports: one
            .not_destination_ports
            .iter()
            .map(|p| u32::from(*p))
            .collect(),
        service_accounts: one.service_accounts.iter().map(service_account).collect(),
        not_service_accounts: one
            .not_service_accounts
            .iter()
            .map(service_account)
            .collect(),
        extensions: unsupported.into_iter().collect(),
    }
}

fn string_match(matcher: &StringMatch) -> security::StringMatch {
    use security::string_match::MatchType;
    let kind = match matcher {
        StringMatch::Exact(value) => MatchType::Exact(text(value)),
        StringMatch::Prefix(value) => MatchType::Prefix(text(value)),
        StringMatch::Suffix(value) => MatchType::Suffix(text(value)),
        StringMatch::Presence => MatchType::Presence(()),
    };
    security::StringMatch {
        match_type: Some(kind),
    }
}

fn block(net: &IpNet) -> security::Address {
    security::Address {
        address: octets(net.addr()),
        length: net.prefix_len().into(),
    }
}

fn service_account(account: &ServiceAccountMatch) -> security::ServiceAccountMatch {
    security::ServiceAccountMatch {
        namespace: text(&account.namespace),
        service_account: text(&account.service_account),
    }
}

#[cfg(test)]
mod tests;
