//! What holds after any changes, failures and times that pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ambit_model::LoadBalancingMode::Failover;
use ambit_model::{Health, OutlierPolicy};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;

use super::naive::{Plain, Set, change, take};
use super::{ALGORITHMS, ask, by_zone, modes};
use crate::endpoint::Pick;
use crate::outlier::{Ejection, Outcome};
use crate::set::Change;
use crate::settings::Settings;

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<Change<u32, ()>>),
    Configure(Box<Settings>),
    /// A failure of this endpoint, by a pick of now or the last one.
    Fail(u32, bool),
    /// So many seconds pass, and the writer notices or not.
    Pass(u64, bool),
}

fn settings() -> impl Strategy<Value = Settings> {
    let percents = || select(vec![0, 10, 30, 50, 80, 100]);
    let kinds = (
        (modes(), any::<bool>(), select(ALGORITHMS.to_vec())),
        (percents(), percents(), 0..50_u64),
    );
    let some = kinds.prop_map(
        |((mode, allow_unhealthy, algorithm), (max, min, base))| Settings {
            algorithm,
            allow_unhealthy,
            outliers: Some(OutlierPolicy {
                consecutive_5xx: 1,
                max_ejection_percent: max,
                min_health_percent: min,
                base_ejection_time: Duration::from_secs(base),
                ..OutlierPolicy::default()
            }),
            ..by_zone(mode)
        },
    );
    prop_oneof![9 => some, 1 => Just(by_zone(Failover))]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => vec(change(4, 8, 4), 1..4).prop_map(Step::Apply),
        1 => settings().prop_map(|settings| Step::Configure(Box::new(settings))),
        6 => (0..8_u32, any::<bool>()).prop_map(|(key, late)| Step::Fail(key, late)),
        3 => (0..60_u64, any::<bool>()).prop_map(|(time, noticed)| Step::Pass(time, noticed)),
    ]
}

/// A set beside what is known of it.
struct World {
    set: Set,
    settings: Settings,
    plain: Plain,
    now: Instant,
    /// The last pick of each endpoint.
    picks: BTreeMap<u32, Pick<u32, ()>>,
    enforced: u64,
    overflow: u64,
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Apply(changes) => {
                self.set.apply(changes.clone(), self.now);
                for change in changes {
                    take(&mut self.plain, change);
                }
            }
            Step::Configure(settings) => {
                self.set.configure((*settings).clone(), self.now);
                self.settings = *settings;
            }
            Step::Fail(key, late) => self.fail(key, late),
            Step::Pass(seconds, noticed) => {
                self.now += Duration::from_secs(seconds);
                if noticed {
                    self.tick();
                }
            }
        }
    }

    fn fail(&mut self, key: u32, late: bool) {
        let now = self.set.pick_this(&key);
        let Some(pick) = self.picks.get(&key).filter(|_| late).or(now.as_ref()) else {
            return;
        };
        let Some(verdict) = pick.record(Outcome::Status(503)) else {
            assert!(self.settings.outliers.is_none());
            return;
        };
        let before = self.ejected();
        let could = self.fit().contains(&key) && !before.contains(&key);
        let most = self.most();
        match self.set.eject(&verdict, self.now) {
            Ejection::Enforced => {
                assert!(could && before.len() < most);
                self.enforced += 1;
            }
            Ejection::Overflow => {
                assert!(could && before.len() == most);
                self.overflow += 1;
            }
            // A late one may be of another endpoint of that name.
            Ejection::Void => assert!(!could || late),
        }
        if let Some(now) = now {
            self.picks.insert(key, now);
        }
    }

    fn tick(&mut self) {
        let before = self.ejected();
        let back: BTreeSet<_> = self.set.tick(self.now).into_iter().collect();
        assert!(back.is_subset(&before));
        assert!(self.ejected().is_subset(&before));
        assert!(self.ejected().is_disjoint(&back));
        assert!(self.set.due().is_none_or(|due| due > self.now));
    }

    fn ejected(&self) -> BTreeSet<u32> {
        (0..8).filter(|key| self.set.is_ejected(key)).collect()
    }

    /// All that could be picked were none ejected.
    fn fit(&self) -> BTreeSet<u32> {
        let fit = self.plain.values().filter(|endpoint| {
            let well = endpoint.health == Health::Healthy || self.settings.allow_unhealthy;
            well && self.settings.preference.rank(&endpoint.place).is_some()
        });
        fit.map(|endpoint| endpoint.key).collect()
    }

    fn most(&self) -> usize {
        let outliers = self.settings.outliers.as_ref();
        let percent = outliers.map_or(0, |outliers| outliers.max_ejection_percent);
        self.fit().len() * usize::try_from(percent).unwrap() / 100
    }

    fn check(&self, random: u64) {
        let (fit, ejected) = (self.fit(), self.ejected());
        assert!(ejected.is_subset(&fit), "{ejected:?} of {fit:?}");
        assert!(ejected.len() <= self.most(), "{ejected:?} of {fit:?}");
        assert_eq!(ejected.is_empty(), self.set.due().is_none());
        let counts = self.set.ejections();
        assert_eq!(counts.active, ejected.len());
        assert_eq!(
            (counts.enforced, counts.overflow),
            (self.enforced, self.overflow)
        );
        let outliers = self.settings.outliers.as_ref();
        let least = outliers.map_or(0, |outliers| outliers.min_health_percent);
        let least = fit.len() * usize::try_from(least).unwrap();
        assert_eq!(counts.panic, (fit.len() - ejected.len()) * 100 < least);
        let open = match counts.panic {
            true => fit,
            false => &fit - &ejected,
        };
        for key in 0..8 {
            assert_eq!(self.set.pick_this(&key).is_some(), open.contains(&key));
        }
        let mut tried = Vec::new();
        for _ in &open {
            tried.push(self.set.pick(&ask(random, &tried)).unwrap().endpoint().key);
        }
        assert_eq!(tried.iter().copied().collect::<BTreeSet<_>>(), open);
        if let Err(shortage) = self.set.pick(&ask(random, &tried)) {
            assert!(open.is_empty());
            assert_eq!(shortage.ejected, ejected.len());
        }
    }
}

proptest! {
    #[test]
    fn percentages_hold_picks_are_of_those_left_and_all_come_back(
        settings in settings(),
        first in vec(change(4, 8, 4), 0..12),
        steps in vec(step(), 0..30),
        random in any::<u64>(),
    ) {
        let mut world = World {
            set: Set::new(settings.clone(), random),
            settings,
            plain: Plain::new(),
            now: Instant::now(),
            picks: BTreeMap::new(),
            enforced: 0,
            overflow: 0,
        };
        world.take(Step::Apply(first));
        for step in steps {
            world.take(step);
            world.check(random);
        }
        while let Some(due) = world.set.due() {
            world.now = world.now.max(due);
            let before = world.ejected().len();
            world.tick();
            world.check(random);
            assert!(world.ejected().len() < before);
        }
    }
}
