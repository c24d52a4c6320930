//! Ejections: what a verdict makes of the set, and how endpoints come back.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{EndpointSet, Standing};
use crate::outlier::{Ejecting as _, Ejection, EjectionCounts, NEVER, Verdict};
use crate::spread::Spread;

impl<K: Clone + Hash + Ord, T> EndpointSet<K, T> {
    /// Ejects an endpoint, unless that would be one too many.
    pub fn eject(&mut self, verdict: &Verdict<K, T>, now: Instant) -> Ejection {
        let settings = Arc::clone(&self.settings);
        let (Some(outliers), key) = (&settings.outliers, &verdict.member.endpoint.key) else {
            return Ejection::Void;
        };
        if !self.is_in_force(verdict) || self.records.is_ejected(key) {
            return Ejection::Void;
        }
        if self.records.ejected() >= outliers.most_of(self.fit()) {
            self.watch.overflow.fetch_add(1, Ordering::Relaxed);
            return Ejection::Overflow;
        }
        self.watch.enforced.fetch_add(1, Ordering::Relaxed);
        self.records.eject(key, now, outliers);
        self.place_anew(key);
        self.settle(now);
        Ejection::Enforced
    }

    /// Brings those back whose time is over; says which. It is called when that is
    /// [`due`](Self::due): called late, endpoints stay out for longer.
    pub fn tick(&mut self, now: Instant) -> Vec<K> {
        let settings = Arc::clone(&self.settings);
        let Some(outliers) = &settings.outliers else {
            return Vec::new();
        };
        let back = self.records.over(now, outliers);
        back.iter().for_each(|key| self.release(key, now));
        self.settle(now);
        back
    }

    /// When the next endpoint comes back.
    pub fn due(&self) -> Option<Instant> {
        let outliers = self.settings.outliers.as_ref()?;
        self.records.due(outliers)
    }

    /// Whether an endpoint is ejected, even if that is ignored.
    pub fn is_ejected(&self, key: &K) -> bool {
        self.records.is_ejected(key)
    }

    /// Ejections there are, and have been.
    pub fn ejections(&self) -> EjectionCounts {
        EjectionCounts {
            active: self.records.ejected(),
            enforced: self.watch.enforced.load(Ordering::Relaxed),
            overflow: self.watch.overflow.load(Ordering::Relaxed),
            panic: self.panic,
        }
    }

    /// Keeps the percentages, and what each group gets, after any change.
    pub(super) fn settle(&mut self, now: Instant) {
        let settings = Arc::clone(&self.settings);
        let outliers = settings.outliers.as_ref().unwrap_or(&NEVER);
        let fit = self.fit();
        let excess = self.records.ejected().saturating_sub(outliers.most_of(fit));
        if excess > 0 {
            let back = self.records.nearest_to_end(excess, outliers);
            back.iter().for_each(|key| self.release(key, now));
        }
        let panic = outliers.panics_at(self.records.ejected(), fit);
        if std::mem::replace(&mut self.panic, panic) != panic {
            for key in self.records.all_ejected() {
                self.place_anew(&key);
            }
        }
        self.records.forgive(now, outliers);
        let preference = &settings.preference;
        let minds_illness = preference.minds_illness();
        let groups = self.groups.iter().map(|g| g.strength(minds_illness));
        self.spread = match preference.weights() {
            Some(weights) => Spread::by_weight(groups, &weights),
            None => Spread::nearest_first(groups),
        };
    }

    fn release(&mut self, key: &K, now: Instant) {
        if self.records.release(key, now) {
            if let Some(known) = self.known.get(key) {
                known.member.live.faults.clear();
            }
            self.place_anew(key);
        }
    }

    /// Whether a verdict is of an endpoint that could be picked, and not of another of its name.
    fn is_in_force(&self, verdict: &Verdict<K, T>) -> bool {
        let known = self.known.get(&verdict.member.endpoint.key);
        known.is_some_and(|known| {
            Arc::ptr_eq(&known.member.live, &verdict.member.live)
                && !matches!(known.standing, Standing::Unfit(_))
        })
    }

    /// How many endpoints could be picked if none were ejected.
    fn fit(&self) -> usize {
        self.ready() + self.benched()
    }
}
