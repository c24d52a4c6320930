use std::time::Duration;

use super::Backoff;

const HALF: u64 = u64::MAX / 2;

/// The longest wait before each of the first retries, in milliseconds rounded up.
fn bounds(backoff: Backoff) -> Vec<u128> {
    let bound = |retry| backoff.wait(retry, u64::MAX).as_micros().div_ceil(1000);
    (1..=6).map(bound).collect()
}

#[test]
fn waits_double_up_to_the_longest() {
    assert_eq!(bounds(Backoff::default()), [25, 50, 100, 200, 250, 250]);
    let never_wait = Duration::ZERO;
    assert_eq!(Backoff::default().wait(u32::MAX, 0), never_wait);
    assert!(Backoff::default().wait(u32::MAX, u64::MAX) <= Duration::from_millis(250));
    assert!(Backoff::default().wait(0, u64::MAX) <= Duration::from_millis(25));
}

#[test]
fn all_of_a_wait_is_jitter() {
    let half = Backoff::default().wait(1, HALF);
    assert_eq!(half.as_micros().div_ceil(100), 125);
    assert_eq!(Backoff::default().wait(5, 0), Duration::ZERO);
}

#[test]
fn a_least_wait_is_kept() {
    let least = Duration::from_millis(100);
    let backoff = Backoff::at_least(least);
    assert_eq!(bounds(backoff), [200, 400, 800, 1000, 1000, 1000]);
    assert_eq!(backoff.wait(1, 0), least);
    assert_eq!(backoff.wait(9, 0), least);
    let endless = Backoff::at_least(Duration::MAX);
    assert_eq!(endless.wait(3, HALF), Duration::MAX);
}
