use std::sync::Arc;
use std::time::Instant;

use ambit_model::LoadBalancingMode::{Failover, Strict, Unspecified};
use ambit_model::{Health, LoadBalancing, LoadBalancingMode, Locality};
use proptest::prelude::Strategy;
use proptest::sample::select;

use super::{Change, EndpointSet, Shortage};
use crate::endpoint::Endpoint;
use crate::pick::Ask;
use crate::place::Place;
use crate::settings::{Algorithm, Hashing, Settings};

mod ejection;
mod history;
mod invariants;
mod naive;
mod nearness;

const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::LeastRequest,
    Algorithm::RoundRobin,
    Algorithm::Random,
    Algorithm::Hash(Hashing::Ring { size: 64 }),
    Algorithm::Hash(Hashing::Maglev { size: 101 }),
];

fn zone(zone: &str) -> Place {
    Place {
        locality: Locality {
            region: "r".into(),
            zone: zone.into(),
            subzone: "".into(),
        },
        ..Place::default()
    }
}

fn endpoint(key: u32, place: &str) -> Endpoint<u32, ()> {
    Endpoint {
        key,
        payload: (),
        weight: 1,
        place: zone(place),
        health: Health::Healthy,
    }
}

fn unhealthy(key: u32, place: &str) -> Endpoint<u32, ()> {
    Endpoint {
        health: Health::Unhealthy,
        ..endpoint(key, place)
    }
}

/// Prefers region, then zone; this caller is in zone `a`.
fn by_zone(mode: LoadBalancingMode) -> Settings {
    let balancing = LoadBalancing {
        routing_preference: vec![1, 2],
        mode,
        ..LoadBalancing::default()
    };
    Settings::of(&balancing, zone("a"))
}

/// Those by which endpoints are picked.
fn modes() -> impl Strategy<Value = LoadBalancingMode> {
    select(vec![Unspecified, Failover, Strict])
}

fn set(settings: Settings, endpoints: Vec<Endpoint<u32, ()>>) -> EndpointSet<u32, ()> {
    let mut set = EndpointSet::new(settings, 0);
    set.apply(endpoints.into_iter().map(Change::Put), Instant::now());
    set
}

fn ask(random: u64, tried: &[u32]) -> Ask<'_, u32> {
    Ask {
        now: Instant::now(),
        random,
        hash: None,
        tried,
    }
}

fn picked(set: &EndpointSet<u32, ()>, tried: &[u32]) -> Result<u32, Shortage> {
    set.pick(&ask(7, tried)).map(|pick| pick.endpoint().key)
}

#[test]
fn nearer_endpoints_go_first_and_farther_ones_after_a_failure() {
    let set = set(by_zone(Failover), vec![endpoint(1, "b"), endpoint(2, "a")]);
    assert_eq!(picked(&set, &[]), Ok(2));
    assert_eq!(picked(&set, &[2]), Ok(1));
    assert_eq!(picked(&set, &[2, 1]), Ok(2), "all were tried");
}

#[test]
fn a_retry_does_not_go_back_to_where_it_was_though_all_others_are_busy() {
    let set = set(
        Settings::default(),
        vec![endpoint(1, "a"), endpoint(2, "a")],
    );
    let _busy: Vec<_> = (0..5).map(|_| set.pick_this(&2)).collect();
    for random in 0..20 {
        let pick = set.pick(&ask(random, &[1])).unwrap();
        assert_eq!(pick.endpoint().key, 2);
    }
}

#[test]
fn a_nearer_endpoint_that_falls_ill_gives_way_and_comes_back() {
    let mut set = set(by_zone(Failover), vec![endpoint(1, "b"), endpoint(2, "a")]);
    set.apply([Change::Put(unhealthy(2, "a"))], Instant::now());
    assert_eq!(picked(&set, &[]), Ok(1));
    set.apply([Change::Put(endpoint(2, "a"))], Instant::now());
    assert_eq!(picked(&set, &[]), Ok(2));
}

#[test]
fn a_shortage_says_what_there_is() {
    let there = vec![unhealthy(1, "a"), unhealthy(2, "b"), endpoint(3, "b")];
    let mut set = set(by_zone(Strict), there);
    let shortage = set.pick(&ask(0, &[])).unwrap_err();
    assert_eq!(
        shortage.to_string(),
        "no endpoint to go to: 3 known, 2 of them unhealthy, 0 ejected, 1 outside the places that \
         the service is kept to"
    );
    let settings = Settings {
        allow_unhealthy: true,
        ..by_zone(Strict)
    };
    set.configure(settings, Instant::now());
    assert_eq!(picked(&set, &[]), Ok(1));
}

#[test]
fn a_session_stays_with_an_endpoint_that_may_be_picked() {
    let there = vec![endpoint(1, "a"), endpoint(2, "b"), unhealthy(3, "a")];
    let failover = set(by_zone(Failover), there.clone());
    let this = |set: &EndpointSet<u32, ()>, key| set.pick_this(&key).map(|p| p.endpoint().key);
    assert_eq!(this(&failover, 2), Some(2), "though another is nearer");
    assert_eq!(this(&failover, 3), None, "unhealthy");
    assert_eq!(this(&failover, 4), None, "not known");
    assert_eq!(this(&set(by_zone(Strict), there), 2), None, "too far");
}

#[test]
fn requests_count_through_every_change_of_their_endpoint() {
    let mut set = set(by_zone(Failover), vec![endpoint(1, "a")]);
    let before = set.clone();
    let pick = set.pick(&ask(0, &[])).unwrap();
    let changes = [endpoint(1, "b"), unhealthy(1, "b"), endpoint(1, "a")];
    for change in changes {
        set.apply([Change::Put(change)], Instant::now());
        assert_eq!(set.outstanding(&1), Some(1));
    }
    set.configure(Settings::default(), Instant::now());
    assert_eq!(
        (set.outstanding(&1), before.outstanding(&1)),
        (Some(1), Some(1))
    );
    drop(pick);
    assert_eq!(
        (set.outstanding(&1), before.outstanding(&1)),
        (Some(0), Some(0))
    );
}

#[test]
fn one_change_of_ten_thousand_endpoints_copies_few() {
    let there = (0..10_000).map(|key| endpoint(key, "a")).collect();
    let set = set(Settings::default(), there);
    let shared = |set: &EndpointSet<u32, ()>| -> usize {
        let known = set.known.values();
        known.map(|known| Arc::strong_count(&known.member)).sum()
    };
    let before = shared(&set);
    assert_eq!(before, 20_000, "each in the map and in its slot");
    let heavier = Endpoint {
        weight: 5,
        ..endpoint(77, "a")
    };
    let changes = [
        Change::Put(heavier),
        Change::Put(unhealthy(5000, "a")),
        Change::Put(endpoint(10_000, "a")),
        Change::Remove(3),
    ];
    for change in changes {
        let mut next = set.clone();
        next.apply([change], Instant::now());
        // Whatever was not copied is one and the same in both.
        let copied = shared(&set) - before;
        assert!(copied > 0 && copied < 400, "{copied} copied");
    }
}
