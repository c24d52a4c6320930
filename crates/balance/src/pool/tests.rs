use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use super::{Permit, Pool, PoolCounts, PoolLimits};
use crate::budget::{ActiveRetry, RetryLimits};

mod plain;

fn at_most(limit: u32) -> PoolLimits {
    PoolLimits {
        connections: Some(limit),
        pending: Some(limit),
        requests: Some(limit),
        retries: Some(limit),
        retry_share: None,
    }
}

/// As many permits as are granted, up to 100.
fn exhaust(ask: impl Fn() -> Option<Permit>) -> Vec<Permit> {
    std::iter::from_fn(ask).take(100).collect()
}

#[test]
fn every_limit_holds_and_what_exceeds_it_is_counted() {
    let pool = Pool::new(&at_most(3));
    let connections = exhaust(|| pool.connection());
    let pending = exhaust(|| pool.pending());
    let requests = exhaust(|| pool.request());
    let retries: Vec<_> = std::iter::from_fn(|| pool.retries().retry())
        .take(100)
        .collect();
    assert_eq!([connections.len(), pending.len(), requests.len()], [3; 3]);
    assert_eq!(retries.len(), 3);
    let counts = PoolCounts {
        connections: 3,
        pending: 3,
        requests: 3,
        connection_overflow: 1,
        // One for each of the two limits.
        request_overflow: 2,
        retry_overflow: 1,
    };
    assert_eq!(pool.counts(), counts);

    drop((connections, pending, requests, retries));
    let counts = PoolCounts {
        connections: 0,
        pending: 0,
        requests: 0,
        ..counts
    };
    assert_eq!(pool.counts(), counts);
    assert!(pool.connection().is_some() && pool.retries().retry().is_some());
}

#[test]
fn without_limits_nothing_is_refused_but_retries_are_a_share() {
    let pool = Pool::new(&PoolLimits::default());
    assert_eq!(exhaust(|| pool.connection()).len(), 100);
    assert_eq!(exhaust(|| pool.request()).len(), 100);
    let retries: Vec<_> = std::iter::from_fn(|| pool.retries().retry())
        .take(100)
        .collect();
    assert_eq!(retries.len(), 3, "the budget's minimum");
}

#[test]
fn limits_change_in_place() {
    let pool = Pool::new(&at_most(5));
    let mut permits = exhaust(|| pool.request());
    pool.limit(&at_most(2));
    permits.truncate(2);
    assert!(pool.request().is_none(), "as many as there may be");
    permits.truncate(1);
    let one = pool.request();
    assert!(one.is_some() && pool.request().is_none());
    pool.limit(&at_most(0));
    drop((one, permits));
    assert!(pool.request().is_none());
    pool.limit(&PoolLimits::default());
    assert_eq!(exhaust(|| pool.request()).len(), 100);
}

/// Threads that begin at once take and give back; says the most that were out at once, and how many
/// were granted.
fn race<P>(ask: impl Fn() -> Option<P> + Sync) -> (u64, u64) {
    const THREADS: usize = 8;
    const ROUNDS: usize = 2_000;
    let (out, most, granted) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let barrier = Barrier::new(THREADS);
    let work = || {
        barrier.wait();
        for _ in 0..ROUNDS {
            // Counted after the grant and no longer when it ends, so never more than are out.
            let permits: Vec<_> = (0..3).filter_map(|_| ask()).collect();
            let taken = u64::try_from(permits.len()).unwrap();
            let now = out.fetch_add(taken, Ordering::SeqCst) + taken;
            most.fetch_max(now, Ordering::SeqCst);
            granted.fetch_add(taken, Ordering::SeqCst);
            thread::yield_now();
            out.fetch_sub(taken, Ordering::SeqCst);
            drop(permits);
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    (most.into_inner(), granted.into_inner())
}

#[test]
fn threads_together_never_have_more_than_the_limit() {
    for limit in [1, 2, 7] {
        let pool = Pool::new(&at_most(limit));
        for ask in [Pool::connection, Pool::pending, Pool::request] {
            let (most, granted) = race(|| ask(&pool));
            assert!(most <= u64::from(limit), "{most} of {limit}");
            assert!(granted > 0);
        }
        let (most, _) = race(|| -> Option<ActiveRetry> { pool.retries().retry() });
        assert!(most <= u64::from(limit), "{most} retries of {limit}");
        let counts = pool.counts();
        assert_eq!(
            [counts.connections, counts.pending, counts.requests],
            [0; 3],
            "all came back"
        );
    }
}

#[test]
fn every_request_of_threads_is_granted_or_counted_as_refused() {
    let pool = Arc::new(Pool::new(&at_most(2)));
    let (_, granted) = race(|| pool.request());
    assert_eq!(granted + pool.counts().request_overflow, 8 * 2_000 * 3);
}

#[test]
fn of_two_bounds_of_retries_the_stricter_holds() {
    let granted = |retries, retry_share| {
        let pool = Pool::new(&PoolLimits {
            retries,
            retry_share,
            ..PoolLimits::default()
        });
        let _requests: Vec<_> = (0..100).map(|_| pool.retries().request()).collect();
        let granted = std::iter::from_fn(|| pool.retries().retry());
        granted.take(1000).collect::<Vec<_>>().len()
    };
    let share = |percent| {
        Some(RetryLimits {
            percent,
            minimum: 3,
            most: None,
        })
    };
    assert_eq!(granted(None, None), 20);
    assert_eq!(granted(Some(30), None), 30);
    assert_eq!(granted(None, share(50)), 50);
    assert_eq!(granted(Some(30), share(50)), 30);
    assert_eq!(granted(Some(60), share(50)), 50);
    assert_eq!(
        granted(Some(2), share(0)),
        2,
        "less than the share's minimum"
    );
}
