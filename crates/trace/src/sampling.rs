//! Which traces are recorded.

use crate::context::{Context, TraceId};

/// The whole of [`Sampling::below`], beyond any half of an id.
const WHOLE: u128 = 1 << 64;

/// A number is no percentage.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is no percentage: write a number from 0 to 100")]
pub struct SamplingError(f64);

/// The share of traces that are recorded, of those that nobody has decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// A trace is recorded if the lower half of its id is below this.
    below: u128,
}

impl Sampling {
    /// None.
    pub const NONE: Self = Self { below: 0 };

    /// So many of a hundred.
    ///
    /// # Errors
    ///
    /// If it is not a number from 0 to 100.
    pub fn percent(percent: f64) -> Result<Self, SamplingError> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(SamplingError(percent));
        }
        // Steps of a millionth of a percent: finer than anybody can measure.
        const STEPS: f64 = 1e6;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 10^8"
        )]
        let steps = (percent * STEPS).round() as u128;
        Ok(Self {
            below: steps * (WHOLE / 100_000_000) + steps * (WHOLE % 100_000_000) / 100_000_000,
        })
    }

    /// Whether a trace is recorded that nobody has decided about. All who are asked say the same.
    pub fn takes(self, trace: TraceId) -> bool {
        trace.lower() < self.below
    }

    /// Whether a request is recorded that comes from this place, or from nowhere with a new trace.
    pub fn decide(self, from: Option<&Context>, trace: TraceId) -> bool {
        let decided = from.and_then(|from| from.sampled);
        decided.unwrap_or_else(|| self.takes(trace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_taken_as_is_said() {
        for percent in [0.0, 0.1, 1.0, 10.0, 33.3, 50.0, 99.9, 100.0] {
            let sampling = Sampling::percent(percent).unwrap();
            // Evenly over all ids, which random ones are.
            let step = u64::MAX / 100_000;
            let taken = (0..100_000_u64)
                .filter(|index| sampling.takes(TraceId::new(u128::from(index * step + step / 2))))
                .count();
            let share = taken as f64 / 1000.0;
            assert!((share - percent).abs() < 0.002, "{share} of {percent}");
        }
        let all = Sampling::percent(100.0).unwrap();
        assert!(all.takes(TraceId::new(u128::MAX)));
        assert!(!Sampling::NONE.takes(TraceId::new(1 << 64)));
    }

    #[test]
    fn the_upper_half_of_an_id_does_not_matter() {
        // B3 has ids of 64 bits, which some fill up on the way.
        let half = Sampling::percent(50.0).unwrap();
        let (short, long) = (TraceId::new(7), TraceId::new(7 | 99 << 64));
        assert_eq!(half.takes(short), half.takes(long));
    }

    #[test]
    fn what_the_caller_decided_holds() {
        let trace = TraceId::new(5);
        let from = |sampled| Context {
            trace,
            span: crate::SpanId::new(1),
            sampled,
        };
        let (none, all) = (Sampling::NONE, Sampling::percent(100.0).unwrap());
        assert!(none.decide(Some(&from(Some(true))), trace));
        assert!(!all.decide(Some(&from(Some(false))), trace));
        assert!(all.decide(Some(&from(None)), trace));
        assert!(!none.decide(None, trace));
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for wrong in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert!(Sampling::percent(wrong).is_err());
        }
    }
}
