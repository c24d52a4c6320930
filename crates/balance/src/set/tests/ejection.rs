//! Ejections, one after the other.

use std::time::{Duration, Instant};

use ambit_model::LoadBalancingMode::Failover;
use ambit_model::OutlierPolicy;

use super::{ask, by_zone, endpoint, picked, set, unhealthy};
use crate::endpoint::Endpoint;
use crate::outlier::{Cause, Ejection, EjectionCounts, Outcome, Verdict};
use crate::set::{Change, EndpointSet};
use crate::settings::{Algorithm, Hashing, Settings};

type Set = EndpointSet<u32, ()>;

const SECOND: Duration = Duration::from_secs(1);

/// Every failure of an endpoint ejects it, if the percentages let it.
fn at_once(max_percent: u32, min_percent: u32) -> Settings {
    Settings {
        outliers: Some(OutlierPolicy {
            consecutive_5xx: 1,
            max_ejection_percent: max_percent,
            min_health_percent: min_percent,
            ..OutlierPolicy::default()
        }),
        ..Settings::default()
    }
}

fn of(settings: Settings, endpoints: u32) -> Set {
    set(
        settings,
        (0..endpoints).map(|key| endpoint(key, "a")).collect(),
    )
}

fn verdict(set: &Set, key: u32) -> Verdict<u32, ()> {
    let pick = set.pick_this(&key).unwrap();
    pick.record(Outcome::Status(500)).unwrap()
}

fn eject(set: &mut Set, key: u32, now: Instant) -> Ejection {
    let verdict = verdict(set, key);
    set.eject(&verdict, now)
}

fn ejected(set: &Set) -> Vec<u32> {
    let known = set.known.keys().copied();
    known.filter(|key| set.is_ejected(key)).collect()
}

/// All that get requests.
fn reached(set: &Set) -> Vec<u32> {
    let picks =
        (0..200_u64).map(|turn| set.pick(&ask(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15), &[])));
    let mut keys: Vec<_> = picks.flatten().map(|pick| pick.endpoint().key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[test]
fn an_ejected_endpoint_gets_nothing_until_its_time_is_over() {
    let (mut set, now) = (of(at_once(50, 0), 3), Instant::now());
    let verdict = verdict(&set, 1);
    assert_eq!(verdict.cause(), Cause::Consecutive5xx);
    assert_eq!(verdict.endpoint().key, 1);
    let before = set.clone();
    assert_eq!(set.eject(&verdict, now), Ejection::Enforced);
    assert_eq!(set.eject(&verdict, now), Ejection::Void, "it is already");
    assert_eq!(reached(&set), [0, 2]);
    assert!(set.pick_this(&1).is_none(), "nor by a session");
    assert_eq!(reached(&before), [0, 1, 2], "snapshots stay as they are");
    let counts = EjectionCounts {
        active: 1,
        enforced: 1,
        ..EjectionCounts::default()
    };
    assert_eq!(set.ejections(), counts);

    assert_eq!(set.due(), Some(now + 30 * SECOND));
    assert_eq!(set.tick(now + 29 * SECOND), []);
    assert_eq!(reached(&set), [0, 2]);
    assert_eq!(set.tick(now + 30 * SECOND), [1]);
    assert_eq!((reached(&set), set.due()), (vec![0, 1, 2], None));
    assert!(set.pick_this(&1).is_some());
}

#[test]
fn one_too_many_is_counted_and_stays() {
    let (mut set, now) = (of(at_once(34, 0), 3), Instant::now());
    assert_eq!(eject(&mut set, 0, now), Ejection::Enforced);
    assert_eq!(eject(&mut set, 1, now), Ejection::Overflow);
    assert_eq!(reached(&set), [1, 2]);
    let counts = set.ejections();
    assert_eq!((counts.active, counts.enforced, counts.overflow), (1, 1, 1));
    assert_eq!(
        eject(&mut of(at_once(50, 0), 1), 0, now),
        Ejection::Overflow
    );
}

#[test]
fn the_time_grows_with_every_ejection_and_falls_while_it_is_well() {
    let (mut set, mut now) = (of(at_once(50, 0), 2), Instant::now());
    let mut ejection = |set: &mut Set, well: Duration| {
        now += well;
        assert_eq!(eject(set, 0, now), Ejection::Enforced);
        let due = set.due().unwrap();
        let time = due - now;
        now = due;
        assert_eq!(set.tick(now), [0]);
        time.as_secs()
    };
    let mut times = |well: u64, count: usize| -> Vec<u64> {
        let well = Duration::from_secs(well);
        (0..count).map(|_| ejection(&mut set, well)).collect()
    };
    assert_eq!(times(9, 4), [30, 60, 90, 120]);
    // Forgiven one time for each ten seconds.
    assert_eq!(times(10, 2), [120, 120]);
    assert_eq!(times(25, 2), [90, 60]);
    assert_eq!(
        times(0, 10),
        [90, 120, 150, 180, 210, 240, 270, 300, 300, 300]
    );
    // What is beyond the bound does not add up: eleven times, and no more.
    assert_eq!(times(100, 1), [60]);
    assert_eq!(times(1000, 1), [30]);
}

#[test]
fn what_is_forgiven_is_forgotten() {
    let (mut set, now) = (of(at_once(50, 0), 2), Instant::now());
    eject(&mut set, 0, now);
    set.tick(now + 30 * SECOND);
    set.tick(now + 41 * SECOND);
    assert_eq!(eject(&mut set, 0, now + 42 * SECOND), Ejection::Enforced);
    assert_eq!(set.due(), Some(now + 72 * SECOND));
}

#[test]
fn failures_of_before_are_not_held_against_one_that_is_back() {
    let mut settings = at_once(50, 0);
    settings.outliers.as_mut().unwrap().consecutive_5xx = 3;
    let (mut set, now) = (of(settings, 2), Instant::now());
    let pick = set.pick_this(&0).unwrap();
    let mut verdicts = (0..3).filter_map(|_| pick.record(Outcome::Status(500)));
    let verdict = verdicts.next().unwrap();
    assert_eq!(set.eject(&verdict, now), Ejection::Enforced);
    // Requests that were under way fail too.
    for _ in 0..2 {
        assert!(pick.record(Outcome::Status(500)).is_none());
    }
    set.tick(now + 30 * SECOND);
    for _ in 0..2 {
        assert!(pick.record(Outcome::Status(500)).is_none());
    }
    assert!(pick.record(Outcome::Status(500)).is_some());
}

#[test]
fn when_too_few_are_left_ejections_are_ignored() {
    let (mut set, now) = (of(at_once(100, 50), 4), Instant::now());
    for key in [0, 1] {
        eject(&mut set, key, now + key * SECOND);
        assert!(!set.ejections().panic);
    }
    assert_eq!(reached(&set), [2, 3]);
    assert_eq!(eject(&mut set, 2, now + 2 * SECOND), Ejection::Enforced);
    let counts = set.ejections();
    assert!(counts.panic && counts.active == 3);
    assert_eq!(reached(&set), [0, 1, 2, 3]);
    assert!(set.pick_this(&0).is_some());
    let again = verdict(&set, 0);
    assert_eq!(set.eject(&again, now), Ejection::Void, "it is already");

    // Time goes on meanwhile, and once enough are back the others are ejected still.
    assert_eq!(set.tick(now + 30 * SECOND), [0]);
    assert!(!set.ejections().panic);
    assert_eq!(reached(&set), [0, 3]);
    assert_eq!(set.tick(now + 32 * SECOND), [1, 2]);
    assert_eq!(reached(&set), [0, 1, 2, 3]);
}

#[test]
fn without_a_minimum_nothing_may_be_left() {
    let (mut set, now) = (of(at_once(100, 0), 2), Instant::now());
    eject(&mut set, 0, now);
    eject(&mut set, 1, now);
    let shortage = set.pick(&ask(0, &[])).unwrap_err();
    assert_eq!((shortage.known, shortage.ejected, shortage.far), (2, 2, 0));
}

#[test]
fn one_that_goes_and_comes_back_is_another() {
    let (mut set, now) = (of(at_once(50, 0), 2), Instant::now());
    let late = verdict(&set, 0);
    eject(&mut set, 0, now);
    set.apply([Change::Remove(0)], now);
    assert_eq!((ejected(&set), set.due()), (vec![], None));
    set.apply([Change::Put(endpoint(0, "a"))], now);
    assert_eq!(reached(&set), [0, 1]);
    assert_eq!(set.eject(&late, now), Ejection::Void, "of the one before");
    eject(&mut set, 0, now);
    assert_eq!(set.due(), Some(now + 30 * SECOND), "the first time");
}

#[test]
fn one_that_falls_ill_is_back_when_it_is_well_but_not_forgiven() {
    let (mut set, now) = (of(at_once(50, 0), 2), Instant::now());
    eject(&mut set, 0, now);
    set.apply([Change::Put(unhealthy(0, "a"))], now + SECOND);
    let counts = set.ejections();
    assert_eq!((counts.active, set.due()), (0, None));
    assert_eq!(reached(&set), [1]);
    set.apply([Change::Put(endpoint(0, "a"))], now + 2 * SECOND);
    assert_eq!(reached(&set), [0, 1]);
    eject(&mut set, 0, now + 3 * SECOND);
    assert_eq!(set.due(), Some(now + 63 * SECOND), "the second time");
}

#[test]
fn a_change_of_weight_or_place_leaves_it_ejected() {
    let settings = Settings {
        outliers: at_once(50, 0).outliers,
        ..by_zone(Failover)
    };
    let (mut set, now) = (of(settings, 2), Instant::now());
    eject(&mut set, 0, now);
    let heavy = Endpoint {
        weight: 100,
        ..endpoint(0, "b")
    };
    for changed in [heavy.clone(), endpoint(0, "a"), heavy] {
        set.apply([Change::Put(changed)], now);
        assert_eq!(reached(&set), [1]);
        assert_eq!(set.due(), Some(now + 30 * SECOND));
    }
    set.tick(now + 30 * SECOND);
    assert_eq!(picked(&set, &[1]), Ok(0));
    assert_eq!(picked(&set, &[]), Ok(1), "the nearer one");
}

#[test]
fn settings_hold_at_once() {
    let now = Instant::now();
    let mut set = of(at_once(50, 0), 4);
    eject(&mut set, 0, now);
    eject(&mut set, 1, now + SECOND);
    let mut later = at_once(50, 0);
    later.outliers.as_mut().unwrap().base_ejection_time = 40 * SECOND;
    set.configure(later.clone(), now + 2 * SECOND);
    assert_eq!(set.due(), Some(now + 40 * SECOND));

    later.algorithm = Algorithm::Hash(Hashing::RING);
    set.configure(later, now + 2 * SECOND);
    assert_eq!(reached(&set), [2, 3], "what else is set matters not");

    // Where fewer may be ejected, the one comes back whose time is nearest to its end.
    set.configure(at_once(25, 0), now + 2 * SECOND);
    assert_eq!(ejected(&set), [1]);
    set.configure(at_once(25, 90), now + 2 * SECOND);
    assert!(set.ejections().panic);
    set.configure(Settings::default(), now + 2 * SECOND);
    let counts = set.ejections();
    assert_eq!((counts.active, counts.panic), (0, false));
    assert_eq!((reached(&set), set.due()), (vec![0, 1, 2, 3], None));
    assert!(set.pick_this(&0).unwrap().record(Outcome::Reset).is_none());
    set.configure(at_once(50, 0), now + 2 * SECOND);
    eject(&mut set, 0, now + 2 * SECOND);
    assert_eq!(set.due(), Some(now + 32 * SECOND), "all is forgotten");
}

#[test]
fn when_others_go_one_comes_back() {
    let (mut set, now) = (of(at_once(50, 0), 4), Instant::now());
    eject(&mut set, 0, now + SECOND);
    eject(&mut set, 1, now);
    set.apply([Change::Remove(3)], now + 2 * SECOND);
    assert_eq!(
        ejected(&set),
        [0],
        "the other one's time was nearer to its end"
    );
    set.apply([Change::Put(unhealthy(2, "a"))], now + 2 * SECOND);
    assert_eq!(ejected(&set), [0], "one of two");
    set.apply([Change::Remove(1)], now + 2 * SECOND);
    assert_eq!(ejected(&set), [] as [u32; 0]);
}

#[test]
fn it_does_not_warm_up_when_it_is_back() {
    let settings = Settings {
        warm_up: Some(1000 * SECOND),
        ..at_once(50, 0)
    };
    let (mut set, now) = (of(settings, 2), Instant::now());
    eject(&mut set, 0, now);
    set.tick(now + 30 * SECOND);
    assert_eq!(set.known[&0].member.joined, None);
}

#[test]
fn by_hash_nothing_else_moves() {
    for hashing in [Hashing::RING, Hashing::MAGLEV] {
        let settings = Settings {
            algorithm: Algorithm::Hash(hashing),
            ..at_once(50, 0)
        };
        let (mut set, now) = (of(settings, 8), Instant::now());
        let homes = |set: &Set| -> Vec<u32> {
            let asks = (0..2_000_u64).map(|hash| crate::stable_hash(&hash));
            let picks = asks.map(|hash| {
                set.pick(&super::Ask {
                    hash: Some(hash),
                    ..ask(0, &[])
                })
            });
            picks.map(|pick| pick.unwrap().endpoint().key).collect()
        };
        let before = homes(&set);
        eject(&mut set, 3, now);
        let during = homes(&set);
        let moved = before.iter().zip(&during).filter(|(from, to)| from != to);
        assert!(moved.clone().all(|(from, to)| *from == 3 && *to != 3));
        let next: std::collections::BTreeSet<_> = moved.map(|(_, to)| to).collect();
        assert_eq!(next.len(), 7, "they go to all others");
        set.tick(now + 30 * SECOND);
        assert_eq!(homes(&set), before);
    }
}
