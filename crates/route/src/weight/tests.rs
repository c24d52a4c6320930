use proptest::prelude::*;

use super::*;

const REQUESTS: u64 = 10_000;

/// How often each of some weights is chosen; the numbers are fixed, as those of a seed.
fn chosen(weights: &[u32]) -> Vec<u64> {
    let mut counts = vec![0; weights.len()];
    let places: Vec<(usize, u32)> = weights.iter().copied().enumerate().collect();
    let mut number = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..REQUESTS {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        let (place, _) = choose(&places, |(_, weight)| *weight, number).unwrap();
        counts[*place] += 1;
    }
    counts
}

#[test]
fn shares_are_those_of_the_weights() {
    // Four standard deviations of a binomial distribution.
    let table: [(&[u32], u64, u64); 4] = [
        (&[90, 10], 9_000, 120),
        (&[95, 5], 9_500, 88),
        (&[1, 1], 5_000, 200),
        (&[u32::MAX, u32::MAX], 5_000, 200),
    ];
    for (weights, expected, bound) in table {
        let counts = chosen(weights);
        assert!(
            counts[0].abs_diff(expected) < bound,
            "{weights:?} gave {counts:?}"
        );
        assert_eq!(counts.iter().sum::<u64>(), REQUESTS);
    }
    assert_eq!(chosen(&[0, 7, 0]), [0, REQUESTS, 0]);
}

#[test]
fn without_any_weight_nothing_is_chosen() {
    for items in [&[][..], &[0, 0]] {
        assert_eq!(choose(items, |weight| *weight, 7), None);
    }
}

proptest! {
    #[test]
    fn what_is_chosen_has_a_weight(weights in prop::collection::vec(0..4_u32, 1..5), random: u64) {
        let chosen = choose(&weights, |weight| *weight, random);
        prop_assert_eq!(chosen.is_some(), weights.iter().any(|weight| *weight > 0));
        prop_assert_ne!(chosen, Some(&0));
    }
}
