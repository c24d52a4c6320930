//! Which endpoints go first where a DestinationRule has them fail over by locality, and how one that
//! joins others warms up: against what its words say, for any endpoints.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::naive::Set;
use super::{Change, ask, endpoint, set};
use crate::endpoint::{Endpoint, WARM};
use crate::place::Place;
use crate::preference::{LocalitySetting, Preference, RegionFailover};
use crate::settings::{Algorithm, Settings};

type One = Endpoint<u32, ()>;

fn place([region, zone, subzone]: [&str; 3]) -> Place {
    let mut place = Place::default();
    place.locality.region = region.into();
    place.locality.zone = zone.into();
    place.locality.subzone = subzone.into();
    place
}

/// For a caller in `a/a/a`, which goes to region `c` before others.
fn failover() -> Settings {
    let setting = LocalitySetting {
        failover: vec![RegionFailover {
            from: "a".to_owned(),
            to: "c".to_owned(),
        }],
        ..LocalitySetting::default()
    };
    Settings {
        preference: Preference::by_locality(&setting, place(["a"; 3])),
        ..Settings::default()
    }
}

/// As a reader of Istio's documentation would say it.
fn distance(place: &Place) -> usize {
    let locality = &place.locality;
    let [region, zone, subzone] = [&*locality.region, &*locality.zone, &*locality.subzone];
    match (region, zone, subzone) {
        ("a", "a", "a") => 0,
        ("a", "a", _) => 1,
        ("a", ..) => 2,
        ("c", ..) => 3,
        _ => 4,
    }
}

fn endpoints() -> impl Strategy<Value = Vec<(Place, bool)>> {
    let name = || select(vec!["a", "b", "c"]);
    let place = (name(), name(), name()).prop_map(|(region, zone, sub)| place([region, zone, sub]));
    vec((place, any::<bool>()), 1..16)
}

proptest! {
    #[test]
    fn the_nearest_go_first_and_those_that_are_left_in_order(
        there in endpoints(),
        random in any::<u64>(),
    ) {
        let numbered = (0..).zip(&there);
        let all = numbered.clone().map(|(key, (place, _))| Endpoint {
            place: place.clone(),
            ..endpoint(key, "")
        });
        let mut set = set(failover(), all.collect());
        let ill = numbered.filter(|(_, (_, is_well))| !is_well);
        let ill = ill.map(|(key, (place, _))| Change::Put(Endpoint {
            place: place.clone(),
            ..super::unhealthy(key, "")
        }));
        set.apply(ill.collect::<Vec<_>>(), Instant::now());

        let of = |wanted: usize, well: bool| {
            let of = there.iter().filter(|(place, is_well)| {
                distance(place) == wanted && (*is_well || !well)
            });
            of.count()
        };
        let left: usize = (0..5).map(|far| of(far, true)).sum();
        let (mut tried, mut far) = (Vec::new(), Vec::new());
        for _ in 0..left {
            let pick = set.pick(&ask(random, &tried)).unwrap();
            tried.push(pick.endpoint().key);
            far.push(distance(&pick.endpoint().place));
        }
        let Some(first) = far.first().copied() else { return Ok(()) };
        // Where the first try goes a few of the nearest may be too few for all; then in order.
        far.retain(|far| *far != first);
        assert!(far.is_sorted(), "{first}, then {far:?}");
        let nearest = (0..5).find(|far| of(*far, true) > 0).unwrap();
        if of(nearest, true) * 14 >= of(nearest, false) * 10 {
            assert_eq!(first, nearest);
        }
    }
}

/// What becomes of an endpoint beside another.
#[derive(Clone, Debug)]
enum Step {
    Put(u32, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..5_u32, select(vec![true, true, false]))
            .prop_map(|(weight, well)| Step::Put(weight, well)),
        (0..60_u64).prop_map(Step::Pass),
    ]
}

/// How warm the second endpoint is.
fn warmth(set: &Set, now: Instant) -> Option<u64> {
    let member = &set.known.get(&1)?.member;
    Some(member.warmth(now, set.settings.warm_up))
}

proptest! {
    #[test]
    fn one_that_joins_gets_its_share_little_by_little(
        warm_up in 1..200_u64,
        steps in vec(step(), 1..30),
    ) {
        let settings = Settings {
            warm_up: Some(Duration::from_secs(warm_up)),
            algorithm: Algorithm::Random,
            ..Settings::default()
        };
        let mut set = set(settings, vec![endpoint(0, "a")]);
        let start = Instant::now();
        let (mut now, mut joined, mut is_in) = (0, 0, false);
        let put = |weight: u32, well: bool| -> One {
            let made = if well { endpoint(1, "a") } else { super::unhealthy(1, "a") };
            Endpoint { weight, ..made }
        };
        // Of the same draws no fewer lead there than before.
        let draws = |set: &Set, now: u64| (0..64_u64).filter(|draw| {
            let mut ask = ask(crate::stable_hash(draw), &[]);
            ask.now = start + Duration::from_secs(now);
            set.pick(&ask).unwrap().endpoint().key == 1
        }).collect::<Vec<_>>();
        for step in steps {
            match step {
                Step::Put(weight, well) => {
                    let change = [Change::Put(put(weight, well))];
                    set.apply(change, start + Duration::from_secs(now));
                    joined = if is_in { joined } else { now };
                    is_in = well;
                }
                Step::Pass(seconds) => {
                    let before = draws(&set, now);
                    now += seconds;
                    let after = draws(&set, now);
                    assert!(before.iter().all(|draw| after.contains(draw)));
                }
            }
            let expected = (WARM * (now - joined).min(warm_up) / warm_up).max(WARM / 10);
            if is_in {
                assert_eq!(warmth(&set, start + Duration::from_secs(now)), Some(expected));
            }
        }
    }
}
