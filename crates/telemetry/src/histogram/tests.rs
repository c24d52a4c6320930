//! Every value is in the bucket that a reader expects.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_bucket_has_the_values_between_its_bounds(
        values in vec(prop_oneof![0..2_000_u64, 0..8_000_000_000_u64], 0..50),
    ) {
        let histogram = Histogram::<1000>::default();
        for value in &values {
            histogram.observe(*value);
        }
        let reading = histogram.read();
        let mut cumulative = 0;
        for (bound, count) in reading.buckets {
            cumulative += count;
            let below = values.iter().filter(|value| **value as f64 / 1000.0 <= bound);
            prop_assert_eq!(cumulative, below.count() as u64, "up to {}", bound);
        }
        prop_assert_eq!(reading.count, values.len() as u64);
        prop_assert_eq!(reading.sum, values.iter().sum::<u64>() as f64 / 1000.0);
    }
}

#[test]
fn a_value_on_a_bound_is_below_it() {
    let histogram = Histogram::<1>::default();
    // All but the first are whole numbers.
    for bound in BOUNDS
        .iter()
        .filter_map(|bound| bound.to_string().parse().ok())
    {
        histogram.observe(bound);
    }
    let counts = histogram.read().buckets.map(|(_, count)| count);
    assert_eq!(counts[0], 0, "0.5 is not a whole number");
    assert!(counts[1..BOUNDS.len()].iter().all(|count| *count == 1));
    assert_eq!(counts[BOUNDS.len()], 0, "nothing is above the last bound");
}
