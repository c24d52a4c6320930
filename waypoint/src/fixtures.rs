//! Objects for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{
    AppProtocol, Change, GatewayAddress, Health, IpFamilies, LoadBalancing, Locality, PortMapping,
    Service, ServiceName, ServicePort, ServiceRoutes, TunnelProtocol, Workload, WorkloadType,
    WorkloadUid,
};

/// The name of a service of the namespace `shop`.
pub(crate) fn name(service: &str) -> ServiceName {
    ServiceName::new("shop", format!("{service}.shop.svc.cluster.local"))
}

/// A service on port 80 that is bound to nothing.
pub(crate) fn service(short: &str) -> Change {
    bound(short, None)
}

/// A service on port 80, and the waypoint that it is bound to.
pub(crate) fn bound(short: &str, waypoint: Option<&str>) -> Change {
    let waypoint = waypoint.map(|waypoint| GatewayAddress::Service(name(waypoint), 15008));
    Change::PutService(Arc::new(Service {
        name: name(short),
        short_name: short.into(),
        vips: Vec::new(),
        ports: vec![ServicePort {
            service_port: 80,
            target_port: 8080,
            app_protocol: AppProtocol::Http11,
        }],
        subject_alt_names: Vec::new(),
        waypoint,
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::Automatic,
    }))
}

/// That a service has no routes.
pub(crate) fn empty(short: &str) -> Change {
    Change::PutRoutes(Arc::new(ServiceRoutes {
        service: name(short),
        ports: BTreeMap::new(),
    }))
}

/// A pod that serves it on port 8080 and takes tunnels.
pub(crate) fn endpoint(pod: &str, service: &str, address: &str, health: Health) -> Change {
    let mapping = PortMapping {
        service_port: 80,
        target_port: 8080,
    };
    Change::PutWorkload(Arc::new(Workload {
        uid: WorkloadUid::pod("Kubernetes", "shop", pod),
        pod_uid: None,
        name: pod.into(),
        namespace: "shop".into(),
        trust_domain: "cluster.local".into(),
        service_account: pod.into(),
        addresses: vec![address.parse().unwrap()],
        hostname: "".into(),
        network: "".into(),
        node: "n1".into(),
        cluster: "Kubernetes".into(),
        protocol: TunnelProtocol::Hbone,
        host_network: false,
        workload_name: pod.into(),
        workload_type: WorkloadType::Pod,
        canonical_name: pod.into(),
        canonical_revision: "latest".into(),
        services: BTreeMap::from([(name(service), vec![mapping])]),
        waypoint: None,
        waypoint_only: false,
        policies: Vec::new(),
        applicable_policies: None,
        health,
        locality: Locality::default(),
        capacity: 0,
    }))
}
