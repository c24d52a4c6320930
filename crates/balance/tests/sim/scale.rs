//! What changes and picks cost, in keys that are compared or copied.

use std::cell::Cell;
use std::cmp::Ordering;
use std::time::Instant;

use ambit_balance::{Ask, Change, Ejection, Endpoint, EndpointSet, Outcome, Place, Settings};
use ambit_model::{Health, OutlierPolicy};

thread_local! {
    static TOUCHED: Cell<usize> = const { Cell::new(0) };
}

/// A key that counts how often keys are compared, copied or hashed.
#[derive(Debug, Hash, PartialEq, Eq)]
struct Key(u32);

fn touch() {
    TOUCHED.set(TOUCHED.get() + 1);
}

impl Clone for Key {
    fn clone(&self) -> Self {
        touch();
        Self(self.0)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        touch();
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn put(key: u32, health: Health) -> Change<Key, ()> {
    Change::Put(Endpoint {
        key: Key(key),
        payload: (),
        weight: 1,
        place: Place::default(),
        health,
    })
}

fn touched(what: impl FnOnce()) -> usize {
    let before = TOUCHED.get();
    what();
    TOUCHED.get() - before
}

fn set_of(endpoints: u32) -> EndpointSet<Key, ()> {
    let mut set = EndpointSet::new(Settings::default(), 0);
    let all = (0..endpoints).map(|key| put(key, Health::Healthy));
    set.apply(all, Instant::now());
    set
}

/// The most that one change costs while the snapshot before it is still in use.
fn dearest(endpoints: u32) -> usize {
    let set = set_of(endpoints);
    let changes = |key: u32| {
        [
            put(key, Health::Healthy),
            put(key, Health::Unhealthy),
            Change::Remove(Key(key)),
            put(endpoints + key, Health::Healthy),
        ]
    };
    let costs = (0..endpoints).step_by(7).flat_map(changes).map(|change| {
        let mut next = set.clone();
        touched(|| next.apply([change], Instant::now()))
    });
    costs.max().unwrap()
}

#[test]
fn a_change_of_ten_thousand_costs_little_more_than_of_a_hundred() {
    let (few, many) = (dearest(100), dearest(10_000));
    assert!(
        many < 3 * few,
        "{few} keys touched of 100, {many} of 10,000"
    );
}

#[test]
fn a_pick_looks_at_no_key() {
    let set = set_of(10_000);
    let ask = |random| Ask {
        now: Instant::now(),
        random,
        hash: None,
        tried: &[],
    };
    let cost = touched(|| (0..1_000).for_each(|random| drop(set.pick(&ask(random)))));
    assert_eq!(cost, 0);
}

/// The most that an ejection and its end cost while the snapshot before is still in use.
fn dearest_ejection(endpoints: u32) -> usize {
    let settings = Settings {
        outliers: Some(OutlierPolicy {
            consecutive_5xx: 1,
            ..OutlierPolicy::default()
        }),
        ..Settings::default()
    };
    let mut set = EndpointSet::new(settings, 0);
    let now = Instant::now();
    set.apply((0..endpoints).map(|key| put(key, Health::Healthy)), now);
    let costs = (0..endpoints).step_by(7).map(|key| {
        let mut next = set.clone();
        let pick = set.pick_this(&Key(key)).unwrap();
        touched(|| {
            let verdict = pick.record(Outcome::Reset).unwrap();
            assert_eq!(next.eject(&verdict, now), Ejection::Enforced);
            let due = next.due().unwrap();
            assert_eq!(next.tick(due).len(), 1);
        })
    });
    costs.max().unwrap()
}

#[test]
fn an_ejection_of_ten_thousand_costs_little_more_than_of_a_hundred() {
    let (few, many) = (dearest_ejection(100), dearest_ejection(10_000));
    assert!(
        many < 3 * few,
        "{few} keys touched of 100, {many} of 10,000"
    );
}

#[test]
fn recording_an_outcome_looks_at_no_key() {
    let mut set = set_of(10);
    let settings = Settings {
        outliers: Some(OutlierPolicy::default()),
        ..Settings::default()
    };
    set.configure(settings, Instant::now());
    let pick = set.pick_this(&Key(3)).unwrap();
    let mut verdicts = 0;
    let cost = touched(|| {
        verdicts = (0..1_000)
            .filter_map(|_| pick.record(Outcome::Status(500)))
            .count();
    });
    assert_eq!((cost, verdicts), (0, 200));
}
