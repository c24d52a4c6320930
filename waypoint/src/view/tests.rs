//! Endpoints and routes follow the mesh, change by change.

use ambit_balance::Ask;
use ambit_model::{
    Backend, BackendTarget, Health, HttpBackend, HttpFilters, HttpMatch, HttpRoutes, HttpRule,
    PathMatch, Pattern, PortRoutes, RouteList, RoutedMatch,
};

use super::*;
use crate::drain::Step;
use crate::fixtures::{bound, empty, endpoint, name, service};

/// One rule for everything below a path, or for what an expression matches.
fn routes(path: PathMatch) -> Change {
    let target = BackendTarget::Service {
        name: name("cart"),
        port: 80,
        subset: None,
    };
    let http = HttpRoutes {
        matches: vec![RoutedMatch {
            when: HttpMatch {
                path: Some(path),
                ..HttpMatch::default()
            }
            .into(),
            rule: 0,
        }],
        rules: vec![Arc::new(HttpRule {
            name: "HTTPRoute/shop/cart/0".into(),
            backends: vec![HttpBackend {
                backend: Backend { weight: 1, target },
                filters: HttpFilters::default(),
            }],
            ..HttpRule::default()
        })],
    };
    let port = PortRoutes {
        producer: Some(RouteList::Http(http)),
        ..PortRoutes::default()
    };
    Change::PutRoutes(Arc::new(ServiceRoutes {
        service: name("cart"),
        ports: [(80, port)].into(),
    }))
}

fn view(changes: impl IntoIterator<Item = Change>) -> View {
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    for change in changes {
        view.apply(change, Instant::now());
    }
    view
}

/// Addresses that requests to the cart go to.
fn picked(view: &View) -> Vec<String> {
    let mut picked: Vec<String> = (0..64)
        .filter_map(|random: u64| {
            let ask = Ask {
                now: Instant::now(),
                random: random << 58 | random,
                hash: None,
                tried: &[],
            };
            let pick = view
                .cluster(&name("cart"), 80, None)?
                .endpoints
                .pick(&ask)
                .ok()?;
            Some(pick.endpoint().payload.address.to_string())
        })
        .collect();
    picked.sort();
    picked.dedup();
    picked
}

#[test]
fn endpoints_are_the_same_whichever_came_first() {
    let parts = [
        service("cart"),
        endpoint("cart-0", "cart", "10.0.0.2", Health::Healthy),
        endpoint("cart-1", "cart", "10.0.0.3", Health::Healthy),
    ];
    let forth = view(parts.clone());
    let back = view(parts.into_iter().rev());
    assert_eq!(picked(&forth), ["10.0.0.2:8080", "10.0.0.3:8080"]);
    assert_eq!(picked(&forth), picked(&back));
}

#[test]
fn an_endpoint_that_leaves_moves_or_falls_ill_is_not_picked_where_it_was() {
    let mut view = view([
        service("cart"),
        endpoint("cart-0", "cart", "10.0.0.2", Health::Healthy),
        endpoint("cart-1", "cart", "10.0.0.3", Health::Healthy),
        endpoint("cart-2", "cart", "10.0.0.4", Health::Healthy),
        endpoint("cart-3", "cart", "10.0.0.5", Health::Healthy),
    ]);
    let now = Instant::now();
    let gone = Change::RemoveWorkload(WorkloadUid::pod("Kubernetes", "shop", "cart-0"));
    for change in [
        gone,
        endpoint("cart-1", "cart", "10.0.0.9", Health::Healthy),
        endpoint("cart-2", "cart", "10.0.0.4", Health::Unhealthy),
        endpoint("cart-3", "other", "10.0.0.5", Health::Healthy),
    ] {
        view.apply(change, now);
    }
    assert_eq!(picked(&view), ["10.0.0.9:8080"]);
    view.apply(Change::RemoveService(name("cart")), now);
    assert_eq!(picked(&view), Vec::<String>::new());
}

/// Routes with a list for all clients and one for those of a namespace.
fn with_consumers(producer: PathMatch, consumer: (&str, PathMatch)) -> Change {
    let list = |path| match routes(path) {
        Change::PutRoutes(routes) => routes.ports[&80].producer.clone(),
        _ => None,
    };
    let port = PortRoutes {
        producer: list(producer),
        consumers: [(consumer.0.into(), list(consumer.1).unwrap())].into(),
    };
    Change::PutRoutes(Arc::new(ServiceRoutes {
        service: name("cart"),
        ports: [(80, port)].into(),
    }))
}

/// What becomes of a request of a client for `/`.
fn found(view: &View, client: Option<&str>) -> &'static str {
    let request = http::Request::get("/").body(()).unwrap().into_parts().0;
    match view.routes(&name("cart"), 80, client).map(AsRef::as_ref) {
        None => "unrouted",
        Some(Routes::Unusable) => "refused",
        Some(Routes::Http(http)) => match http.find(&ambit_route::Head::of(&request)) {
            None => "not found",
            Some(found) if found.rule.broken.is_some() => "broken",
            Some(_) => "routed",
        },
        Some(_) => "other",
    }
}

#[test]
fn a_broken_list_of_one_namespace_is_no_matter_of_others() {
    let typo = || PathMatch::Regex(Pattern("(".into()));
    let good = || PathMatch::Exact("/".into());
    let view = view([with_consumers(good(), ("team", typo()))]);
    assert_eq!(found(&view, Some("shop")), "routed");
    assert_eq!(found(&view, Some("team")), "not found");
    let view = self::view([with_consumers(typo(), ("team", good()))]);
    assert_eq!(found(&view, Some("shop")), "not found");
    assert_eq!(found(&view, Some("team")), "routed");
}

#[test]
fn a_service_whose_routes_are_not_known_is_neither_tied_nor_unrouted() {
    let now = Instant::now();
    let mut view = view([bound("cart", Some("waypoint"))]);
    assert!(view.tie(&name("cart"), now).is_none());
    assert_eq!(found(&view, None), "refused");
    view.apply(empty("cart"), now);
    assert!(view.tie(&name("cart"), now).is_some());
    assert_eq!(found(&view, None), "unrouted");
    view.apply(Change::RemoveRoutes(name("cart")), now);
    assert!(view.tie(&name("cart"), now).is_none());
    assert_eq!(found(&view, None), "refused");
}

#[test]
fn rejected_routes_leave_those_before_them_or_else_refuse() {
    let now = Instant::now();
    let mut view = view([
        bound("cart", Some("waypoint")),
        routes(PathMatch::Exact("/".into())),
    ]);
    view.reject_routes(name("cart"));
    assert_eq!(found(&view, None), "routed");
    view.apply(Change::RemoveRoutes(name("cart")), now);
    view.reject_routes(name("cart"));
    assert_eq!(found(&view, None), "refused");
    assert!(
        view.tie(&name("cart"), now).is_some(),
        "requests are answered"
    );
}

#[test]
fn a_service_is_served_while_it_is_bound_and_for_a_while_after() {
    let now = Instant::now();
    let mut view = view([
        empty("cart"),
        bound("cart", Some("waypoint")),
        empty("stock"),
        bound("stock", Some("other")),
    ]);
    assert!(view.tie(&name("stock"), now).is_none());
    let tie = view.tie(&name("cart"), now).unwrap().clone();
    view.apply(bound("cart", Some("waypoint")), now);
    assert!(!tie.has_reached(Step::Draining), "nothing has changed");

    view.apply(bound("cart", None), now);
    assert!(tie.has_reached(Step::Draining));
    let late = view.tie(&name("cart"), now + LINGER / 2);
    assert!(late.is_some_and(|tie| tie.has_reached(Step::Draining)));
    assert!(view.tie(&name("cart"), now + LINGER).is_none());

    view.apply(bound("cart", Some("waypoint")), now);
    let tie = view.tie(&name("cart"), now + LINGER).unwrap().clone();
    assert!(!tie.has_reached(Step::Draining));
    view.apply(Change::RemoveService(name("cart")), now);
    assert!(tie.has_reached(Step::Draining) && view.tie(&name("cart"), now).is_none());
}

#[test]
fn a_workload_is_served_while_it_is_bound_and_for_a_while_after() {
    let now = Instant::now();
    let pod = |name: &str, waypoint: Option<&str>| {
        let Change::PutWorkload(pod) = endpoint(name, "cart", "10.0.0.2", Health::Healthy) else {
            panic!("no workload")
        };
        let waypoint = waypoint.map(|to| GatewayAddress::Service(self::name(to), 15008));
        Change::PutWorkload(Arc::new(Workload {
            waypoint,
            ..Workload::clone(&pod)
        }))
    };
    let uid = |name: &str| WorkloadUid::pod("Kubernetes", "shop", name);
    let mut view = view([
        pod("cart-0", Some("waypoint")),
        pod("cart-1", Some("waypoint")),
        pod("stock-0", Some("other")),
    ]);
    assert!(view.tie_of_workload(&uid("stock-0"), now).is_none());
    let [tie, other] =
        ["cart-0", "cart-1"].map(|pod| view.tie_of_workload(&uid(pod), now).unwrap().clone());
    view.apply(pod("cart-0", None), now);
    assert!(tie.has_reached(Step::Draining));
    assert!(!other.has_reached(Step::Draining), "it is still bound");
    let late = view.tie_of_workload(&uid("cart-0"), now + LINGER / 2);
    assert!(late.is_some_and(|tie| tie.has_reached(Step::Draining)));
    assert!(view.tie_of_workload(&uid("cart-0"), now + LINGER).is_none());

    view.apply(Change::RemoveWorkload(uid("cart-1")), now);
    assert!(other.has_reached(Step::Draining));
    assert!(view.tie_of_workload(&uid("cart-1"), now).is_none());
}

#[test]
fn the_endpoints_of_a_port_go_with_it() {
    let now = Instant::now();
    let cart = endpoint("cart-0", "cart", "10.0.0.2", Health::Healthy);
    let mut view = view([service("cart"), cart]);
    let Change::PutService(with) = service("cart") else {
        panic!("no service")
    };
    let without = Arc::new(Service {
        ports: Vec::new(),
        ..Service::clone(&with)
    });
    assert!(view.cluster(&name("cart"), 80, None).is_some());
    view.apply(Change::PutService(without), now);
    assert!(view.cluster(&name("cart"), 80, None).is_none());
    // Its pods are there again when the port is.
    view.apply(Change::PutService(with), now);
    assert_eq!(picked(&view), ["10.0.0.2:8080"]);
}
