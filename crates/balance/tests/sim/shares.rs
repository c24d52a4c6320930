//! What each endpoint gets when none is busier than another.

use ambit_balance::Algorithm;

use crate::traffic::{MILLISECOND, Traffic, by, counts, is_share, server};

const REQUESTS: usize = 10_000;

#[test]
fn endpoints_get_their_weights() {
    let weights = [1, 2, 7, 40, 50];
    let servers = || (0..).zip(weights).map(|(key, weight)| server(key, weight));
    for algorithm in [Algorithm::LeastRequest, Algorithm::Random] {
        let mut traffic = Traffic::new(by(algorithm), servers().collect());
        let shares = traffic.one_by_one(REQUESTS);
        for server in servers() {
            let share = shares[&server.key];
            let expected = f64::from(server.weight) / 100.0;
            assert!(
                is_share(share, REQUESTS, expected),
                "{algorithm:?}: {shares:?}"
            );
        }
    }
}

#[test]
fn in_turn_everybody_is_served_before_anybody_is_again() {
    for endpoints in [1, 2, 3, 7, 10_000] {
        let servers = (0..endpoints).map(|key| server(key, 5)).collect();
        let mut traffic = Traffic::new(by(Algorithm::RoundRobin), servers);
        for _ in 0..2 {
            let round = traffic.one_by_one(usize::try_from(endpoints).unwrap());
            assert!(round.values().all(|count| *count == 1));
            assert_eq!(round.len(), usize::try_from(endpoints).unwrap());
        }
    }
}

#[test]
fn in_turn_weights_are_exact_and_spread() {
    let servers = vec![server(0, 700), server(1, 200), server(2, 100)];
    let mut traffic = Traffic::new(by(Algorithm::RoundRobin), servers);
    let keys: Vec<_> = (0..1000)
        .map(|_| traffic.pick(None, &[]).endpoint().key)
        .collect();
    for round in keys.chunks(10) {
        let round = counts(round.iter().copied());
        assert_eq!(round.into_values().collect::<Vec<_>>(), [7, 2, 1]);
    }
    let longest = keys.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
    assert!(longest.unwrap() <= 4, "{longest:?} in a row");
}

#[test]
fn a_light_endpoint_gets_at_most_twice_its_share_for_being_idle() {
    let servers = vec![server(0, 99), server(1, 1)];
    let mut traffic = Traffic::new(by(Algorithm::LeastRequest), servers);
    let light = traffic.run(REQUESTS, MILLISECOND)[&1];
    assert!((50..=260).contains(&light), "{light} of 100");
}
