//! Policies of a service as they are followed: who is near, and what outlives a change.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ambit_balance::{Ask, Outcome};
use ambit_model::{
    Change, ConnectionPolicy, Health, Locality, LocalityPolicy, OutlierPolicy, ServiceTraffic,
    Workload,
};

use super::*;
use crate::fixtures::{endpoint, name, ruled, traffic};
use crate::view::View;

/// A pod of this service in this zone.
fn pod(name: &str, service: &str, address: &str, zone: &str, health: Health) -> Change {
    let Change::PutWorkload(workload) = endpoint(name, service, address, health) else {
        panic!("no workload")
    };
    Change::PutWorkload(Arc::new(Workload {
        locality: Locality {
            region: "r".into(),
            zone: zone.into(),
            subzone: "".into(),
        },
        ..Workload::clone(&workload)
    }))
}

fn view(changes: impl IntoIterator<Item = Change>) -> View {
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    for change in changes {
        view.apply(change, Instant::now());
    }
    view
}

/// How many of a hundred requests go to each of two pods.
fn shares(view: &View) -> [usize; 2] {
    let mut shares = [0, 0];
    for random in 0..100_u64 {
        let ask = Ask {
            now: Instant::now(),
            random: ambit_balance::stable_hash(&random),
            hash: None,
            tried: &[],
        };
        let cluster = view.cluster(&name("cart"), 80, None).unwrap();
        let pick = cluster.endpoints.pick(&ask).unwrap();
        let is_first = &*pick.endpoint().payload.workload.name == "cart-0";
        shares[usize::from(!is_first)] += 1;
    }
    shares
}

/// The waypoint in zone `a`, and a pod of the cart in each of two zones.
fn two_zones(policy: TrafficPolicy) -> Vec<Change> {
    vec![
        pod("waypoint-0", "waypoint", "10.0.0.1", "a", Health::Healthy),
        ruled("cart", traffic(policy)),
        pod("cart-0", "cart", "10.0.0.2", "a", Health::Healthy),
        pod("cart-1", "cart", "10.0.0.3", "b", Health::Healthy),
    ]
}

#[test]
fn a_zone_that_dies_hands_its_requests_on() {
    let policy = TrafficPolicy {
        locality: Some(LocalityPolicy::default()),
        outliers: Some(OutlierPolicy::default()),
        ..TrafficPolicy::default()
    };
    let mut view = view(two_zones(policy));
    assert_eq!(shares(&view), [100, 0]);
    let ill = pod("cart-0", "cart", "10.0.0.2", "a", Health::Unhealthy);
    view.apply(ill, Instant::now());
    assert_eq!(shares(&view), [0, 100]);
    // A service without a policy has no preference.
    view.apply(ruled("cart", ServiceTraffic::default()), Instant::now());
    let well = pod("cart-0", "cart", "10.0.0.2", "a", Health::Healthy);
    view.apply(well, Instant::now());
    assert!(
        shares(&view).iter().all(|share| *share > 20),
        "{:?}",
        shares(&view)
    );
}

#[test]
fn requests_are_distributed_over_zones_as_the_rule_says() {
    let to = [("r/a".into(), 20), ("r/b".into(), 80)];
    let policy = TrafficPolicy {
        locality: Some(LocalityPolicy {
            distribute: vec![("r/a/*".into(), to.into())],
            ..LocalityPolicy::default()
        }),
        ..TrafficPolicy::default()
    };
    let [near, far] = shares(&view(two_zones(policy)));
    assert!((8..34).contains(&near) && near + far == 100, "{near}");
}

#[test]
fn who_is_ejected_stays_so_over_changes_and_comes_back_in_time() {
    let policy = |errors| TrafficPolicy {
        outliers: Some(OutlierPolicy {
            consecutive_5xx: errors,
            max_ejection_percent: 50,
            ..OutlierPolicy::default()
        }),
        locality: Some(LocalityPolicy {
            disabled: true,
            ..LocalityPolicy::default()
        }),
        ..TrafficPolicy::default()
    };
    let mut view = view(two_zones(policy(1)));
    let now = Instant::now();
    let cluster = (name("cart"), 80, None);
    let verdict = {
        let uid = WorkloadUid::pod("Kubernetes", "shop", "cart-0");
        let endpoints = &view.cluster(&cluster.0, 80, None).unwrap().endpoints;
        let pick = endpoints.pick_this(&uid).unwrap();
        pick.record(Outcome::Status(500)).unwrap()
    };
    assert_eq!(
        view.eject(&cluster, &verdict, now),
        ambit_balance::Ejection::Enforced
    );
    assert_eq!(shares(&view), [0, 100]);
    let due = view.due().unwrap();
    assert_eq!(due, now + Duration::from_secs(30));
    view.apply(ruled("cart", traffic(policy(3))), now);
    assert_eq!(shares(&view), [0, 100]);
    assert!(view.tick(now).is_empty());
    assert_eq!(view.tick(due).len(), 1);
    assert_eq!(view.due(), None);
    assert!(shares(&view)[0] > 20);
    // Nobody is ejected from what is not there.
    view.apply(Change::RemoveService(name("cart")), now);
    assert_eq!(
        view.eject(&cluster, &verdict, now),
        ambit_balance::Ejection::Void
    );
}

#[test]
fn what_is_in_progress_counts_on_when_connections_are_bounded_from_now_on() {
    let policy = |connections| TrafficPolicy {
        connections: ConnectionPolicy {
            connections,
            pending: Some(1),
            requests: Some(1),
            ..ConnectionPolicy::default()
        },
        ..TrafficPolicy::default()
    };
    let mut view = view(two_zones(policy(None)));
    let terms = |view: &View| Arc::clone(&view.cluster(&name("cart"), 80, None).unwrap().terms);
    let unbounded = terms(&view);
    let active = unbounded.flow.begin().unwrap();
    let pending = unbounded.flow.pool.pending().unwrap();
    let shared = unbounded.occupy(false).unwrap();
    unbounded.flow.retries.fetch_add(3, Ordering::Relaxed);
    let now = Instant::now();
    view.apply(ruled("cart", traffic(policy(Some(1)))), now);

    let bounded = terms(&view);
    assert_ne!(bounded.number(), 0);
    assert!(bounded.flow.begin().is_none());
    assert!(bounded.flow.pool.pending().is_none());
    assert_eq!(bounded.flow.retries.load(Ordering::Relaxed), 3);
    let own = bounded
        .occupy(false)
        .expect("a place that no shared connection takes");
    assert!(bounded.occupy(false).is_none());

    // No counter goes back when the bound does, nor does a place stay taken.
    view.apply(ruled("cart", traffic(policy(None))), now);
    let last = terms(&view);
    assert_eq!(last.number(), 0);
    let counts = last.flow.pool.counts();
    assert_eq!(
        (counts.connection_overflow, counts.request_overflow),
        (1, 2)
    );
    drop((active, pending, shared, own));
    let counts = last.flow.pool.counts();
    assert_eq!(
        (counts.connections, counts.pending, counts.requests),
        (0, 0, 0)
    );
}
