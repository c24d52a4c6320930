//! Which connections of HTTP go on after policies have changed.

use std::sync::Arc;
use std::time::Instant;

use ambit_model::{Change, Health, HttpRule};

use super::*;
use crate::fixtures::{bound, call, closed, endpoint, name, routed, service};
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
