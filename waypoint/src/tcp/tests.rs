use std::time::Instant;

use ambit_model::{Change, ConnectionPolicy, TrafficPolicy};

use super::*;
use crate::call::Asked;
use crate::fixtures::{bound, call, empty, name, ruled, traffic};
use crate::scene::{CLIENT, Peer, Scene, soon};

#[test]
fn nothing_is_passed_on_where_the_routes_are_not_known() {
    let Change::PutService(service) = bound("cart", Some("waypoint")) else {
        panic!("a service");
    };
    let call = Call {
        asked: Asked::Service(Arc::clone(&service), service.ports[0]),
        ..call("10.0.0.2:4000")
    };
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    view.apply(Change::PutService(service), Instant::now());
    let refused = |view: &View| {
        target(view, &call, None)
            .err()
            .map(|refusal| refusal.reason)
    };
    assert_eq!(refused(&view), Some(Reason::InvalidRoute));
    view.apply(empty("cart"), Instant::now());
    assert_eq!(refused(&view), None);
    view.apply(Change::RemoveRoutes(name("cart")), Instant::now());
    view.reject_routes(name("cart"));
    assert_eq!(refused(&view), Some(Reason::InvalidRoute));
}

#[tokio::test]
async fn a_connection_ahead_has_a_place_like_any_other_and_is_missed_by_nobody() {
    let peer = Peer::start().await;
    let connections = ConnectionPolicy {
        connections: Some(1),
        ..ConnectionPolicy::default()
    };
    let policy = TrafficPolicy {
        connections,
        ..TrafficPolicy::default()
    };
    let rule = ruled("server", traffic(policy));
    let scene = Scene::new([rule, peer.serves("server-0", "server")]);
    let (call, proxy) = (call(CLIENT), &scene.proxy);
    let is = |series: &str, value: f64| {
        let found = scene.sum(&format!("envoy_cluster_upstream_cx_{series}"), &[]);
        assert!((found - value).abs() < f64::EPSILON, "{series}: {found}");
    };
    let ahead = soon(way_ahead(proxy, &call)).await.unwrap();
    is("active", 1.0);
    let refused = soon(way_ahead(proxy, &call)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ConnectionOverflow);
    is("overflow", 0.0);
    let refused = soon(way(proxy, &call, None)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ConnectionOverflow);
    is("overflow", 1.0);
    drop(ahead);
    is("active", 0.0);
}
