//! Endpoints that fail, for a while or for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use ambit_balance::{Algorithm, Ejection, Outcome, Settings};
use ambit_model::OutlierPolicy;

use crate::traffic::{MILLISECOND, Traffic, by, is_share, server};

const SECOND: Duration = Duration::from_secs(1);

/// A request every ten milliseconds, and servers of which some fail.
struct Outage {
    traffic: Traffic,
    max_percent: usize,
    /// How many requests each had, and how many failed.
    requests: BTreeMap<u32, usize>,
    failed: usize,
    /// How long each ejection took, as far as it is over.
    times: Vec<(u32, Duration)>,
    since: BTreeMap<u32, std::time::Instant>,
}

impl Outage {
    fn new(settings: Settings, outliers: OutlierPolicy, servers: u32) -> Self {
        let max_percent = usize::try_from(outliers.max_ejection_percent).unwrap();
        let settings = Settings {
            outliers: Some(outliers),
            ..settings
        };
        let servers = (0..servers).map(|key| server(key, key % 3 + 1)).collect();
        Self {
            traffic: Traffic::new(settings, servers),
            max_percent,
            requests: BTreeMap::new(),
            failed: 0,
            times: Vec::new(),
            since: BTreeMap::new(),
        }
    }

    /// Requests for so long, of which those to these servers fail, one of so many.
    fn run(&mut self, time: Duration, failing: impl Fn(u32) -> bool, one_of: u64) {
        let end = self.traffic.now + time;
        while self.traffic.now < end {
            self.traffic.advance(10 * MILLISECOND);
            self.tick();
            self.request(&failing, one_of);
            self.check();
        }
    }

    fn tick(&mut self) {
        let now = self.traffic.now;
        if self.traffic.set.due().is_some_and(|due| due <= now) {
            let mut next = self.traffic.set.clone();
            for key in next.tick(now) {
                let since = self.since.remove(&key).unwrap();
                self.times.push((key, now - since));
            }
            self.traffic.set = next;
        }
    }

    fn request(&mut self, failing: &impl Fn(u32) -> bool, one_of: u64) {
        let pick = self.traffic.pick(None, &[]);
        let key = pick.endpoint().key;
        *self.requests.entry(key).or_default() += 1;
        let fails = failing(key) && self.traffic.random.below(one_of) == 0;
        self.failed += usize::from(fails);
        let outcome = match fails {
            true => Outcome::Status(503),
            false => Outcome::Status(200),
        };
        let Some(verdict) = pick.record(outcome) else {
            return;
        };
        let mut next = self.traffic.set.clone();
        if next.eject(&verdict, self.traffic.now) == Ejection::Enforced {
            self.since.insert(key, self.traffic.now);
        }
        self.traffic.set = next;
    }

    fn check(&self) {
        let counts = self.traffic.set.ejections();
        let known = (0..).take_while(|key| self.traffic.set.outstanding(key).is_some());
        assert!(counts.active * 100 <= known.count() * self.max_percent);
        let picked = self.traffic.set.pick_this(&0).is_some();
        assert!(picked != self.traffic.set.is_ejected(&0) || counts.panic);
    }
}

fn half() -> OutlierPolicy {
    OutlierPolicy {
        max_ejection_percent: 50,
        ..OutlierPolicy::default()
    }
}

#[test]
fn a_server_that_fails_for_ever_gets_less_and_less() {
    for algorithm in [
        Algorithm::LeastRequest,
        Algorithm::RoundRobin,
        Algorithm::Random,
    ] {
        let mut outage = Outage::new(by(algorithm), half(), 10);
        outage.run(1800 * SECOND, |key| key == 4, 1);
        // Five failures for each time that it is let in.
        assert_eq!(outage.failed, 5 * (outage.times.len() + 1));
        let times: Vec<_> = outage
            .times
            .iter()
            .map(|(_, time)| time.as_secs())
            .collect();
        assert_eq!(times, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300]);
        assert!(outage.times.iter().all(|(key, _)| *key == 4));
    }
}

#[test]
fn one_that_recovers_is_let_in_for_good_and_soon_forgiven() {
    let mut outage = Outage::new(Settings::default(), half(), 10);
    outage.run(100 * SECOND, |key| key == 4, 1);
    assert_eq!(outage.since.len(), 1);
    outage.run(200 * SECOND, |_| false, 1);
    let times: Vec<_> = outage
        .times
        .iter()
        .map(|(_, time)| time.as_secs())
        .collect();
    assert_eq!(times, [30, 60, 90]);
    assert_eq!(outage.traffic.set.ejections().active, 0);
    // As before, the first time.
    outage.run(10 * SECOND, |key| key == 4, 1);
    outage.run(40 * SECOND, |_| false, 1);
    assert_eq!(outage.times.last().unwrap().1.as_secs(), 30);
}

#[test]
fn those_that_are_left_get_their_weights() {
    for algorithm in [Algorithm::LeastRequest, Algorithm::Random] {
        let mut outage = Outage::new(by(algorithm), half(), 9);
        outage.run(5 * SECOND, |key| key < 4, 1);
        assert_eq!(outage.traffic.set.ejections().active, 4);
        let shares = outage.traffic.one_by_one(10_000);
        // Of 4 to 8: 2, 3, 1, 2, 3.
        for key in 4..9 {
            let expected = f64::from(key % 3 + 1) / 11.0;
            assert!(is_share(shares[&key], 10_000, expected), "{shares:?}");
        }
        assert_eq!(shares.len(), 5);
    }
}

#[test]
fn when_all_fail_half_of_them_stay() {
    let mut outage = Outage::new(Settings::default(), half(), 10);
    outage.run(100 * SECOND, |_| true, 1);
    let counts = outage.traffic.set.ejections();
    assert_eq!(counts.active, 5);
    assert!(counts.overflow > 100 && !counts.panic, "{counts:?}");
}

#[test]
fn when_all_fail_and_too_few_would_be_left_all_are_asked() {
    let outliers = OutlierPolicy {
        max_ejection_percent: 100,
        min_health_percent: 30,
        ..OutlierPolicy::default()
    };
    let mut outage = Outage::new(Settings::default(), outliers, 10);
    outage.run(10 * SECOND, |_| true, 1);
    assert!(outage.traffic.set.ejections().panic);
    let shares = outage.traffic.one_by_one(10_000);
    assert_eq!(shares.len(), 10);
    // When they are well all come back, each after its time.
    outage.run(40 * SECOND, |_| false, 1);
    let counts = outage.traffic.set.ejections();
    assert_eq!((counts.active, counts.panic), (0, false));
}

#[test]
fn a_few_failures_eject_nobody() {
    // One of ten fails: five in a row once in 100,000 times.
    let mut outage = Outage::new(Settings::default(), half(), 3);
    outage.run(100 * SECOND, |_| true, 10);
    assert!(outage.failed > 800);
    assert_eq!(outage.traffic.set.ejections().enforced, 0);
}
