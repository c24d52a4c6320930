//! Which connections of HTTP go on after policies have changed.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ambit_model::{
    AppProtocol, Backend, Change, DirectResponse, Health, HttpBackend, HttpFilters, HttpMatch,
    HttpRule, JwtRule, NetworkAddress, PathMatch, PolicyName, Redirect, RequestAction,
    RequestAuthentication, RequestRule, RouteList, RoutedMatch, Service,
};
use tokio::time::timeout;

use super::*;
use crate::fixtures::{
    about_requests, bound, call, closed, endpoint, entry_at, name, routed, service,
};
use crate::proxy::Bounds;
use crate::scene::{Scene, soon};

fn view(changes: impl IntoIterator<Item = Change>) -> View {
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    for change in changes {
        view.apply(change, Instant::now());
    }
    view
}

/// A service with one endpoint.
fn one(service_name: &str, address: &str, is_closed: bool) -> Vec<Change> {
    let pod = format!("{service_name}-0");
    let pod = endpoint(&pod, service_name, address, Health::Healthy);
    let mut changes = vec![service(service_name)];
    match is_closed {
        true => changes.extend(closed(pod)),
        false => changes.push(pod),
    }
    changes
}

fn judged(changes: Vec<Change>) -> bool {
    judge_all(&view(changes), &call("10.0.0.99:4000")).is_ok()
}

#[test]
fn a_connection_goes_on_while_something_that_its_requests_lead_to_is_allowed() {
    let to = |services: &[&str]| routed(services, HttpRule::default());
    for (server_closed, cart_closed, routes, goes_on) in [
        (false, true, None, true),
        (true, false, None, false),
        (true, false, Some(to(&["cart"])), true),
        (false, true, Some(to(&["cart"])), false),
        (true, false, Some(to(&["server", "cart"])), true),
        (true, true, Some(to(&["server", "cart"])), false),
        // Nobody is there to be refused.
        (true, true, Some(to(&["nobody"])), true),
        (true, true, Some(to(&[])), true),
    ] {
        let mut changes = one("server", "10.0.0.2", server_closed);
        changes.extend(one("cart", "10.0.0.3", cart_closed));
        changes.extend(routes.clone());
        assert_eq!(
            judged(changes),
            goes_on,
            "{server_closed} {cart_closed} {routes:?}"
        );
    }
}

/// The same routes with one more rule, for all requests to a path.
fn and(routes: Change, rule: HttpRule) -> Change {
    let Change::PutRoutes(mut routes) = routes else {
        panic!("no routes")
    };
    let list = Arc::make_mut(&mut routes).ports.get_mut(&80);
    let Some(RouteList::Http(http)) = &mut list.unwrap().producer else {
        panic!("no list for requests")
    };
    http.rules.push(Arc::new(rule));
    let when = HttpMatch {
        path: Some(PathMatch::Exact("/other".into())),
        ..HttpMatch::default()
    };
    let when = when.into();
    http.matches.push(RoutedMatch { when, rule: 1 });
    Change::PutRoutes(routes)
}

#[test]
fn a_connection_goes_on_while_a_rule_answers_by_itself() {
    let redirect = Redirect {
        scheme: None,
        host: Some("new.example.test".into()),
        path: None,
        port: None,
        status: 302,
        as_asked: false,
    };
    let filters = |redirect: Option<&Redirect>| HttpFilters {
        redirect: redirect.cloned(),
        ..HttpFilters::default()
    };
    let redirects = HttpRule {
        filters: filters(Some(&redirect)),
        ..HttpRule::default()
    };
    let answers = |status| HttpRule {
        direct_response: Some(DirectResponse { status, body: None }),
        ..HttpRule::default()
    };
    let changes = HttpRule {
        filters: filters(None),
        ..HttpRule::default()
    };
    let of_backend = |filters| HttpRule {
        backends: vec![HttpBackend {
            backend: Backend {
                weight: 1,
                target: BackendTarget::Service {
                    name: name("server"),
                    port: 80,
                    subset: None,
                },
            },
            filters,
        }],
        ..HttpRule::default()
    };
    for (rule, goes_on) in [
        (redirects, true),
        (answers(404), true),
        // Nobody can answer with that.
        (answers(7), false),
        (changes, false),
        (of_backend(filters(Some(&redirect))), true),
        (of_backend(filters(None)), false),
    ] {
        let mut state = one("server", "10.0.0.2", true);
        state.push(and(routed(&["server"], HttpRule::default()), rule.clone()));
        assert_eq!(judged(state), goes_on, "{rule:?}");
    }
}

#[test]
fn what_is_behind_another_waypoint_is_judged_there() {
    let mut changes = one("server", "10.0.0.2", true);
    changes.extend(one("cart", "10.0.0.3", true));
    changes.push(bound("cart", Some("second")));
    changes.push(routed(&["cart"], HttpRule::default()));
    assert!(judged(changes));
}

#[tokio::test]
async fn a_change_before_the_first_look_is_not_missed() {
    let mut scene = Scene::bounded(Bounds::default(), one("server", "10.0.0.2", false));
    let (proxy, call) = (Arc::clone(&scene.proxy), call("10.0.0.99:4000"));
    let refused = all_refused(&proxy, &call);
    for change in one("server", "10.0.0.2", true) {
        scene.apply(change);
    }
    assert_eq!(soon(refused).await.reason, Reason::PolicyChanged);
}

/// Where a host outside of the mesh is.
const OUTSIDE: &str = "203.0.113.7";

/// A service of the cluster with that address.
fn at_the_address() -> Change {
    let Change::PutService(plain) = service("cart") else {
        panic!("no service")
    };
    let vip = NetworkAddress {
        network: "".into(),
        address: OUTSIDE.parse().unwrap(),
    };
    Change::PutService(Arc::new(Service {
        vips: vec![(vip, 32)],
        ..Service::clone(&plain)
    }))
}

/// The same pod on its node's own network, without an agent before it.
fn on_its_node(pod: Change) -> Change {
    let Change::PutWorkload(pod) = pod else {
        panic!("no workload")
    };
    Change::PutWorkload(Arc::new(Workload {
        host_network: true,
        protocol: ambit_model::TunnelProtocol::None,
        ..Workload::clone(&pod)
    }))
}

#[tokio::test]
async fn what_goes_out_of_the_mesh_ends_when_somebody_of_the_mesh_is_there() {
    let pod = || endpoint("cart-0", "cart", OUTSIDE, Health::Healthy);
    for comes in [pod(), at_the_address()] {
        let workload = entry_at("e", "server", OUTSIDE);
        let known = Change::PutWorkload(Arc::clone(&workload));
        let mut scene = Scene::new([service("server"), known]);
        let (proxy, call) = (Arc::clone(&scene.proxy), call("10.0.0.99:4000"));
        let address = SocketAddr::new(workload.addresses[0], 5432);
        let to = Destination::new(&workload, address);
        let asking = Asking::connection(&call, None);
        let mut raw = pin!(raw_refused(&proxy, &call, &asking, &to, 5432));
        let mut switched = pin!(refused(&proxy, &asking, &to, 5432));
        // Not for a node, nor for what has to do with another address.
        scene.apply(on_its_node(pod()));
        scene.apply(endpoint("web-0", "web", "10.0.0.8", Health::Healthy));
        let early = timeout(Duration::from_millis(20), &mut raw).await;
        assert!(early.is_err(), "{early:?}");
        let early = timeout(Duration::from_millis(20), &mut switched).await;
        assert!(early.is_err(), "{early:?}");
        assert!(proxy.callers.is_kept(address.ip()));
        scene.apply(comes);
        for refusal in [soon(raw).await, soon(switched).await] {
            assert_eq!(refusal.reason, Reason::OutsideAddress, "{refusal:?}");
            assert!(refusal.detail.contains(OUTSIDE), "{refusal:?}");
        }
    }
}

/// The control plane may be away for long, and has to be asked still when it is back.
#[tokio::test(start_paused = true)]
async fn who_is_at_an_address_outside_is_asked_for_as_long_as_a_connection_is_open() {
    let workload = entry_at("e", "server", OUTSIDE);
    let known = Change::PutWorkload(Arc::clone(&workload));
    let scene = Scene::new([service("server"), known]);
    scene.silent.store(true, Ordering::Relaxed);
    let (proxy, call) = (Arc::clone(&scene.proxy), call("10.0.0.99:4000"));
    let address = SocketAddr::new(workload.addresses[0], 5432);
    let to = Destination::new(&workload, address);
    let asking = Asking::connection(&call, None);
    {
        let mut raw = pin!(raw_refused(&proxy, &call, &asking, &to, 5432));
        let ended = timeout(Duration::from_mins(1), &mut raw).await;
        assert!(ended.is_err(), "{ended:?}");
        assert!(proxy.callers.is_kept(address.ip()));
    }
    assert!(!proxy.callers.is_kept(address.ip()));
}

/// Who is at an address inside of the mesh is nobody else.
#[tokio::test]
async fn what_stays_in_the_mesh_is_not_ended_by_who_is_at_its_address() {
    let pod = endpoint("server-0", "server", "10.0.0.2", Health::Healthy);
    let mut scene = Scene::new([service("server"), pod.clone()]);
    let (proxy, call) = (Arc::clone(&scene.proxy), call("10.0.0.99:4000"));
    let Change::PutWorkload(workload) = pod else {
        panic!("no workload")
    };
    let to = Destination::new(&workload, "10.0.0.2:8080".parse().unwrap());
    let asking = Asking::connection(&call, None);
    let mut raw = pin!(raw_refused(&proxy, &call, &asking, &to, 80));
    scene.apply(endpoint("cart-0", "cart", "10.0.0.2", Health::Healthy));
    let ended = timeout(Duration::from_millis(20), &mut raw).await;
    assert!(ended.is_err(), "{ended:?}");
}

/// A policy may have come after the endpoint was chosen, and before anybody listens.
#[tokio::test]
async fn what_changed_before_a_connection_is_passed_on_is_not_missed() {
    let mut scene = Scene::bounded(Bounds::default(), one("server", "10.0.0.2", false));
    let (proxy, call) = (Arc::clone(&scene.proxy), call("10.0.0.99:4000"));
    let known = proxy.view().mesh.endpoints(&name("server")).next().cloned();
    let to = Destination::new(&known.unwrap(), "10.0.0.2:8080".parse().unwrap());
    for change in one("server", "10.0.0.2", true) {
        scene.apply(change);
    }
    let asking = Asking::connection(&call, None);
    let refusal = soon(refused(&proxy, &asking, &to, 80)).await;
    assert_eq!(refusal.reason, Reason::PolicyChanged);
    let refusal = soon(raw_refused(&proxy, &call, &asking, &to, 80)).await;
    assert_eq!(refusal.reason, Reason::PolicyChanged);
}

/// One that is bound to the service decides there, and says nothing at its endpoints.
#[tokio::test]
async fn a_policy_that_is_bound_to_what_was_asked_for_ends_what_is_open() {
    let mut scene = Scene::bounded(Bounds::default(), one("server", "10.0.0.2", false));
    let (proxy, call) = (Arc::clone(&scene.proxy), call("10.0.0.99:4000"));
    let known = proxy.view().mesh.endpoints(&name("server")).next().cloned();
    let to = Destination::new(&known.unwrap(), "10.0.0.2:8080".parse().unwrap());
    let (any, raw) = (Asking::any_request(&call), Asking::connection(&call, None));
    let all = all_refused(&proxy, &call);
    let of_one = refused(&proxy, &any, &to, 80);
    let of_raw = raw_refused(&proxy, &call, &raw, &to, 80);
    let deny = |targets: &[&str]| {
        let rules = vec![RequestRule::default()];
        Change::PutPolicy(about_requests("deny", RequestAction::Deny, rules, targets))
    };
    // What is bound to another service leaves it.
    scene.apply(deny(&["cart"]));
    let mut all = pin!(all);
    let early = timeout(Duration::from_millis(20), &mut all).await;
    assert!(early.is_err(), "{early:?}");
    scene.apply(deny(&["server"]));
    for refusal in [soon(all).await, soon(of_one).await, soon(of_raw).await] {
        assert_eq!(refusal.reason, Reason::PolicyChanged);
        assert!(refusal.policy.is_some(), "{refusal:?}");
    }
}

/// The authentication may have come while the connection was made.
#[tokio::test]
async fn tokens_that_are_judged_before_a_connection_is_passed_on_end_it() {
    let tokens = PolicyName::new("shop", "tokens");
    let authentication = RequestAuthentication {
        name: tokens.clone(),
        rules: vec![JwtRule {
            issuer: Some("issuer".into()),
            ..JwtRule::default()
        }],
    };
    let Change::PutService(plain) = service("server") else {
        panic!("no service")
    };
    let mut named = Service::clone(&plain);
    named.authentications = vec![tokens];
    named.ports[0].app_protocol = AppProtocol::Unknown;
    let (named, port) = (Arc::new(named.clone()), named.ports[0]);
    let mut changes = one("server", "10.0.0.2", false);
    changes.push(Change::PutAuthentication(Arc::new(authentication)));
    changes.push(Change::PutService(Arc::clone(&named)));
    let scene = Scene::bounded(Bounds::default(), changes);
    let proxy = Arc::clone(&scene.proxy);
    let call = Call {
        asked: Asked::Service(named, port),
        ..call("10.0.0.99:4000")
    };
    let known = proxy.view().mesh.endpoints(&name("server")).next().cloned();
    let to = Destination::new(&known.unwrap(), "10.0.0.2:8080".parse().unwrap());
    let asking = Asking::connection(&call, None);
    let refusal = soon(raw_refused(&proxy, &call, &asking, &to, 80)).await;
    assert_eq!(refusal.reason, Reason::PolicyChanged);
    assert!(refusal.detail.contains("tokens"), "{refusal:?}");
}
