use std::sync::Arc;

use super::{ActiveRetry, RetryBudget, RetryLimits};

/// As many retries as are granted.
fn exhaust(budget: &Arc<RetryBudget>) -> Vec<ActiveRetry> {
    std::iter::from_fn(|| budget.retry()).take(1000).collect()
}

#[test]
fn retries_are_a_share_of_the_requests() {
    let budget = Arc::new(RetryBudget::default());
    // Requests in progress, and how many retries they allow.
    for (requests, retries) in [(0, 3), (1, 3), (19, 3), (20, 4), (100, 20), (104, 20)] {
        let requests: Vec<_> = (0..requests).map(|_| budget.request()).collect();
        assert_eq!(
            exhaust(&budget).len(),
            retries,
            "{} requests",
            requests.len()
        );
    }
}

#[test]
fn a_retry_that_ends_makes_room() {
    let budget = Arc::new(RetryBudget::new(RetryLimits {
        percent: 0,
        minimum: 1,
        most: None,
    }));
    let retry = budget.retry().unwrap();
    assert!(budget.retry().is_none());
    drop(retry);
    assert!(budget.retry().is_some());
}

#[test]
fn retries_that_were_granted_count_when_requests_have_ended() {
    let budget = Arc::new(RetryBudget::default());
    let requests: Vec<_> = (0..50).map(|_| budget.request()).collect();
    let retries = exhaust(&budget);
    assert_eq!(retries.len(), 10);
    drop(requests);
    assert!(budget.retry().is_none());
}

#[test]
fn without_share_and_minimum_there_are_none() {
    let budget = Arc::new(RetryBudget::new(RetryLimits {
        percent: 0,
        minimum: 0,
        most: None,
    }));
    let _request = budget.request();
    assert!(budget.retry().is_none());
}

#[test]
fn limits_change_in_place_and_refusals_are_counted() {
    let budget = Arc::new(RetryBudget::new(RetryLimits::at_most(2)));
    let _requests: Vec<_> = (0..100).map(|_| budget.request()).collect();
    let mut retries = exhaust(&budget);
    assert_eq!((retries.len(), budget.overflow()), (2, 1));
    budget.limit(RetryLimits::default());
    retries.extend(exhaust(&budget));
    assert_eq!((retries.len(), budget.overflow()), (20, 2));
    budget.limit(RetryLimits::at_most(1));
    retries.truncate(1);
    assert!(budget.retry().is_none());
    retries.clear();
    assert!(budget.retry().is_some());
}
