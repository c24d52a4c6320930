//! Endpoints in several places, of which some are lost.

use ambit_balance::{
    Algorithm, Change, Distribute, Ejection, Endpoint, Hashing, LocalitySetting, Outcome, Place,
    Preference, Settings, stable_hash,
};
use ambit_model::{Health, LoadBalancing, LoadBalancingMode, Locality, OutlierPolicy};

use crate::traffic::{Server, Traffic, is_share, server};

const REQUESTS: usize = 10_000;

fn place(region: &str) -> Place {
    Place {
        locality: Locality {
            region: region.into(),
            ..Locality::default()
        },
        ..Place::default()
    }
}

/// Ten servers in each of three regions, numbered from 0, 10 and 20; the caller is in the first.
fn servers() -> Vec<Server> {
    let regions = (0..30).zip(["a", "b", "c"].into_iter().flat_map(|r| [r; 10]));
    let servers = regions.map(|(key, region)| Endpoint {
        place: place(region),
        ..server(key, 1)
    });
    servers.collect()
}

fn settings(preference: Preference) -> Settings {
    Settings {
        preference,
        outliers: Some(OutlierPolicy {
            consecutive_5xx: 1,
            max_ejection_percent: 100,
            ..OutlierPolicy::default()
        }),
        ..Settings::default()
    }
}

fn failover() -> Settings {
    let setting = LocalitySetting {
        failover_priority: vec!["topology.kubernetes.io/region".into()],
        ..LocalitySetting::default()
    };
    settings(Preference::by_locality(&setting, place("a")))
}

fn distribute(to: &[(&str, u32)]) -> Settings {
    let to = to.iter().map(|(to, weight)| ((*to).into(), *weight));
    let setting = LocalitySetting {
        distribute: vec![Distribute {
            from: "a".into(),
            to: to.collect(),
        }],
        ..LocalitySetting::default()
    };
    settings(Preference::by_locality(&setting, place("a")))
}

fn eject(traffic: &mut Traffic, keys: std::ops::Range<u32>) {
    for key in keys {
        let pick = traffic.set.pick_this(&key).unwrap();
        let verdict = pick.record(Outcome::Status(500)).unwrap();
        let mut next = traffic.set.clone();
        assert_eq!(next.eject(&verdict, traffic.now), Ejection::Enforced);
        traffic.set = next;
    }
}

fn fall_ill(traffic: &mut Traffic, keys: std::ops::Range<u32>) {
    let ill = servers().into_iter().filter(|s| keys.contains(&s.key));
    let ill = ill.map(|server| {
        Change::Put(Endpoint {
            health: Health::Unhealthy,
            ..server
        })
    });
    traffic.apply(ill.collect());
}

/// How many of the requests each region gets.
fn regions(traffic: &mut Traffic) -> [usize; 3] {
    let shares = traffic.one_by_one(REQUESTS);
    let of = |first: u32| {
        shares
            .range(first..first + 10)
            .map(|(_, count)| count)
            .sum()
    };
    [of(0), of(10), of(20)]
}

#[track_caller]
fn assert_shares(traffic: &mut Traffic, expected: [f64; 3]) {
    let shares = regions(traffic);
    for (share, expected) in shares.into_iter().zip(expected) {
        assert!(
            is_share(share, REQUESTS, expected),
            "{shares:?}, not {expected}"
        );
    }
}

#[test]
fn a_region_that_loses_endpoints_hands_on_what_it_cannot_take() {
    for algorithm in [
        Algorithm::LeastRequest,
        Algorithm::RoundRobin,
        Algorithm::Random,
    ] {
        // Regions b and c are equally far.
        let mut traffic = Traffic::new(
            Settings {
                algorithm,
                ..failover()
            },
            servers(),
        );
        assert_shares(&mut traffic, [1.0, 0.0, 0.0]);
        eject(&mut traffic, 0..2);
        assert_shares(&mut traffic, [1.0, 0.0, 0.0]);
        eject(&mut traffic, 2..5);
        assert_shares(&mut traffic, [0.7, 0.15, 0.15]);
        // Illness counts as well.
        fall_ill(&mut traffic, 5..7);
        assert_shares(&mut traffic, [0.42, 0.29, 0.29]);
        eject(&mut traffic, 7..10);
        assert_shares(&mut traffic, [0.0, 0.5, 0.5]);
        // And all comes back.
        let due = std::iter::from_fn(|| {
            let mut next = traffic.set.clone();
            let due = next.due()?;
            next.tick(due);
            traffic.set = next;
            Some(due)
        });
        assert!(due.count() > 0);
        assert_shares(&mut traffic, [1.0, 0.0, 0.0]);
    }
}

#[test]
fn one_that_never_was_well_is_no_loss() {
    let mut traffic = Traffic::new(failover(), Vec::new());
    let (first, rest): (Vec<_>, Vec<_>) = servers().into_iter().partition(|s| s.key < 8);
    let ill = first.into_iter().map(|server| Endpoint {
        health: Health::Unhealthy,
        ..server
    });
    let all = ill.chain(rest).map(Change::Put);
    traffic.apply(all.collect());
    // Two of ten are ready, and eight begin.
    assert_shares(&mut traffic, [1.0, 0.0, 0.0]);
    traffic.apply(servers().into_iter().map(Change::Put).collect());
    fall_ill(&mut traffic, 0..8);
    assert_shares(&mut traffic, [0.28, 0.36, 0.36]);
    // Who is gone for good is no loss either.
    traffic.apply((0..8).map(Change::Remove).collect());
    assert_shares(&mut traffic, [1.0, 0.0, 0.0]);
}

#[test]
fn failover_needs_no_detection() {
    let settings = Settings {
        outliers: None,
        ..failover()
    };
    let mut traffic = Traffic::new(settings, servers());
    fall_ill(&mut traffic, 0..5);
    assert_shares(&mut traffic, [0.7, 0.15, 0.15]);
}

#[test]
fn a_services_own_preference_is_weakened_by_ejections_only() {
    let balancing = LoadBalancing {
        routing_preference: vec![1],
        mode: LoadBalancingMode::Failover,
        ..LoadBalancing::default()
    };
    let settings = settings(Preference::new(&balancing, place("a")));
    let mut traffic = Traffic::new(settings, servers());
    fall_ill(&mut traffic, 0..5);
    assert_shares(&mut traffic, [1.0, 0.0, 0.0]);
    eject(&mut traffic, 5..8);
    // Two of five are left.
    assert_shares(&mut traffic, [0.56, 0.22, 0.22]);
}

#[test]
fn parts_are_by_weight_and_by_what_is_left() {
    for algorithm in [
        Algorithm::LeastRequest,
        Algorithm::RoundRobin,
        Algorithm::Random,
    ] {
        let settings = Settings {
            algorithm,
            ..distribute(&[("a", 70), ("b/*", 30)])
        };
        let mut traffic = Traffic::new(settings, servers());
        assert_shares(&mut traffic, [0.7, 0.3, 0.0]);
        eject(&mut traffic, 0..2);
        assert_shares(&mut traffic, [0.7, 0.3, 0.0]);
        eject(&mut traffic, 2..5);
        // 49 and 30.
        assert_shares(&mut traffic, [49.0 / 79.0, 30.0 / 79.0, 0.0]);
        fall_ill(&mut traffic, 5..10);
        assert_shares(&mut traffic, [0.0, 1.0, 0.0]);
    }
    let mut traffic = Traffic::new(distribute(&[("*", 1)]), servers());
    let third = 1.0 / 3.0;
    assert_shares(&mut traffic, [third, third, third]);
}

#[test]
fn a_request_that_fails_in_one_part_goes_to_another_when_that_is_used_up() {
    let mut traffic = Traffic::new(distribute(&[("a", 99), ("b", 1)]), servers());
    let tried: Vec<_> = (0..10).collect();
    for _ in 0..100 {
        let key = traffic.pick(None, &tried).endpoint().key;
        assert!((10..20).contains(&key), "{key}");
    }
}

#[test]
fn within_a_region_all_are_picked_evenly_though_only_a_part_goes_there() {
    let mut traffic = Traffic::new(failover(), servers());
    eject(&mut traffic, 0..5);
    let shares = traffic.one_by_one(REQUESTS);
    for key in 5..10 {
        assert!(is_share(shares[&key], REQUESTS, 0.14), "{shares:?}");
    }
    for key in 10..30 {
        assert!(is_share(shares[&key], REQUESTS, 0.015), "{shares:?}");
    }
}

#[test]
fn sessions_by_hash_stay_where_their_part_stays() {
    for settings in [failover(), distribute(&[("a", 50), ("b", 50)])] {
        let settings = Settings {
            algorithm: Algorithm::Hash(Hashing::RING),
            ..settings
        };
        let mut traffic = Traffic::new(settings, servers());
        let sessions = |traffic: &mut Traffic| -> Vec<u32> {
            let hashes = (0..REQUESTS).map(|session| stable_hash(&session));
            hashes
                .map(|hash| traffic.pick(Some(hash), &[]).endpoint().key)
                .collect()
        };
        let before = sessions(&mut traffic);
        eject(&mut traffic, 0..5);
        let after = sessions(&mut traffic);
        let moved = before.iter().zip(&after).filter(|(from, to)| from != to);
        // Of those whose endpoint is there still, only what the region hands on.
        let others = moved.filter(|(from, _)| **from >= 5).count();
        assert!(others < REQUESTS * 20 / 100, "{others}");
        let to_first = before
            .iter()
            .zip(&after)
            .filter(|(from, to)| **from >= 10 && **to < 10);
        assert_eq!(to_first.count(), 0);
    }
}
