use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use super::{ALL, Spread, Strength, parts};
use crate::random::Random;

fn strengths<'a>(left: &'a [usize]) -> impl Iterator<Item = Strength> + 'a {
    left.iter().map(|left| Strength {
        left: *left,
        all: 100,
    })
}

/// What groups get of a hundred requests, of which so many in a hundred endpoints are left.
fn shares(left: &[usize]) -> Vec<u64> {
    let strengths: Vec<_> = strengths(left).map(Strength::of_all).collect();
    let parts = parts(&strengths);
    let together: u64 = parts.iter().sum();
    assert!(together == ALL || left.iter().all(|left| *left == 0));
    // To the nearest.
    parts.iter().map(|part| (part + 50) / 100).collect()
}

#[test]
fn what_a_group_cannot_take_goes_on() {
    let cases: &[(&[usize], &[u64])] = &[
        (&[100, 100], &[100, 0]),
        (&[72, 100], &[100, 0]),
        (&[71, 100], &[99, 1]),
        (&[50, 50], &[70, 30]),
        (&[25, 100], &[35, 65]),
        (&[0, 100], &[0, 100]),
        (&[25, 25, 100], &[35, 35, 30]),
        // Together too weak: each its part of what there is.
        (&[25, 25], &[50, 50]),
        (&[5, 65], &[7, 93]),
        (&[25, 25, 20], &[36, 36, 29]),
        (&[1, 0], &[100, 0]),
        (&[0, 0], &[0, 0]),
    ];
    for (left, expected) in cases {
        assert_eq!(shares(left), *expected, "{left:?}");
    }
}

#[test]
fn as_long_as_the_nearest_takes_all_there_is_no_draw() {
    for left in [&[72, 3][..], &[0, 80], &[0, 0], &[], &[1, 0]] {
        let spread = Spread::nearest_first(strengths(left));
        assert_eq!(spread.first(None, 7), None, "{left:?}");
    }
    let spread = Spread::nearest_first(strengths(&[50, 100]));
    assert!(spread.first(None, 7).is_some());
}

#[test]
fn a_group_without_endpoints_has_no_strength() {
    let empty = Strength { left: 0, all: 0 };
    assert_eq!(empty.of_all(), 0);
    let spread = Spread::by_weight([empty, empty].into_iter(), &[1, 1]);
    assert_eq!(spread.first(None, 7), None);
    assert_eq!(spread.first(Some(7), 7), None);
}

/// Where each of 10,000 hashes leads.
fn by_hash(spread: &Spread) -> Vec<Option<usize>> {
    let mut hashes = Random::new(3);
    (0..10_000)
        .map(|_| spread.first(Some(hashes.any()), 0))
        .collect()
}

fn count(groups: &[Option<usize>], group: usize) -> usize {
    groups.iter().filter(|g| **g == Some(group)).count()
}

#[test]
fn hashes_are_spread_by_weight_and_few_move() {
    let weights = [50, 30, 20];
    let before = by_hash(&Spread::by_weight(strengths(&[100, 100, 100]), &weights));
    for (group, weight) in weights.into_iter().enumerate() {
        let expected = usize::try_from(weight).unwrap() * 100;
        assert!(count(&before, group).abs_diff(expected) < 200);
    }
    let after = by_hash(&Spread::by_weight(strengths(&[25, 100, 100]), &weights));
    let moved = before.iter().zip(&after).filter(|(from, to)| from != to);
    // 50 becomes 17.5 of 67.5.
    assert!(count(&after, 0).abs_diff(2593) < 200);
    assert!(moved.clone().all(|(from, _)| *from == Some(0)));
    assert!(moved.count().abs_diff(2407) < 200);
}

#[test]
fn hashes_that_a_weaker_group_keeps_stay() {
    let before = by_hash(&Spread::nearest_first(strengths(&[60, 100])));
    let after = by_hash(&Spread::nearest_first(strengths(&[30, 100])));
    assert!(count(&before, 0).abs_diff(8400) < 200);
    assert!(count(&after, 0).abs_diff(4200) < 200);
    let mut moved = before.iter().zip(&after).filter(|(from, to)| from != to);
    assert!(moved.all(|(from, to)| (*from, *to) == (Some(0), Some(1))));
}

proptest! {
    #[test]
    fn all_goes_somewhere_and_nothing_to_nobody(
        left in vec(0..=100_usize, 1..8),
        random in any::<u64>(),
    ) {
        let strengths_of: Vec<_> = strengths(&left).map(Strength::of_all).collect();
        let parts = parts(&strengths_of);
        let together: u64 = strengths_of.iter().sum();
        assert_eq!(parts.iter().sum::<u64>(), if together == 0 { 0 } else { ALL });
        for (part, strength) in parts.iter().zip(&strengths_of) {
            assert!(*strength > 0 || *part == 0);
            // None gets more than it can take while all together are strong enough.
            assert!(together < ALL || part <= strength, "{parts:?} of {strengths_of:?}");
        }
        // A farther one gets something only if the nearer ones have all that they can take.
        if let Some(last) = parts.iter().rposition(|part| *part > 0) && together >= ALL {
            assert_eq!(parts[..last], strengths_of[..last]);
        }
        let spread = Spread::nearest_first(strengths(&left));
        if let Some(first) = spread.first(None, random) {
            assert!(parts[first] > 0);
        }
        let weights: Vec<u64> = (1..).take(left.len()).collect();
        let spread = Spread::by_weight(strengths(&left), &weights);
        for first in [spread.first(None, random), spread.first(Some(random), 0)] {
            assert_eq!(first.is_some(), together > 0);
            assert!(first.is_none_or(|first| left[first] > 0));
        }
    }
}
