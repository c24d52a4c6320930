//! Endpoints that join others at work.

use std::time::Duration;

use ambit_balance::{Algorithm, Change, Endpoint, Settings};
use ambit_model::Health;

use crate::traffic::{MILLISECOND, Traffic, by, is_share, server};

const WARM_UP: Duration = Duration::from_secs(100);
const REQUESTS: usize = 10_000;

/// Four servers at work, and a fifth that has just joined.
fn joined(algorithm: Algorithm) -> Traffic {
    let settings = Settings {
        warm_up: Some(WARM_UP),
        ..by(algorithm)
    };
    let servers = (0..4).map(|key| server(key, 1)).collect();
    let mut traffic = Traffic::new(settings, servers);
    traffic.apply(vec![Change::Put(server(4, 1))]);
    traffic
}

fn share_of_fifth(traffic: &mut Traffic) -> usize {
    let shares = traffic.one_by_one(REQUESTS);
    shares.get(&4).copied().unwrap_or_default()
}

#[test]
fn the_share_grows_with_time() {
    let algorithms = [
        Algorithm::LeastRequest,
        Algorithm::RoundRobin,
        Algorithm::Random,
    ];
    for algorithm in algorithms {
        let mut traffic = joined(algorithm);
        // Seconds that pass, and the part of its weight that it has then.
        for (seconds, part) in [
            (0, 0.1),
            (5, 0.1),
            (25, 0.3),
            (30, 0.6),
            (40, 1.0),
            (1, 1.0),
        ] {
            traffic.advance(Duration::from_secs(seconds));
            let share = share_of_fifth(&mut traffic);
            let expected = part / (4.0 + part);
            assert!(
                is_share(share, REQUESTS, expected),
                "{algorithm:?}: {share} at {part}"
            );
        }
    }
}

#[test]
fn being_idle_does_not_undo_it() {
    let mut traffic = joined(Algorithm::LeastRequest);
    let shares = traffic.run(REQUESTS, MILLISECOND);
    let expected = 0.1 / 4.1;
    // At most twice its share, which in the ten seconds that this takes is still the least.
    assert!(
        (shares[&4] as f64) < 2.0 * expected * REQUESTS as f64,
        "{shares:?}"
    );
}

#[test]
fn fewer_requests_make_it_as_busy_as_others() {
    let mut traffic = joined(Algorithm::LeastRequest);
    let mut sums = [0; 5];
    for _ in 0..REQUESTS {
        traffic.advance(MILLISECOND / 10);
        traffic.request();
        for (key, sum) in (0..).zip(&mut sums) {
            *sum += traffic.set.outstanding(&key).unwrap();
        }
    }
    let part = sums[4] as f64 / sums[0] as f64;
    assert!(
        (0.05..0.15).contains(&part),
        "{part} of what others have outstanding"
    );
}

#[test]
fn endpoints_that_begin_together_have_their_share_at_once() {
    let settings = Settings {
        warm_up: Some(WARM_UP),
        ..by(Algorithm::Random)
    };
    let servers = (0..5).map(|key| server(key, 1)).collect();
    let share = share_of_fifth(&mut Traffic::new(settings, servers));
    assert!(is_share(share, REQUESTS, 0.2), "{share}");
}

#[test]
fn a_change_does_not_begin_it_anew_but_an_illness_does() {
    let mut traffic = joined(Algorithm::Random);
    traffic.advance(WARM_UP);
    traffic.apply(vec![Change::Put(server(4, 4))]);
    let share = share_of_fifth(&mut traffic);
    assert!(is_share(share, REQUESTS, 0.5), "{share}");
    let ill = Endpoint {
        health: Health::Unhealthy,
        ..server(4, 4)
    };
    traffic.apply(vec![Change::Put(ill)]);
    assert_eq!(share_of_fifth(&mut traffic), 0);
    traffic.apply(vec![Change::Put(server(4, 4))]);
    let share = share_of_fifth(&mut traffic);
    assert!(is_share(share, REQUESTS, 0.4 / 4.4), "{share}");
}

#[test]
fn endpoints_that_all_warm_up_share_by_weight() {
    let mut traffic = joined(Algorithm::Random);
    traffic.apply(vec![Change::Put(server(5, 4))]);
    traffic.apply((0..4).map(Change::Remove).collect());
    let share = share_of_fifth(&mut traffic);
    assert!(is_share(share, REQUESTS, 0.2), "{share}");
}

#[test]
fn an_endpoint_that_is_alone_gets_everything() {
    let mut traffic = joined(Algorithm::LeastRequest);
    traffic.apply((0..4).map(Change::Remove).collect());
    assert_eq!(share_of_fifth(&mut traffic), REQUESTS);
}
