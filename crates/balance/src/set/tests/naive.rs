//! A set after any changes against a plain map of the endpoints.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ambit_model::Health;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::{ALGORITHMS, ask, by_zone, endpoint, modes};
use crate::endpoint::Endpoint;
use crate::set::{Change, EndpointSet, Shortage};
use crate::settings::Settings;

pub(super) type Set = EndpointSet<u32, ()>;
pub(super) type Plain = BTreeMap<u32, Endpoint<u32, ()>>;

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Change<u32, ()>>),
    Configure(Box<Settings>),
}

/// So many puts to a removal, of endpoints with so many keys and weights.
pub(super) fn change(puts: u32, keys: u32, weights: u32) -> impl Strategy<Value = Change<u32, ()>> {
    let health = select(vec![Health::Healthy, Health::Healthy, Health::Unhealthy]);
    let put = (0..keys, select(vec!["a", "b"]), 0..weights, health);
    prop_oneof![
        puts => put.prop_map(|(key, place, weight, health)| Change::Put(Endpoint {
            weight,
            health,
            ..endpoint(key, place)
        })),
        1 => (0..keys).prop_map(Change::Remove),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let warm_up = select(vec![None, Some(Duration::from_secs(10))]);
    let kinds = (modes(), any::<bool>(), select(ALGORITHMS.to_vec()), warm_up);
    kinds.prop_map(|(mode, allow_unhealthy, algorithm, warm_up)| Settings {
        algorithm,
        allow_unhealthy,
        warm_up,
        ..by_zone(mode)
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(change(3, 12, 6), 1..6).prop_map(Step::Apply),
        1 => settings().prop_map(|settings| Step::Configure(Box::new(settings))),
    ]
}

pub(super) fn take(plain: &mut Plain, change: Change<u32, ()>) {
    match change {
        Change::Put(endpoint) => drop(plain.insert(endpoint.key, endpoint)),
        Change::Remove(key) => drop(plain.remove(&key)),
    }
}

/// Rank and key of all that may be picked.
fn ready(plain: &Plain, settings: &Settings) -> Vec<(usize, u32)> {
    let healthy = |e: &&Endpoint<_, _>| settings.allow_unhealthy || e.health == Health::Healthy;
    let ranked = plain.values().filter(healthy).filter_map(|endpoint| {
        let rank = settings.preference.rank(&endpoint.place)?;
        Some((rank, endpoint.key))
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_unstable();
    ranked
}

fn shortage(plain: &Plain, settings: &Settings) -> Shortage {
    let ill = |e: &&Endpoint<_, _>| !settings.allow_unhealthy && e.health == Health::Unhealthy;
    let unhealthy = plain.values().filter(ill).count();
    Shortage {
        known: plain.len(),
        unhealthy,
        ejected: 0,
        far: plain.len() - unhealthy - ready(plain, settings).len(),
    }
}

/// Tries all endpoints one after the other, as a request does that fails everywhere.
fn check(set: &Set, plain: &Plain, settings: &Settings, random: u64) {
    let ready = ready(plain, settings);
    let rank = |key| ready.iter().find(|(_, k)| *k == key).map(|(rank, _)| *rank);
    let (mut tried, mut ranks) = (Vec::new(), Vec::new());
    for _ in &ready {
        let pick = set.pick(&ask(random, &tried)).unwrap();
        let key = pick.endpoint().key;
        assert!(!tried.contains(&key), "{key} again, after {tried:?}");
        assert_eq!(pick.endpoint(), &plain[&key]);
        assert_eq!(set.outstanding(&key), Some(1));
        tried.push(key);
        ranks.push(rank(key).expect("one that may be picked"));
    }
    assert!(ranks.is_sorted(), "ranks {ranks:?} of {tried:?}");
    match set.pick(&ask(random, &tried)) {
        Ok(again) => assert_eq!(rank(again.endpoint().key), ranks.first().copied()),
        Err(found) => assert_eq!((found, ready.len()), (shortage(plain, settings), 0)),
    }
    for key in 0..12 {
        assert_eq!(set.pick_this(&key).is_some(), rank(key).is_some());
        assert_eq!(set.outstanding(&key), plain.contains_key(&key).then_some(0));
    }
}

proptest! {
    #[test]
    fn picks_are_those_of_a_plain_map(
        first in settings(),
        steps in vec(step(), 0..12),
        random in any::<u64>(),
    ) {
        let mut set = Set::new(first.clone(), random);
        let (mut settings, mut plain) = (first, Plain::new());
        let mut snapshots = Vec::new();
        for step in steps {
            snapshots.push((set.clone(), plain.clone(), settings.clone()));
            match step {
                Step::Apply(changes) => {
                    set.apply(changes.clone(), Instant::now());
                    changes.into_iter().for_each(|change| take(&mut plain, change));
                }
                Step::Configure(new) => {
                    set.configure((*new).clone(), Instant::now());
                    settings = *new;
                }
            }
            check(&set, &plain, &settings, random);
        }
        // What came later has not touched the snapshots that came before.
        for (set, plain, settings) in snapshots {
            check(&set, &plain, &settings, random);
        }
    }
}
