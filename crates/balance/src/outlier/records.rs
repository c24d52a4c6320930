//! Which endpoints are ejected, and how often they were: of those only that ever were and are not
//! forgiven yet, which are few.

use std::time::Instant;

use imbl::OrdMap;

use ambit_model::OutlierPolicy;

use super::Ejecting as _;

/// Which endpoints are ejected, and how often they were. Persistent, as the set is.
#[derive(Clone, Debug)]
pub(crate) struct Records<K: Ord> {
    known: OrdMap<K, Record>,
    ejected: usize,
}

/// One endpoint.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Times that it was ejected, less those that it has been forgiven.
    times: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Since then.
    Ejected(Instant),
    /// Back since then.
    Back(Instant),
}

impl Record {
    /// When it comes back, if it is ejected.
    fn end(&self, settings: &OutlierPolicy) -> Option<Instant> {
        match self.state {
            State::Ejected(since) => Some(
                since
                    .checked_add(settings.time_of(self.times))
                    .unwrap_or(since),
            ),
            State::Back(_) => None,
        }
    }

    /// How often it was ejected, less what it is forgiven by now: one time for every interval that
    /// it has been well.
    fn times(&self, now: Instant, settings: &OutlierPolicy) -> u32 {
        let State::Back(since) = self.state else {
            return self.times;
        };
        let well = now.saturating_duration_since(since);
        let intervals = well.as_nanos().checked_div(settings.interval.as_nanos());
        let forgiven = intervals.and_then(|intervals| u32::try_from(intervals).ok());
        self.times.saturating_sub(forgiven.unwrap_or(u32::MAX))
    }
}

impl<K: Clone + Ord> Records<K> {
    /// How many are ejected.
    pub(crate) fn ejected(&self) -> usize {
        self.ejected
    }

    pub(crate) fn is_ejected(&self, key: &K) -> bool {
        let record = self.known.get(key);
        record.is_some_and(|record| matches!(record.state, State::Ejected(_)))
    }

    /// Those that are ejected.
    pub(crate) fn all_ejected(&self) -> Vec<K> {
        let ejected = |record: &Record| matches!(record.state, State::Ejected(_));
        let known = self.known.iter().filter(|(_, record)| ejected(record));
        known.map(|(key, _)| key.clone()).collect()
    }

    /// Notes an ejection of one that is not ejected.
    pub(crate) fn eject(&mut self, key: &K, now: Instant, settings: &OutlierPolicy) {
        let before = self.known.get(key);
        let before = before.map_or(0, |record| record.times(now, settings));
        let record = Record {
            times: before.saturating_add(u32::from(settings.grows_after(before))),
            state: State::Ejected(now),
        };
        self.known.insert(key.clone(), record);
        self.ejected += 1;
    }

    /// Notes that one is back; says whether it was ejected.
    pub(crate) fn release(&mut self, key: &K, now: Instant) -> bool {
        let Some(record) = self.known.get_mut(key) else {
            return false;
        };
        if matches!(record.state, State::Back(_)) {
            return false;
        }
        record.state = State::Back(now);
        self.ejected -= 1;
        true
    }

    /// Forgets one that is gone.
    pub(crate) fn forget(&mut self, key: &K) {
        let record = self.known.remove(key);
        if record.is_some_and(|record| matches!(record.state, State::Ejected(_))) {
            self.ejected -= 1;
        }
    }

    /// Forgets those that have been forgiven all.
    pub(crate) fn forgive(&mut self, now: Instant, settings: &OutlierPolicy) {
        let clean = |record: &Record| record.times(now, settings) == 0;
        let known = self.known.iter().filter(|(_, record)| clean(record));
        let keys: Vec<_> = known.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.forget(key));
    }

    /// Those whose time is over.
    pub(crate) fn over(&self, now: Instant, settings: &OutlierPolicy) -> Vec<K> {
        let is_over = |record: &Record| record.end(settings).is_some_and(|end| end <= now);
        let known = self.known.iter().filter(|(_, record)| is_over(record));
        known.map(|(key, _)| key.clone()).collect()
    }

    /// When the next one comes back.
    pub(crate) fn due(&self, settings: &OutlierPolicy) -> Option<Instant> {
        let records = self.known.values();
        records.filter_map(|record| record.end(settings)).min()
    }

    /// So many of those that are ejected, whose time is nearest to its end.
    pub(crate) fn nearest_to_end(&self, count: usize, settings: &OutlierPolicy) -> Vec<K> {
        let known = self.known.iter();
        let ends = known.filter_map(|(key, record)| Some((record.end(settings)?, key)));
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        ends.into_iter()
            .take(count)
            .map(|(_, key)| key.clone())
            .collect()
    }
}

// Derived, it would ask for `K: Default`.
impl<K: Ord> Default for Records<K> {
    fn default() -> Self {
        Self {
            known: OrdMap::new(),
            ejected: 0,
        }
    }
}
