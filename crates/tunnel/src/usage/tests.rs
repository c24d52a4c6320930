use super::*;

fn usage() -> Arc<Usage> {
    Arc::new(Usage::new(Arc::default()))
}

#[test]
fn leases_are_counted_and_limited() {
    let usage = usage();
    let leases: Vec<Lease> = (0..3).filter_map(|_| usage.lease(3)).collect();
    assert_eq!((leases.len(), usage.streams()), (3, 3));
    assert!(usage.lease(3).is_none());
    drop(leases);
    assert_eq!(usage.streams(), 0);
    assert!(usage.lease(3).is_some());
}

#[test]
fn a_retired_connection_takes_no_streams_but_counts_those_it_has() {
    let usage = usage();
    let lease = usage.lease(10);
    usage.retire();
    assert!(!usage.is_open());
    assert!(usage.lease(10).is_none());
    assert_eq!(usage.streams(), 1);
    drop(lease);
    assert_eq!(usage.streams(), 0);
}

#[test]
fn a_connection_is_idle_from_its_last_stream_on() {
    let usage = usage();
    let minute = Duration::from_secs(60);
    let lease = usage.lease(10);
    assert!(!usage.retire_if_idle(minute, usage.born + minute * 2));
    drop(lease);
    // As if the last stream had ended after a minute.
    usage.idle_since.store(60_000, Ordering::Relaxed);
    assert!(!usage.retire_if_idle(minute, usage.born + minute * 3 / 2));
    assert!(usage.retire_if_idle(minute, usage.born + minute * 2));
    assert!(usage.lease(10).is_none());
}

#[test]
fn the_rate_is_that_of_late() {
    let usage = usage();
    let at = |millis| usage.born + Duration::from_millis(millis);
    let moved = &usage.watch().moved;
    moved.store(5_000_000, Ordering::Relaxed);
    assert_eq!(usage.rate(at(500)), 10_000_000);
    // Too soon for another sample.
    moved.store(50_000_000, Ordering::Relaxed);
    assert_eq!(usage.rate(at(510)), 10_000_000);
    moved.store(5_000_000, Ordering::Relaxed);
    assert_eq!(usage.rate(at(1500)), 0);
}
