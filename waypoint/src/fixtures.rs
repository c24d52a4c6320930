//! Objects for tests.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ambit_kit::clock;
use ambit_model::{
    Action, AppProtocol, Backend, BackendTarget, Change, ConnectionPolicy, GatewayAddress, Health,
    HttpBackend, HttpFilters, HttpMatch, HttpRoutes, HttpRule, IpFamilies, LoadBalancing, Locality,
    Policy, PolicyName, PolicyOrigin, PortMapping, PortPolicies, PortRoutes, RequestAction,
    RequestPolicy, RequestRule, RouteList, RoutedMatch, Rule, Scope, Service, ServiceName,
    ServicePort, ServiceRoutes, ServiceTraffic, TrafficPolicy, TunnelProtocol, WaypointPolicy,
    Workload, WorkloadType, WorkloadUid,
};

use crate::call::{Asked, Call, Client};
use crate::drain::Drain;
use crate::pressure::holders::Holders;
use crate::view::{Terms, View};

/// A connection of a client at this address, for the service `server`.
pub(crate) fn call(client: &str) -> Call {
    let Change::PutService(server) = service("server") else {
        panic!("no service")
    };
    let port = server.ports[0];
    Call {
        client: Client {
            identity: None,
            address: client.parse().unwrap(),
            workload: None,
            is_waypoint: false,
            waypoints: 0,
            _presence: None,
        },
        asked: Asked::Service(server, port),
        destination: SocketAddr::from(([10, 96, 0, 1], 80)),
        tie: Arc::new(Drain::new()),
        holder: Holders::default().open(IpAddr::V4(Ipv4Addr::LOCALHOST), None),
        _place: None,
    }
}

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
        authentications: Vec::new(),
        visibility: ambit_model::Visibility::Everyone,
        canonical: true,
        dynamic: false,
        traffic: None,
    }))
}

/// A service on port 80 whose endpoints speak HTTP/2.
pub(crate) fn by_http2(short: &str) -> Change {
    let Change::PutService(http1) = service(short) else {
        panic!("no service")
    };
    let mut http2 = Service::clone(&http1);
    http2.ports[0].app_protocol = AppProtocol::Http2;
    Change::PutService(Arc::new(http2))
}

/// A service on port 80 for which this holds.
pub(crate) fn ruled(short: &str, traffic: ServiceTraffic) -> Change {
    let Change::PutService(plain) = service(short) else {
        panic!("no service")
    };
    Change::PutService(Arc::new(Service {
        traffic: Some(Arc::new(traffic)),
        ..Service::clone(&plain)
    }))
}

/// What holds for all of a service.
pub(crate) fn traffic(any: TrafficPolicy) -> ServiceTraffic {
    let whole = PortPolicies {
        any,
        ..PortPolicies::default()
    };
    ServiceTraffic {
        whole,
        ..ServiceTraffic::default()
    }
}

/// The terms of service `server` with these bounds.
pub(crate) fn terms(connections: ConnectionPolicy) -> Arc<Terms> {
    let any = TrafficPolicy {
        connections,
        ..TrafficPolicy::default()
    };
    let mut view = View::new(name("waypoint"), IpAddr::from([10, 0, 0, 1]));
    view.apply(ruled("server", traffic(any)), clock::now());
    let cluster = view.cluster(&name("server"), 80, None).unwrap();
    Arc::clone(&cluster.terms)
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
        authentications: Vec::new(),
        asked_authentications: Vec::new(),
        labels: BTreeMap::new(),
        health,
        locality: Locality::default(),
        capacity: 0,
    }))
}

/// The same pod, to which no client may connect.
pub(crate) fn closed(pod: Change) -> [Change; 2] {
    let Change::PutWorkload(workload) = pod else {
        panic!("no workload")
    };
    let closed = PolicyName::new("shop", "closed");
    let workload = Workload {
        policies: vec![closed.clone()],
        ..Workload::clone(&workload)
    };
    let deny = Policy {
        name: closed,
        scope: Scope::Workload,
        action: Action::Deny,
        rules: vec![Rule::default()],
        dry_run: false,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: None,
        requests: None,
    };
    [
        Change::PutPolicy(Arc::new(deny)),
        Change::PutWorkload(Arc::new(workload)),
    ]
}

/// A policy of the namespace `shop` about requests, bound to these services or else for its namespace. By
/// connections alone it would refuse everything.
pub(crate) fn about_requests(
    short: &str,
    action: RequestAction,
    rules: Vec<RequestRule>,
    targets: &[&str],
) -> Arc<Policy> {
    let policy = RequestPolicy {
        name: PolicyName::new("shop", short),
        action,
        dry_run: false,
        rules,
    };
    let (action, rules) = match policy.action {
        RequestAction::Allow => (Action::Allow, Vec::new()),
        RequestAction::Deny => (Action::Deny, vec![Rule::default()]),
        RequestAction::Audit => (Action::Deny, Vec::new()),
    };
    Arc::new(Policy {
        name: policy.name.clone(),
        scope: match targets.is_empty() {
            true => Scope::Namespace,
            false => Scope::Workload,
        },
        action,
        rules,
        dry_run: policy.action == RequestAction::Audit,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: None,
        requests: Some(Arc::new(WaypointPolicy {
            policy,
            targets: targets.iter().map(|target| name(target)).collect(),
        })),
    })
}

/// The same routes, whose rules are of an object of this namespace.
pub(crate) fn written_in(namespace: &str, routes: Change) -> Change {
    let Change::PutRoutes(routes) = routes else {
        panic!("no routes")
    };
    let mut routes = ServiceRoutes::clone(&routes);
    for list in routes.http_lists_mut() {
        for rule in &mut list.rules {
            Arc::make_mut(rule).name = format!("HTTPRoute/{namespace}/all/0").into();
        }
    }
    Change::PutRoutes(Arc::new(routes))
}

/// A route of the service `server` for all requests, to port 80 of these services.
pub(crate) fn routed(to: &[&str], rule: HttpRule) -> Change {
    let backends = to.iter().map(|service| HttpBackend {
        backend: Backend {
            weight: 1,
            target: BackendTarget::Service {
                name: name(service),
                port: 80,
                subset: None,
            },
        },
        filters: HttpFilters::default(),
    });
    let rule = HttpRule {
        name: "HTTPRoute/shop/all/0".into(),
        backends: backends.collect(),
        ..rule
    };
    let routes = HttpRoutes {
        matches: vec![RoutedMatch {
            when: HttpMatch::default().into(),
            rule: 0,
        }],
        rules: vec![Arc::new(rule)],
    };
    let of_port = PortRoutes {
        producer: Some(RouteList::Http(routes)),
        consumers: BTreeMap::new(),
    };
    Change::PutRoutes(Arc::new(ServiceRoutes {
        service: name("server"),
        ports: BTreeMap::from([(80, of_port)]),
    }))
}

/// An endpoint of a service that a ServiceEntry names by a host name, on port 8080 in plaintext.
pub(crate) fn entry(of: &str, service: &str, hostname: &str) -> Change {
    let Change::PutWorkload(pod) = endpoint(of, service, "192.0.2.1", Health::Healthy) else {
        panic!("no workload")
    };
    let uid = format!("Kubernetes/networking.istio.io/ServiceEntry/shop/{of}");
    Change::PutWorkload(Arc::new(Workload {
        uid: WorkloadUid::new(uid),
        addresses: Vec::new(),
        hostname: hostname.into(),
        protocol: TunnelProtocol::None,
        workload_name: "".into(),
        canonical_name: "".into(),
        canonical_revision: "".into(),
        ..Workload::clone(&pod)
    }))
}

/// The same at an address.
pub(crate) fn entry_at(of: &str, service: &str, address: &str) -> Arc<Workload> {
    let Change::PutWorkload(named) = entry(of, service, "") else {
        panic!("no workload")
    };
    Arc::new(Workload {
        addresses: vec![address.parse().unwrap()],
        ..Workload::clone(&named)
    })
}
