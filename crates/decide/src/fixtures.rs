//! Objects for this package's tests: sensible ones, to be changed where a test needs it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_model::{
    Action, AppProtocol, Change, GatewayAddress, Health, IpFamilies, LoadBalancing, Locality, Mesh,
    NetworkAddress, Policy, PolicyName, PolicyOrigin, PortMapping, Rule, Scope, Service,
    ServiceName, ServicePort, SpiffeId, TunnelProtocol, Workload, WorkloadType, WorkloadUid,
};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn id(namespace: &str, account: &str) -> SpiffeId {
    SpiffeId::from_parts("cluster.local", namespace, account)
}

/// A captured pod of namespace `shop` whose service account has its name.
pub(crate) fn workload(name: &str, addresses: &[&str]) -> Workload {
    Workload {
        uid: WorkloadUid::pod("Kubernetes", "shop", name),
        pod_uid: Some(format!("uid-of-{name}").into()),
        name: name.into(),
        namespace: "shop".into(),
        trust_domain: "cluster.local".into(),
        service_account: name.into(),
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

pub(crate) fn service_name(name: &str) -> ServiceName {
    ServiceName::new("shop", format!("{name}.shop.svc.cluster.local"))
}

/// A service of namespace `shop` with port 80.
pub(crate) fn service(name: &str, vips: &[&str]) -> Service {
    let vip = |text: &&str| {
        let address = ip(text);
        let length = if address.is_ipv4() { 32 } else { 128 };
        (
            NetworkAddress {
                network: "".into(),
                address,
            },
            length,
        )
    };
    Service {
        name: service_name(name),
        short_name: name.into(),
        vips: vips.iter().map(vip).collect(),
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
        visibility: ambit_model::Visibility::Everyone,
        canonical: true,
        dynamic: false,
    }
}

/// Makes a workload an endpoint of a service, which serves its port 80 on 8080.
pub(crate) fn endpoint_of(service: &str, mut workload: Workload) -> Workload {
    let mapping = PortMapping {
        service_port: 80,
        target_port: 8080,
    };
    workload
        .services
        .insert(service_name(service), vec![mapping]);
    workload
}

pub(crate) fn waypoint() -> Option<GatewayAddress> {
    Some(GatewayAddress::Service(service_name("waypoint"), 15008))
}

/// An enforced policy with these rules that every workload is subject to.
pub(crate) fn policy(name: &str, action: Action, rules: Vec<Rule>) -> Policy {
    Policy {
        name: PolicyName::new("shop", name),
        scope: Scope::Global,
        action,
        rules,
        dry_run: false,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: None,
        requests: None,
    }
}

pub(crate) fn mesh(
    workloads: impl IntoIterator<Item = Workload>,
    services: impl IntoIterator<Item = Service>,
    policies: impl IntoIterator<Item = Policy>,
) -> Mesh {
    let mut mesh = Mesh::default();
    for workload in workloads {
        mesh.apply(Change::PutWorkload(Arc::new(workload)));
    }
    for service in services {
        mesh.apply(Change::PutService(Arc::new(service)));
    }
    for policy in policies {
        mesh.apply(Change::PutPolicy(Arc::new(policy)));
    }
    mesh
}
