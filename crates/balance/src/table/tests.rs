use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::Health;
use imbl::Vector;

use super::Table;
use crate::endpoint::{Endpoint, Live, Member};
use crate::place::Place;
use crate::random::Random;
use crate::settings::Hashing;

const BOTH: [Hashing; 2] = [Hashing::RING, Hashing::MAGLEV];

fn members(weights: &[(u32, u32)]) -> Vector<Arc<Member<u32, ()>>> {
    let member = |(key, weight): &(u32, u32)| {
        Arc::new(Member {
            endpoint: Endpoint {
                key: *key,
                payload: (),
                weight: *weight,
                place: Place::default(),
                health: Health::Healthy,
            },
            live: Arc::<Live>::default(),
            joined: None,
            was_well: true,
        })
    };
    weights.iter().map(member).collect()
}

/// Where each of 20,000 hashes leads.
fn keys(hashing: Hashing, weights: &[(u32, u32)]) -> Vec<u32> {
    let members = members(weights);
    let table = Table::build(hashing, members.iter());
    let mut hashes = Random::new(1);
    let key = |_| {
        members[table.from(hashes.any()).next().unwrap()]
            .endpoint
            .key
    };
    (0..20_000).map(key).collect()
}

fn shares(keys: &[u32]) -> BTreeMap<u32, usize> {
    keys.iter().fold(BTreeMap::new(), |mut shares, key| {
        *shares.entry(*key).or_default() += 1;
        shares
    })
}

#[test]
fn the_order_in_which_endpoints_came_does_not_matter() {
    let weights: Vec<_> = (0..40).map(|key| (key, key % 3 + 1)).collect();
    let reversed: Vec<_> = weights.iter().rev().copied().collect();
    for hashing in BOTH {
        assert_eq!(keys(hashing, &weights), keys(hashing, &reversed));
    }
}

#[test]
fn a_table_is_nearly_even() {
    let even: Vec<_> = (0..10).map(|key| (key, 100_000)).collect();
    for share in shares(&keys(Hashing::MAGLEV, &even)).into_values() {
        assert!((1800..2200).contains(&share), "{share} of 2000");
    }
    for share in shares(&keys(Hashing::RING, &even)).into_values() {
        assert!((1700..2300).contains(&share), "{share} of 2000");
    }
}

#[test]
fn weights_are_shares_however_unequal() {
    for hashing in BOTH {
        let shares = shares(&keys(hashing, &[(0, 1), (1, 3), (2, 16)]));
        assert!((700..1300).contains(&shares[&0]), "{shares:?}");
        assert!((2400..3600).contains(&shares[&1]), "{shares:?}");
    }
    let mut lopsided: Vec<_> = (0..1000).map(|key| (key, 1)).collect();
    lopsided.push((1000, u32::MAX));
    for hashing in BOTH {
        let heavy = shares(&keys(hashing, &lopsided))[&1000];
        // On the ring every other endpoint keeps its one point, of about 67,000.
        assert!(heavy > 19_000, "{heavy} with {hashing:?}");
    }
}

#[test]
fn every_size_serves() {
    let two = [(0, 1), (1, 1)];
    for size in [0, 1, 2, 4, 100, 65_536] {
        for hashing in [Hashing::Ring { size }, Hashing::Maglev { size }] {
            assert_eq!(shares(&keys(hashing, &two)).len(), 2, "{hashing:?}");
        }
    }
}

#[test]
fn a_ring_has_at_least_the_points_that_are_asked_for() {
    let cases = [
        vec![(0, 1)],
        vec![(0, 1), (1, 1), (2, 5)],
        vec![(0, 700), (1, 301)],
        vec![(0, 5000), (1, 9000)],
    ];
    for weights in cases {
        let table = Table::build(Hashing::RING, members(&weights).iter());
        let Table::Ring(ring) = table else {
            panic!("{table:?} is no ring");
        };
        let points = ring.points.len();
        assert!((1024..4096).contains(&points), "{points} for {weights:?}");
    }
}

#[test]
fn nothing_leads_nowhere() {
    for hashing in BOTH {
        assert_eq!(
            Table::build(hashing, members(&[]).iter()).from(5).next(),
            None
        );
    }
}

#[test]
fn the_largest_table_is_a_prime_number() {
    let size = Hashing::LARGEST_TABLE;
    assert!((2..2237).all(|divisor| !size.is_multiple_of(divisor)));
}
