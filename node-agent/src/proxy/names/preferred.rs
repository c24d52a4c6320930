//! Which resolver a pod's questions go to first: as ever the first one, but for a while after another one
//! answered in its place. Each pod has its own: what a pod cannot reach, others can.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long another one than the first is asked first.
const HELD: Duration = Duration::from_secs(30);

/// The resolver that a pod asks first.
#[derive(Debug, Default)]
pub(crate) struct Preferred(Mutex<Option<(usize, Instant)>>);

impl Preferred {
    /// Its place in the list.
    pub(crate) fn first(&self, now: Instant) -> usize {
        let held = *self.0.lock();
        held.filter(|(_, until)| now < *until)
            .map_or(0, |(number, _)| number)
    }

    /// This one answered. The time is not extended by the answers of the same one: the first is tried again.
    pub(crate) fn answered(&self, number: usize, now: Instant) {
        let mut held = self.0.lock();
        let is_held = held.is_some_and(|(which, until)| which == number && now < until);
        if !is_held {
            *held = (number != 0).then(|| (number, now + HELD));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_one_comes_first_for_a_while_only() {
        let (preferred, start) = (Preferred::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(preferred.first(start), 0);
        preferred.answered(2, start);
        preferred.answered(2, at(29));
        assert_eq!([29, 30].map(|time| preferred.first(at(time))), [2, 0]);
        preferred.answered(2, at(31));
        assert_eq!(preferred.first(at(60)), 2);
        preferred.answered(1, at(60));
        assert_eq!(preferred.first(at(89)), 1);
        preferred.answered(0, at(61));
        assert_eq!(preferred.first(at(61)), 0);
    }
}
