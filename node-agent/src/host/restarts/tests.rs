use super::*;

const QUICK: Duration = Duration::from_millis(200);

#[test]
fn a_few_quick_deaths_are_answered_at_once_then_pauses_grow_to_a_limit() {
    let mut restarts = Restarts::default();
    let pauses: Vec<_> = (0..12).map(|_| restarts.pause_after(QUICK)).collect();
    assert_eq!(pauses[..3], [Duration::ZERO; 3]);
    assert_eq!(pauses[3], FIRST_PAUSE);
    assert!(
        pauses.windows(2).all(|pair| pair[0] <= pair[1]),
        "{pauses:?}"
    );
    assert_eq!(pauses[11], LONGEST_PAUSE);
}

#[test]
fn a_child_that_lived_well_is_started_at_once_again() {
    let mut restarts = Restarts::default();
    for _ in 0..10 {
        restarts.pause_after(QUICK);
    }
    assert_eq!(restarts.pause_after(WELL), Duration::ZERO);
}
