//! Objects for this package's tests: sensible ones, to be changed where a test needs it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::names::{NetworkAddress, PolicyName, ServiceName, WorkloadUid};
use crate::policy::{Action, Policy, PolicyOrigin, Rule, Scope};
use crate::service::{AppProtocol, IpFamilies, LoadBalancing, PortMapping, Service, ServicePort};
use crate::workload::{Health, Locality, TunnelProtocol, Workload, WorkloadType};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn network_address(text: &str) -> NetworkAddress {
    NetworkAddress {
        network: "".into(),
        address: ip(text),
    }
}

pub(crate) fn port_map(service_port: u16, target_port: u16) -> Vec<PortMapping> {
    vec![PortMapping {
        service_port,
        target_port,
    }]
}

pub(crate) fn workload(namespace: &str, name: &str, addresses: &[&str]) -> Workload {
    Workload {
        uid: WorkloadUid::pod("Kubernetes", namespace, name),
        pod_uid: None,
        name: name.into(),
        namespace: namespace.into(),
        trust_domain: "cluster.local".into(),
        service_account: "default".into(),
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        hostname: "".into(),
        network: "".into(),
        node: "node-1".into(),
        cluster: "Kubernetes".into(),
        protocol: TunnelProtocol::Hbone,
        host_network: false,
        workload_name: name.into(),
        workload_type: WorkloadType::Pod,
        canonical_name: name.into(),
        canonical_revision: "latest".into(),
        services: BTreeMap::new(),
        waypoint: None,
        waypoint_only: false,
        policies: Vec::new(),
        applicable_policies: None,
        authentications: Vec::new(),
        asked_authentications: Vec::new(),
        labels: BTreeMap::new(),
        health: Health::Healthy,
        locality: Locality::default(),
        capacity: 0,
    }
}

/// A service with port 80.
pub(crate) fn service(namespace: &str, name: &str, vips: &[(&str, u8)]) -> Service {
    Service {
        name: ServiceName::new(namespace, format!("{name}.{namespace}.svc.cluster.local")),
        short_name: name.into(),
        vips: vips
            .iter()
            .map(|(text, length)| (network_address(text), *length))
            .collect(),
        ports: vec![ServicePort {
            service_port: 80,
            target_port: 8080,
            app_protocol: AppProtocol::Unknown,
        }],
        subject_alt_names: Vec::new(),
        waypoint: None,
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::default(),
        traffic: None,
        authentications: Vec::new(),
        visibility: crate::Visibility::Everyone,
        canonical: true,
        dynamic: false,
    }
}

/// An ALLOW policy that matches everything.
pub(crate) fn policy(namespace: &str, name: &str, scope: Scope) -> Policy {
    Policy {
        name: PolicyName::new(namespace, name),
        scope,
        action: Action::Allow,
        rules: vec![Rule::default()],
        dry_run: false,
        origin: PolicyOrigin::default(),
        behind: None,
        requests: None,
    }
}
