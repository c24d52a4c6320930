//! What a waypoint is told of, in a mesh with more than that.

use std::collections::BTreeMap;

use ambit_model::{
    Backend, BackendTarget, Change, Health, Locality, PortRoutes, RouteList, Service,
    ServiceRoutes, TcpRoute, TunnelProtocol, WorkloadType,
};

use super::*;

pub(in crate::serve) fn name(service: &str) -> ServiceName {
    ServiceName::new("shop", format!("{service}.shop.svc.cluster.local"))
}

pub(in crate::serve) fn service(short: &str, waypoint: Option<&str>) -> Change {
    Change::PutService(Arc::new(Service {
        name: name(short),
        short_name: short.into(),
        vips: Vec::new(),
        ports: Vec::new(),
        subject_alt_names: Vec::new(),
        waypoint: waypoint.map(|waypoint| GatewayAddress::Service(name(waypoint), 15008)),
        load_balancing: ambit_model::LoadBalancing::default(),
        ip_families: ambit_model::IpFamilies::Automatic,
        traffic: None,
        authentications: Vec::new(),
        visibility: ambit_model::Visibility::Everyone,
        canonical: true,
        dynamic: false,
    }))
}

/// A pod that is an endpoint of a service.
pub(in crate::serve) fn endpoint(pod: &str, service: &str, address: &str) -> Change {
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
        services: BTreeMap::from([(name(service), Vec::new())]),
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
    }))
}

/// Routes of a service that lead to another.
pub(in crate::serve) fn routes(of: &str, to: &str) -> Change {
    let target = BackendTarget::Service {
        name: name(to),
        port: 80,
        subset: None,
    };
    let list = RouteList::Tcp(TcpRoute {
        name: "TCPRoute/shop/a/0".into(),
        backends: vec![Backend { weight: 1, target }],
    });
    let port = PortRoutes {
        producer: Some(list),
        ..PortRoutes::default()
    };
    Change::PutRoutes(Arc::new(ServiceRoutes {
        service: name(of),
        ports: [(80, port)].into(),
    }))
}

fn mesh() -> Mesh {
    let mut mesh = Mesh::default();
    for change in [
        service("waypoint", None),
        service("cart", Some("waypoint")),
        service("stock", None),
        service("other", Some("elsewhere")),
        endpoint("waypoint-0", "waypoint", "10.0.0.1"),
        endpoint("cart-0", "cart", "10.0.0.2"),
        endpoint("stock-0", "stock", "10.0.0.3"),
        endpoint("other-0", "other", "10.0.0.4"),
    ] {
        mesh.apply(change);
    }
    mesh
}

fn scope(mesh: &Mesh) -> Scope {
    Scope::new(name("waypoint"), Arc::new(["ambit-system".into()]), mesh)
}

/// Names of the pods and services that it is told of, in short.
fn told(scope: &Scope, mesh: &Mesh) -> Vec<String> {
    let all = scope.addresses(mesh);
    assert!(all.iter().all(|name| scope.has_address(name, mesh)));
    let short = |name: &Arc<str>| {
        let last = name.rsplit('/').next().unwrap_or_default();
        last.split('.').next().unwrap_or_default().to_owned()
    };
    let mut short: Vec<String> = all.iter().map(short).collect();
    short.sort();
    short
}

#[test]
fn it_is_told_of_itself_and_what_is_bound_to_it_with_their_endpoints() {
    let mesh = mesh();
    let scope = scope(&mesh);
    let expected = ["cart", "cart-0", "waypoint", "waypoint-0"];
    assert_eq!(told(&scope, &mesh), expected);
    assert!(scope.has_routes(&name("cart").to_string()));
    assert!(!scope.has_routes(&name("stock").to_string()));
    assert!(scope.has_policy("shop/a") && scope.has_policy("ambit-system/a"));
    assert!(!scope.has_policy("bank/a"));
}

/// The entry of a host, perhaps one with a `*`.
fn entry(host: &str, waypoint: Option<&str>) -> Change {
    let Change::PutService(made) = service("entry", waypoint) else {
        panic!("no service")
    };
    Change::PutService(Arc::new(Service {
        name: ServiceName::new("team", host),
        canonical: false,
        dynamic: host.starts_with('*'),
        ..Service::clone(&made)
    }))
}

/// A host that has an entry of its own is not gone to by a `*`, wherever that entry is bound.
#[test]
fn hosts_that_fit_what_is_bound_to_it_are_told_of_and_no_others() {
    let mut mesh = mesh();
    let hosts = |scope: &Scope, mesh: &Mesh| -> Vec<String> {
        let names = scope.addresses(mesh).into_iter();
        let hosts = names.filter_map(|name| Some(name.strip_prefix("team/")?.to_owned()));
        hosts.collect()
    };
    let others = [
        "admin.example.com",
        "*.a.example.com",
        "example.com",
        "xexample.com",
        "other.org",
    ];
    for host in others {
        mesh.apply(entry(host, Some("elsewhere")));
    }
    let mut scope = scope(&mesh);
    assert!(hosts(&scope, &mesh).is_empty());
    mesh.apply(entry("*.example.com", Some("waypoint")));
    let moved = scope.refresh(&mesh, clock::now());
    let expected = ["*.a.example.com", "*.example.com", "admin.example.com"];
    assert_eq!(hosts(&scope, &mesh), expected);
    for host in expected {
        let name = format!("team/{host}");
        assert!(
            moved.addresses.iter().any(|moved| **moved == *name),
            "{moved:?}"
        );
        assert!(scope.has_address(&name, &mesh));
    }
    // One that comes later.
    mesh.apply(entry("new.example.com", None));
    let moved = scope.refresh(&mesh, clock::now());
    assert_eq!(moved.addresses, ["team/new.example.com".into()]);
    mesh.apply(Change::RemoveService(ServiceName::new(
        "team",
        "new.example.com",
    )));
    let moved = scope.refresh(&mesh, clock::now());
    assert_eq!(moved.addresses, ["team/new.example.com".into()]);
}

#[test]
fn where_routes_lead_belongs_to_it_while_they_do() {
    let mut mesh = mesh();
    let mut scope = scope(&mesh);
    mesh.apply(routes("cart", "stock"));
    let moved = scope.refresh(&mesh, clock::now());
    assert_eq!(moved.addresses.len(), 2, "{moved:?}");
    assert!(told(&scope, &mesh).contains(&"stock-0".to_owned()));
    mesh.apply(Change::RemoveRoutes(name("cart")));
    assert_eq!(scope.refresh(&mesh, clock::now()).addresses.len(), 2);
    assert!(!told(&scope, &mesh).contains(&"stock-0".to_owned()));
    assert_eq!(scope.refresh(&mesh, clock::now()), Moved::default());
}

#[test]
fn routes_of_what_is_not_bound_do_not_move_it() {
    let mut mesh = mesh();
    let scope = scope(&mesh);
    let changed = |service: &str| Changes {
        routes: [name(service).to_string().into()].into(),
        ..Changes::default()
    };
    assert!(scope.is_moved_by(&changed("cart")));
    for service in ["waypoint", "stock", "other", "unknown"] {
        assert!(!scope.is_moved_by(&changed(service)), "{service}");
        mesh.apply(routes(service, "elsewhere"));
    }
    let mut later = self::scope(&mesh);
    assert_eq!(told(&later, &mesh), told(&scope, &mesh));
    assert_eq!(later.refresh(&mesh, clock::now()), Moved::default());
    let bindings = Changes {
        bindings: true,
        ..Changes::default()
    };
    assert!(scope.is_moved_by(&bindings));
}

#[test]
fn a_backend_that_is_bound_later_has_its_routes_told() {
    let mut mesh = mesh();
    mesh.apply(routes("cart", "stock"));
    let mut scope = scope(&mesh);
    mesh.apply(service("stock", Some("waypoint")));
    let moved = scope.refresh(&mesh, clock::now());
    assert_eq!(moved.routes, [name("stock").to_string().into()]);
    assert!(moved.addresses.is_empty());
}

#[test]
fn callers_are_told_while_they_are_asked_for() {
    let mesh = mesh();
    let mut scope = scope(&mesh);
    let other = WorkloadUid::pod("Kubernetes", "shop", "other-0");
    let moved = scope.ask(&["/10.0.0.4".to_owned()], &[], &mesh);
    assert_eq!(moved, [Arc::from(other.as_str())]);
    assert!(told(&scope, &mesh).contains(&"other-0".to_owned()));
    assert!(!told(&scope, &mesh).contains(&"other".to_owned()));
    let left = scope.ask(&[], &["/10.0.0.4".to_owned()], &mesh);
    assert_eq!(left, [Arc::from(other.as_str())]);
    assert!(!told(&scope, &mesh).contains(&"other-0".to_owned()));
}

/// Otherwise the name of a host outside could lead to a service whose policies are its own waypoint's.
#[test]
fn a_service_is_told_of_while_its_address_is_asked_for() {
    let mut mesh = mesh();
    let placed = |short, address: [u8; 4], canonical| {
        let Change::PutService(plain) = service(short, None) else {
            panic!("no service")
        };
        let vip = ambit_model::NetworkAddress {
            network: "".into(),
            address: address.into(),
        };
        Change::PutService(Arc::new(Service {
            vips: vec![(vip, 32)],
            canonical,
            ..Service::clone(&plain)
        }))
    };
    mesh.apply(placed("far", [10, 96, 0, 7], true));
    mesh.apply(placed("entry", [10, 96, 0, 8], false));
    let mut scope = scope(&mesh);
    let both = ["/10.96.0.7".to_owned(), "/10.96.0.8".to_owned()];
    let told_of = |scope: &Scope, short: &str| {
        let is_told = told(scope, &mesh).contains(&short.to_owned());
        let is_shown = scope.has_address(&name(short).to_string(), &mesh);
        assert_eq!(is_told, is_shown, "{short}");
        is_told
    };
    assert!(!told_of(&scope, "far"));
    let moved = scope.ask(&both, &[], &mesh);
    assert_eq!(moved, [Arc::from(name("far").to_string())]);
    assert!(told_of(&scope, "far") && !told_of(&scope, "entry"));
    assert!(!scope.has_routes(&name("far").to_string()));
    let left = scope.ask(&[], &both, &mesh);
    assert_eq!(left, [Arc::from(name("far").to_string())]);
    assert!(!told_of(&scope, "far"));
}

#[test]
fn a_service_that_is_bound_no_longer_is_told_of_for_a_while() {
    let mut mesh = mesh();
    mesh.apply(routes("cart", "stock"));
    let (mut scope, begin) = (scope(&mesh), clock::now());
    assert_eq!(scope.due(), None);
    mesh.apply(service("cart", None));
    assert_eq!(scope.refresh(&mesh, begin), Moved::default());
    let all = [
        "cart",
        "cart-0",
        "stock",
        "stock-0",
        "waypoint",
        "waypoint-0",
    ];
    assert_eq!(told(&scope, &mesh), all);
    assert!(scope.has_routes(&name("cart").to_string()));

    // Bound and unbound again, it counts from the last time.
    mesh.apply(service("cart", Some("waypoint")));
    let moved = scope.refresh(&mesh, begin + LINGER / 2);
    assert_eq!((moved, scope.due()), (Moved::default(), None));
    mesh.apply(service("cart", None));
    drop(scope.refresh(&mesh, begin + LINGER / 2));
    let due = begin + LINGER / 2 + LINGER;
    assert_eq!(scope.due(), Some(due));

    let moved = scope.refresh(&mesh, due);
    assert_eq!(moved.addresses.len(), 4, "{moved:?}");
    assert_eq!(moved.routes, [name("cart").to_string().into()]);
    assert_eq!(told(&scope, &mesh), ["waypoint", "waypoint-0"]);
    assert_eq!(scope.due(), None);
}

#[test]
fn a_service_that_is_gone_does_not_linger() {
    let mut mesh = mesh();
    let mut scope = scope(&mesh);
    mesh.apply(Change::RemoveService(name("cart")));
    drop(scope.refresh(&mesh, clock::now()));
    assert_eq!(scope.due(), None);
    assert!(!told(&scope, &mesh).contains(&"cart".to_owned()));
}

/// A pod of another namespace that is bound by itself.
pub(in crate::serve) fn bound_pod(pod: &str, namespace: &str) -> Change {
    match endpoint(pod, "none", "10.0.0.9") {
        Change::PutWorkload(workload) => Change::PutWorkload(Arc::new(Workload {
            namespace: namespace.into(),
            services: BTreeMap::new(),
            waypoint: Some(GatewayAddress::Service(name("waypoint"), 15008)),
            ..Workload::clone(&workload)
        })),
        other => other,
    }
}

#[test]
fn a_pod_that_is_bound_no_longer_is_told_of_for_a_while() {
    let mut mesh = mesh();
    mesh.apply(bound_pod("ledger-0", "bank"));
    let (mut scope, begin) = (scope(&mesh), clock::now());
    let Change::PutWorkload(bound) = bound_pod("ledger-0", "bank") else {
        panic!("no workload")
    };
    let free = Workload {
        waypoint: None,
        ..Workload::clone(&bound)
    };
    mesh.apply(Change::PutWorkload(Arc::new(free)));
    let uid = bound.uid.as_str();
    // Told of by its own change before the scope is looked at.
    assert!(scope.has_address(uid, &mesh));
    assert_eq!(scope.refresh(&mesh, begin), Moved::default());
    assert_eq!(scope.due(), Some(begin + LINGER));
    assert!(told(&scope, &mesh).contains(&"ledger-0".to_owned()));
    assert!(scope.has_policy("bank/a"));

    let moved = scope.refresh(&mesh, begin + LINGER);
    assert_eq!(moved.addresses, [uid.into()]);
    assert!(moved.policies && !scope.has_policy("bank/a"));
    assert!(!told(&scope, &mesh).contains(&"ledger-0".to_owned()));
    assert_eq!(scope.due(), None);
}

#[test]
fn policies_of_pods_that_are_bound_from_elsewhere_are_told() {
    let mut mesh = mesh();
    let mut scope = scope(&mesh);
    mesh.apply(bound_pod("ledger-0", "bank"));
    assert!(scope.refresh(&mesh, clock::now()).policies);
    assert!(scope.has_policy("bank/a") && !scope.has_policy("other/a"));
    mesh.apply(bound_pod("ledger-1", "bank"));
    assert_eq!(scope.refresh(&mesh, clock::now()), Moved::default());
    for pod in ["ledger-0", "ledger-1"] {
        mesh.apply(Change::RemoveWorkload(WorkloadUid::pod(
            "Kubernetes",
            "shop",
            pod,
        )));
    }
    assert!(scope.refresh(&mesh, clock::now()).policies);
    assert!(!scope.has_policy("bank/a"));
}

#[test]
fn callers_that_can_be_asked_for_are_bounded() {
    let mesh = mesh();
    let mut scope = scope(&mesh);
    let address = |n: usize| format!("/10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
    let most: Vec<String> = (100_000..100_000 + MOST_ASKED).map(address).collect();
    scope.ask(&most, &[], &mesh);
    scope.ask(&["/10.0.0.4".to_owned()], &[], &mesh);
    assert!(!told(&scope, &mesh).contains(&"other-0".to_owned()));
    scope.ask(&["/10.0.0.4".to_owned()], &most[..1], &mesh);
    assert!(told(&scope, &mesh).contains(&"other-0".to_owned()));
}
