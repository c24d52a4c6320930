//! Endpoints that are not equally quick.

use ambit_balance::Algorithm;

use crate::traffic::{MILLISECOND, Server, Traffic, by, server};

const ENDPOINTS: u32 = 20;

/// Servers of which the first takes ten times as long.
fn one_slow() -> Vec<Server> {
    let mut servers: Vec<_> = (0..ENDPOINTS).map(|key| server(key, 1)).collect();
    servers[0].payload *= 10;
    servers
}

/// The average of the largest number of outstanding requests at one endpoint, and how many of
/// 10,000 requests the slow one got.
fn spread(algorithm: Algorithm) -> (f64, usize) {
    let mut traffic = Traffic::new(by(algorithm), one_slow());
    let (mut largest, mut slow) = (0, 0);
    for _ in 0..10_000 {
        traffic.advance(MILLISECOND / 2);
        slow += usize::from(traffic.request() == 0);
        let outstanding = (0..ENDPOINTS).filter_map(|key| traffic.set.outstanding(&key));
        largest += outstanding.max().unwrap();
    }
    (largest as f64 / 10_000.0, slow)
}

#[test]
fn a_slow_endpoint_does_not_gather_requests() {
    let (random, of_random) = spread(Algorithm::Random);
    let (least, of_least) = spread(Algorithm::LeastRequest);
    assert!(random > 8.0, "the baseline: {random}");
    assert!(
        least < random / 2.5,
        "{least} outstanding, at random {random}"
    );
    assert!(
        of_least < of_random / 2,
        "{of_least} requests, at random {of_random}"
    );
}

#[test]
fn outstanding_requests_follow_the_weights() {
    let servers = vec![server(0, 1), server(1, 3)];
    let mut traffic = Traffic::new(by(Algorithm::LeastRequest), servers);
    let mut sums = [0, 0];
    for _ in 0..10_000 {
        traffic.advance(MILLISECOND / 4);
        traffic.request();
        for (key, sum) in (0..).zip(&mut sums) {
            *sum += traffic.set.outstanding(&key).unwrap();
        }
    }
    let ratio = sums[1] as f64 / sums[0] as f64;
    assert!((2.7..3.3).contains(&ratio), "{ratio}");
}

#[test]
fn an_endpoint_that_is_stuck_gets_hardly_anything() {
    let mut servers: Vec<_> = (0..4).map(|key| server(key, 1)).collect();
    servers[0].payload *= 1_000_000;
    let mut traffic = Traffic::new(by(Algorithm::LeastRequest), servers);
    let shares = traffic.run(10_000, MILLISECOND);
    assert!(shares[&0] < 100, "{shares:?}");
}

#[test]
fn of_two_endpoints_the_idle_one_is_picked() {
    let servers = vec![server(0, 1), server(1, 1)];
    let mut traffic = Traffic::new(by(Algorithm::LeastRequest), servers);
    for _ in 0..100 {
        let [first, second] = [0, 1].map(|_| traffic.pick(None, &[]));
        assert_ne!(first.endpoint().key, second.endpoint().key);
    }
}
