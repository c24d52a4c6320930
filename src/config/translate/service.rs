//! Services, their ports and how their endpoints are picked.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    AppProtocol, IpFamilies, LoadBalancing, LoadBalancingMode, NetworkAddress, PortMapping,
    ServiceName, Visibility,
};

use super::waypoint::{Bound, waypoint};
use super::{Inputs, authentication};
use crate::config::Settings;
use crate::config::objects::pod::Pod;
use crate::config::objects::service::{Service, ServicePort, TargetPort};
use crate::config::objects::{Kind, ObjectKey};
use crate::config::store::Claim;

/// `LoadBalancing.Scope` numbers of `istio.workload`.
const REGION: i32 = 1;
const ZONE: i32 = 2;
const SUBZONE: i32 = 3;
const NODE: i32 = 4;
const NETWORK: i32 = 6;

pub(super) fn translate(inputs: &Inputs<'_>, key: &ObjectKey) -> Option<ambit_model::Service> {
    let service = inputs
        .objects
        .service(key)
        .filter(|service| !service.is_external_name())?;
    let owns =
        |address: &IpAddr| inputs.objects.owner(&Claim::ServiceAddress(*address)) == Some(key);
    let vips = service.addresses().into_iter().filter(owns).map(|address| {
        let length = if address.is_ipv4() { 32 } else { 128 };
        (
            NetworkAddress {
                network: "".into(),
                address,
            },
            length,
        )
    });
    Some(ambit_model::Service {
        name: name_of(inputs.settings, key),
        short_name: Arc::clone(&key.name),
        vips: vips.collect(),
        ports: service.tcp_ports().map(port).collect(),
        subject_alt_names: Vec::new(),
        waypoint: waypoint(inputs, Bound::Service, &service.metadata, &key.namespace),
        load_balancing: load_balancing(service),
        ip_families: ip_families(service),
        traffic: inputs.traffic(key).traffic.map(Arc::new),
        authentications: authentication::of_service(inputs, key, service),
        visibility: Visibility::Everyone,
        canonical: true,
        dynamic: false,
    })
}

/// Name of a service in the model.
pub(super) fn name_of(settings: &Settings, key: &ObjectKey) -> ServiceName {
    let ObjectKey {
        namespace, name, ..
    } = key;
    let hostname = format!("{name}.{namespace}.svc.{}", settings.cluster_domain);
    ServiceName::new(Arc::clone(namespace), hostname)
}

/// The service whose full name that is, whether it is there or not.
pub(super) fn key_of(settings: &Settings, hostname: &str) -> Option<ObjectKey> {
    let (service, domain) = hostname.split_once(".svc.")?;
    let (name, namespace) = service.split_once('.')?;
    let is_one = *domain == *settings.cluster_domain && !namespace.contains('.');
    is_one.then(|| ObjectKey::new(Kind::Service, namespace, name))
}

/// The ports of a service as an endpoint serves them; ports that it does not have are left out.
pub(super) fn port_mappings(
    service: &Service,
    target: impl Fn(&ServicePort) -> Option<u16>,
) -> Vec<PortMapping> {
    let map = |port: &ServicePort| {
        Some(PortMapping {
            service_port: port.port,
            target_port: target(port)?,
        })
    };
    service.tcp_ports().filter_map(map).collect()
}

/// Number of the port of a pod that a service's port leads to.
pub(super) fn port_on_pod(port: &ServicePort, pod: &Pod) -> Option<u16> {
    match &port.target_port {
        None | Some(TargetPort::Number(0)) => Some(port.port),
        Some(TargetPort::Number(number)) => Some(*number),
        Some(TargetPort::Name(name)) => pod.named_port(name),
    }
}

fn port(port: &ServicePort) -> ambit_model::ServicePort {
    ambit_model::ServicePort {
        service_port: port.port,
        target_port: match &port.target_port {
            None | Some(TargetPort::Number(0)) => port.port,
            Some(TargetPort::Number(number)) => *number,
            Some(TargetPort::Name(_)) => 0,
        },
        app_protocol: app_protocol(port),
    }
}

/// `appProtocol` if given, otherwise the port's name up to its first dash.
pub(super) fn app_protocol(port: &ServicePort) -> AppProtocol {
    let name = port.name.as_deref().unwrap_or_default();
    let named = name.split('-').next().unwrap_or_default();
    let word = port
        .app_protocol
        .as_deref()
        .unwrap_or(named)
        .to_ascii_lowercase();
    match word.as_str() {
        "http" | "kubernetes.io/ws" => AppProtocol::Http11,
        "http2" | "kubernetes.io/h2c" => AppProtocol::Http2,
        "grpc" | "grpc-web" => AppProtocol::Grpc,
        "https" | "tls" | "kubernetes.io/wss" => AppProtocol::Tls,
        "tcp" | "mongo" | "mysql" | "postgresql" | "redis" => AppProtocol::Tcp,
        _ => AppProtocol::Unknown,
    }
}

fn load_balancing(service: &Service) -> LoadBalancing {
    LoadBalancing {
        session_affinity: service.spec.session_affinity.as_deref() == Some("ClientIP"),
        ..nearness(service)
    }
}

fn nearness(service: &Service) -> LoadBalancing {
    let allow_unhealthy = service.spec.publish_not_ready_addresses;
    if service.spec.internal_traffic_policy.as_deref() == Some("Local") {
        return LoadBalancing {
            routing_preference: vec![NODE],
            mode: LoadBalancingMode::Strict,
            allow_unhealthy,
            ..LoadBalancing::default()
        };
    }
    let annotation = service
        .metadata
        .annotation("networking.istio.io/traffic-distribution");
    let distribution = service.spec.traffic_distribution.as_ref().or(annotation);
    let mut routing_preference = vec![NETWORK, REGION, ZONE, SUBZONE];
    match distribution.map(AsRef::as_ref) {
        Some("PreferClose" | "PreferSameZone") => {}
        Some("PreferSameNode") => routing_preference.push(NODE),
        _ => {
            return LoadBalancing {
                allow_unhealthy,
                ..LoadBalancing::default()
            };
        }
    }
    LoadBalancing {
        routing_preference,
        mode: LoadBalancingMode::Failover,
        allow_unhealthy,
        ..LoadBalancing::default()
    }
}

fn ip_families(service: &Service) -> IpFamilies {
    let has = |family: &str| {
        service
            .spec
            .ip_families
            .iter()
            .any(|given| &**given == family)
    };
    match (has("IPv4"), has("IPv6")) {
        (true, true) => IpFamilies::Dual,
        (true, false) => IpFamilies::Ipv4Only,
        (false, true) => IpFamilies::Ipv6Only,
        (false, false) => IpFamilies::Automatic,
    }
}
