//! Ejections in simulation: after any answers, changes and times exactly those endpoints are ejected, and
//! until then, that a plain reckoning in seconds says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ambit_model::OutlierPolicy;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::naive::Set;
use super::{endpoint, unhealthy};
use crate::outlier::{Ejection, Outcome};
use crate::set::Change;
use crate::settings::Settings;

const KEYS: u32 = 8;
/// No ejection takes longer, unless the base time does.
const LONGEST: u64 = 300;

/// A policy, in seconds and percents.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Policy {
    row: u32,
    interval: u64,
    base: u64,
    most: usize,
    least: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: u32,
        is_well: bool,
    },
    Remove(u32),
    /// So many answers of an endpoint, all good or all bad.
    Answers {
        key: u32,
        count: u32,
        are_good: bool,
    },
    Pass(u64),
    Follow(Option<Policy>),
}

fn policy() -> impl Strategy<Value = Policy> {
    let percents = || select(vec![0, 10, 25, 50, 67, 100]);
    let times = (select(vec![1, 7, 10, 60]), select(vec![1, 30, 90, 400]));
    let parts = (1..4_u32, times, percents(), percents());
    parts.prop_map(|(row, (interval, base), most, least)| Policy {
        row,
        interval,
        base,
        most,
        least,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let answers = (0..KEYS, 1..4_u32, select(vec![true, false, false, false]));
    let put = (0..KEYS, select(vec![true, true, false]));
    prop_oneof![
        2 => put.prop_map(|(key, is_well)| Step::Put { key, is_well }),
        1 => (0..KEYS).prop_map(Step::Remove),
        12 => answers.prop_map(|(key, count, are_good)| Step::Answers { key, count, are_good }),
        5 => (0..200_u64).prop_map(Step::Pass),
        1 => policy().prop_map(|policy| Step::Follow(Some(policy))),
        1 => Just(Step::Follow(None)),
    ]
}

impl Policy {
    fn settings(this: Option<Self>) -> Settings {
        let percent = |number| u32::try_from(number).unwrap();
        let outliers = this.map(|policy| OutlierPolicy {
            consecutive_5xx: policy.row,
            interval: Duration::from_secs(policy.interval),
            base_ejection_time: Duration::from_secs(policy.base),
            max_ejection_percent: percent(policy.most),
            min_health_percent: percent(policy.least),
            ..OutlierPolicy::default()
        });
        Settings {
            outliers,
            ..Settings::default()
        }
    }

    /// How long an ejection takes: longer each time, up to a bound.
    fn time(self, ejection: u64) -> u64 {
        let times = (1..=ejection).map(|n| (n * self.base).min(self.base.max(LONGEST)));
        times.max().unwrap()
    }

    /// The first ejection that takes as long as any, and the one after it: no more are counted.
    fn most_counted(self) -> u64 {
        (1..).find(|n| self.time(*n) == self.time(n + 1)).unwrap() + 1
    }
}

/// An endpoint, as far as it is reckoned.
#[derive(Clone, Copy, Debug, Default)]
struct One {
    is_well: bool,
    /// Bad answers in a row.
    bad: u32,
    /// Ejections that are not forgiven.
    count: u64,
    /// Since when it is out.
    out: Option<u64>,
    /// Since when it is back.
    back: u64,
}

/// The reckoning.
#[derive(Debug, Default)]
struct Plain {
    now: u64,
    policy: Option<Policy>,
    all: BTreeMap<u32, One>,
    enforced: u64,
    overflow: u64,
}

impl Plain {
    fn fit(&self) -> usize {
        self.all.values().filter(|one| one.is_well).count()
    }

    fn out(&self) -> Vec<u32> {
        let out = self.all.iter().filter(|(_, one)| one.out.is_some());
        out.map(|(key, _)| *key).collect()
    }

    fn most(&self) -> usize {
        self.policy.map_or(0, |policy| policy.most) * self.fit() / 100
    }

    fn panics(&self) -> bool {
        let least = self.policy.map_or(0, |policy| policy.least);
        (self.fit() - self.out().len()) * 100 < least * self.fit()
    }

    /// Whether a request can go there.
    fn is_open(&self, key: u32) -> bool {
        let one = self.all.get(&key);
        one.is_some_and(|one| one.is_well && (one.out.is_none() || self.panics()))
    }

    fn end(&self, key: u32) -> Option<u64> {
        let one = &self.all[&key];
        Some(one.out? + self.policy?.time(one.count))
    }

    fn due(&self) -> Option<u64> {
        self.out().into_iter().filter_map(|key| self.end(key)).min()
    }

    fn bring_back(&mut self, key: u32) {
        let now = self.now;
        let one = self.all.get_mut(&key).unwrap();
        (one.out, one.back, one.bad) = (None, now, 0);
    }

    /// What is forgiven: one ejection for every interval since it is back.
    fn forgiven(&self, one: &One) -> u64 {
        let policy = self.policy.filter(|_| one.out.is_none());
        policy.map_or(0, |policy| (self.now - one.back) / policy.interval)
    }

    /// What follows from any change.
    fn settle(&mut self) {
        if self.policy.is_none() {
            for one in self.all.values_mut() {
                let was_out = one.out.take().is_some();
                one.count = 0;
                one.bad = if was_out { 0 } else { one.bad };
            }
        }
        while self.out().len() > self.most() {
            let next = self
                .out()
                .into_iter()
                .min_by_key(|key| (self.end(*key), *key));
            self.bring_back(next.unwrap());
        }
        let all: Vec<(u32, One)> = self.all.iter().map(|(key, one)| (*key, *one)).collect();
        for (key, one) in all {
            if self.forgiven(&one) >= one.count && one.out.is_none() {
                self.all.get_mut(&key).unwrap().count = 0;
            }
        }
    }

    fn put(&mut self, key: u32, is_well: bool) {
        self.all.entry(key).or_default().is_well = is_well;
        if !is_well && self.all[&key].out.is_some() {
            self.bring_back(key);
        }
        self.settle();
    }

    /// A bad answer; says what becomes of the endpoint if that was one too many.
    fn bad(&mut self, key: u32) -> Option<Ejection> {
        let policy = self.policy?;
        let one = self.all.get_mut(&key).unwrap();
        one.bad += 1;
        if one.bad < policy.row {
            return None;
        }
        one.bad = 0;
        if self.all[&key].out.is_some() {
            return Some(Ejection::Void);
        }
        if self.out().len() == self.most() {
            self.overflow += 1;
            return Some(Ejection::Overflow);
        }
        self.enforced += 1;
        let forgiven = self.forgiven(&self.all[&key]);
        let now = self.now;
        let one = self.all.get_mut(&key).unwrap();
        let before = one.count.saturating_sub(forgiven);
        one.count = (before + 1).min(policy.most_counted().max(before));
        one.out = Some(now);
        self.settle();
        Some(Ejection::Enforced)
    }
}

/// The set beside the reckoning.
struct Both {
    set: Set,
    plain: Plain,
    start: Instant,
}

impl Both {
    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.plain.now)
    }

    fn take(&mut self, step: &Step) {
        let now = self.now();
        match *step {
            Step::Put { key, is_well } => {
                let put = if is_well {
                    endpoint(key, "a")
                } else {
                    unhealthy(key, "a")
                };
                self.set.apply([Change::Put(put)], now);
                self.plain.put(key, is_well);
            }
            Step::Remove(key) => {
                self.set.apply([Change::Remove(key)], now);
                self.plain.all.remove(&key);
                self.plain.settle();
            }
            Step::Answers {
                key,
                count,
                are_good,
            } => {
                for _ in 0..count {
                    self.answer(key, are_good);
                    self.check();
                }
            }
            Step::Pass(seconds) => self.pass(seconds),
            Step::Follow(policy) => {
                self.set.configure(Policy::settings(policy), now);
                if self.plain.policy != policy {
                    self.plain.policy = policy;
                    self.plain.settle();
                }
            }
        }
    }

    fn answer(&mut self, key: u32, is_good: bool) {
        let pick = self.set.pick_this(&key);
        assert_eq!(pick.is_some(), self.plain.is_open(key), "{key}");
        let Some(pick) = pick else { return };
        if is_good {
            assert!(pick.record(Outcome::Status(200)).is_none());
            self.plain.all.get_mut(&key).unwrap().bad = 0;
            return;
        }
        let verdict = pick.record(Outcome::Status(500));
        let found = verdict.map(|verdict| self.set.eject(&verdict, self.now()));
        assert_eq!(found, self.plain.bad(key), "{key}");
    }

    /// Time passes, and who is due comes back then, as with a writer that sleeps until it is.
    fn pass(&mut self, seconds: u64) {
        let end = self.plain.now + seconds;
        while let Some(due) = self.plain.due().filter(|due| *due <= end) {
            self.plain.now = due.max(self.plain.now);
            let out = self.plain.out().into_iter();
            let over = out.filter(|key| self.plain.end(*key) <= Some(self.plain.now));
            let over: Vec<u32> = over.collect();
            assert_eq!(self.set.tick(self.now()), over);
            over.into_iter().for_each(|key| self.plain.bring_back(key));
            self.plain.settle();
            self.check();
        }
        self.plain.now = end;
    }

    fn check(&self) {
        let out = (0..KEYS).filter(|key| self.set.is_ejected(key));
        assert_eq!(out.collect::<Vec<_>>(), self.plain.out());
        let due = self.set.due().map(|due| (due - self.start).as_secs());
        assert_eq!(due, self.plain.due());
        let counts = self.set.ejections();
        assert_eq!(counts.panic, self.plain.panics());
        let counts = (counts.enforced, counts.overflow);
        assert_eq!(counts, (self.plain.enforced, self.plain.overflow));
        assert!(self.plain.out().len() <= self.plain.most());
        for key in 0..KEYS {
            assert_eq!(self.set.pick_this(&key).is_some(), self.plain.is_open(key));
        }
    }
}

proptest! {
    #[test]
    fn ejections_are_those_of_a_plain_reckoning(
        policy in policy(),
        well in 1..=KEYS,
        steps in vec(step(), 0..60),
        random in any::<u64>(),
    ) {
        let mut both = Both {
            set: Set::new(Policy::settings(Some(policy)), random),
            plain: Plain { policy: Some(policy), ..Plain::default() },
            start: Instant::now(),
        };
        for key in 0..well {
            both.take(&Step::Put { key, is_well: true });
        }
        for step in &steps {
            both.take(step);
            both.check();
        }
        // Whatever was, all that are well are back when their time is over.
        both.pass(1000);
        both.check();
        assert_eq!(both.plain.out(), [] as [u32; 0]);
    }
}
