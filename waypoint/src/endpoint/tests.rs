//! Who is chosen, and where a service is that another waypoint stands before.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use ambit_model::{Change, Health, NetworkAddress};

use super::*;
use crate::fixtures::{bound, call, closed, endpoint, name, service};

const PORT: u16 = 80;

/// What is chosen for a client without an identity.
fn choose(view: &View, target: &Target, wish: Wish<'_>) -> Result<Chosen, Refusal> {
    let call = call("10.0.0.99:4000");
    super::choose(view, &Asking::connection(&call, None), target, wish)
}

/// A service behind a waypoint, with an address.
fn behind(short: &str, waypoint: &str) -> Change {
    let Change::PutService(service) = bound(short, Some(waypoint)) else {
        panic!("no service")
    };
    let vip = NetworkAddress {
        network: "".into(),
        address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
    };
    Change::PutService(Arc::new(Service {
        vips: vec![(vip, 32)],
        ..Service::clone(&service)
    }))
}

fn view(changes: impl IntoIterator<Item = Change>) -> View {
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    for change in changes {
        view.apply(change, Instant::now());
    }
    view
}

fn two_carts() -> [Change; 3] {
    [
        service("cart"),
        endpoint("cart-0", "cart", "10.0.0.2", Health::Healthy),
        endpoint("cart-1", "cart", "10.0.0.3", Health::Healthy),
    ]
}

fn cart() -> Target {
    Target::Service(name("cart"), PORT, None)
}

#[test]
fn the_endpoint_of_the_session_is_taken_unless_it_was_tried() {
    let view = view(two_carts());
    let [one, other] = ["cart-0", "cart-1"].map(|pod| WorkloadUid::pod("Kubernetes", "shop", pod));
    for _ in 0..20 {
        let wish = Wish {
            session: Some(&one),
            ..Wish::default()
        };
        let chosen = choose(&view, &cart(), wish).unwrap();
        assert_eq!(chosen.destination.workload.uid, one);
        let wish = Wish {
            session: Some(&one),
            tried: std::slice::from_ref(&one),
            ..Wish::default()
        };
        let chosen = choose(&view, &cart(), wish).unwrap();
        assert_eq!(chosen.destination.workload.uid, other);
    }
}

#[test]
fn a_service_of_this_waypoint_is_reached_directly_and_without_endpoints_not_at_all() {
    let [_, first, _] = two_carts();
    let bound = behind("cart", "waypoint");
    let empty = view([bound.clone()]);
    let refusal = choose(&empty, &cart(), Wish::default()).unwrap_err();
    assert_eq!(refusal.reason, Reason::NoEndpoint);
    let chosen = choose(&view([bound, first]), &cart(), Wish::default()).unwrap();
    assert!(chosen.destination.via.is_none());
    assert_eq!(chosen.destination.address, "10.0.0.2:8080".parse().unwrap());
}

#[test]
fn a_service_of_another_waypoint_is_reached_through_that_or_not_at_all() {
    let [_, first, second] = two_carts();
    let own = endpoint("waypoint-0", "waypoint", "10.0.0.1", Health::Healthy);
    let known = [behind("cart", "second"), first, second, own];
    let without = view(known.clone());
    let refusal = choose(&without, &cart(), Wish::default()).unwrap_err();
    assert_eq!(refusal.reason, Reason::NoWaypoint);

    let other = [
        service("second"),
        endpoint("second-0", "second", "10.0.0.4", Health::Healthy),
    ];
    let view = view(known.into_iter().chain(other));
    let chosen = choose(&view, &cart(), Wish::default()).unwrap();
    let destination = &chosen.destination;
    assert_eq!(destination.address, "10.96.0.1:80".parse().unwrap());
    assert_eq!(&*destination.workload.name, "second-0");
    let via = destination.via.as_ref().unwrap();
    assert_eq!(via.to, "10.0.0.4:15008".parse().unwrap());
    // It is the only one: tried or not.
    let tried = [destination.workload.uid.clone()];
    let wish = Wish {
        tried: &tried,
        ..Wish::default()
    };
    let again = choose(&view, &cart(), wish).unwrap();
    assert_eq!(again.destination.workload.uid, tried[0]);
}

#[test]
fn a_workload_that_was_asked_for_before_is_judged_as_it_is_now() {
    let now = Instant::now();
    let pod = |address| endpoint("cart-0", "cart", address, Health::Healthy);
    let mut view = view([pod("10.0.0.2")]);
    let uid = WorkloadUid::pod("Kubernetes", "shop", "cart-0");
    let asked = Destination::new(
        view.mesh.workload(&uid).unwrap(),
        "10.0.0.2:8080".parse().unwrap(),
    );
    let target = Target::Workload(Arc::new(asked));
    let chosen = |view: &View| {
        let chosen = choose(view, &target, Wish::default());
        chosen.map(drop).map_err(|refusal| refusal.reason)
    };
    assert_eq!(chosen(&view), Ok(()));
    // It gets a policy that it did not have.
    for change in closed(pod("10.0.0.2")) {
        view.apply(change, now);
    }
    assert_eq!(chosen(&view), Err(Reason::PolicyDenied));
    // The next pod of its name is another one, and so may be what has its address.
    view.apply(pod("10.0.0.3"), now);
    assert_eq!(chosen(&view), Err(Reason::NoEndpoint));
    view.apply(Change::RemoveWorkload(uid), now);
    assert_eq!(chosen(&view), Err(Reason::NoEndpoint));
}
