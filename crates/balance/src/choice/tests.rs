use super::WeightedChoice;

/// How often each of `count` is chosen, by numbers that lie evenly.
fn shares(weights: &[u32], draws: u64) -> Vec<usize> {
    let choice = WeightedChoice::new(weights.iter().copied());
    let mut shares = vec![0; weights.len()];
    for draw in 0..draws {
        shares[choice
            .pick((2 * draw + 1) * (u64::MAX / (2 * draws)))
            .unwrap()] += 1;
    }
    shares
}

#[test]
fn shares_are_the_weights() {
    assert_eq!(shares(&[90, 10], 1000), [900, 100]);
    assert_eq!(shares(&[1, 0, 3], 400), [100, 0, 300]);
    assert_eq!(shares(&[0, 0, 7, 0], 10), [0, 0, 10, 0]);
    assert_eq!(shares(&[u32::MAX, u32::MAX], 10), [5, 5]);
}

#[test]
fn the_ends_of_the_numbers_lead_to_the_ends_of_the_weights() {
    let choice = WeightedChoice::new([0, 1, 1, 0]);
    assert_eq!(choice.pick(0), Some(1));
    assert_eq!(choice.pick(u64::MAX), Some(2));
}

#[test]
fn without_a_weight_there_is_no_choice() {
    assert_eq!(WeightedChoice::new([]).pick(7), None);
    assert_eq!(WeightedChoice::new([0, 0]).pick(7), None);
}
