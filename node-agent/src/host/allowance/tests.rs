use std::time::Duration;

use super::*;

#[test]
fn a_burst_is_granted_up_to_the_limit_then_the_rate_holds() {
    let start = Instant::now();
    let mut allowance = Allowance::new(100, 64, start);
    assert!(allowance.take(64, start));
    assert!(!allowance.take(1, start));
    assert!(!allowance.take(1, start + Duration::from_millis(9)));
    assert!(allowance.take(1, start + Duration::from_millis(10)));
    assert!(!allowance.take(65, start + Duration::from_secs(60)));
    assert!(allowance.take(64, start + Duration::from_secs(60)));
}

#[test]
fn asking_all_the_time_does_not_lose_what_was_earned() {
    let start = Instant::now();
    let mut allowance = Allowance::new(100, 1, start);
    assert!(allowance.take(1, start));
    let granted = (1..=1_000_000u64)
        .step_by(3)
        .filter(|micros| allowance.take(1, start + Duration::from_micros(*micros)))
        .count();
    assert!((95..=100).contains(&granted), "{granted}");
}

#[test]
fn a_clock_that_stands_or_goes_back_gives_nothing() {
    let start = Instant::now() + Duration::from_secs(5);
    let mut allowance = Allowance::new(100, 1, start);
    assert!(allowance.take(1, start));
    assert!(!allowance.take(1, start - Duration::from_secs(5)));
}
