//! Endpoints that come and go while requests are outstanding.

use std::collections::BTreeMap;

use ambit_balance::{Algorithm, Change, Endpoint, Settings};
use ambit_model::Health;

use crate::traffic::{MILLISECOND, Server, Traffic, by, server};

#[test]
fn an_endpoint_goes_while_requests_are_outstanding_there() {
    let mut traffic = Traffic::new(Settings::default(), vec![server(0, 1), server(1, 1)]);
    let outstanding: Vec<_> = (0..10).map(|_| traffic.pick(None, &[])).collect();
    assert!(outstanding.iter().any(|pick| pick.endpoint().key == 0));
    traffic.apply(vec![Change::Remove(0)]);
    assert_eq!(traffic.set.outstanding(&0), None);
    assert_eq!(traffic.one_by_one(100), BTreeMap::from([(1, 100)]));

    // One of the same name is another one: what the first had is not held against it.
    traffic.apply(vec![Change::Put(server(0, 1))]);
    assert_eq!(traffic.set.outstanding(&0), Some(0));
    drop(outstanding);
    assert_eq!(traffic.set.outstanding(&0), Some(0));
    assert_eq!(traffic.set.outstanding(&1), Some(0));
}

/// Changes one of 50 endpoints, by numbers of the traffic.
fn change(traffic: &mut Traffic, plain: &mut BTreeMap<u32, Server>) {
    let key = u32::try_from(traffic.random.below(50)).unwrap();
    let weight = u32::try_from(traffic.random.below(5)).unwrap();
    let health = match traffic.random.below(4) {
        0 => Health::Unhealthy,
        _ => Health::Healthy,
    };
    let endpoint = Endpoint {
        health,
        ..server(key, weight)
    };
    // The first one stays as it is, so that there is always one to go to.
    if key == 0 {
        return;
    }
    if traffic.random.below(4) == 0 {
        plain.remove(&key);
        traffic.apply(vec![Change::Remove(key)]);
    } else {
        plain.insert(key, endpoint.clone());
        traffic.apply(vec![Change::Put(endpoint)]);
    }
}

#[test]
fn no_request_goes_to_an_endpoint_that_is_gone_or_ill() {
    for algorithm in [
        Algorithm::LeastRequest,
        Algorithm::RoundRobin,
        Algorithm::Random,
    ] {
        let mut traffic = Traffic::new(by(algorithm), vec![server(0, 1)]);
        let mut plain = BTreeMap::from([(0, server(0, 1))]);
        for _ in 0..5_000 {
            change(&mut traffic, &mut plain);
            traffic.advance(MILLISECOND);
            let key = traffic.request();
            let healthy = plain.get(&key).map(|e| e.health) == Some(Health::Healthy);
            assert!(healthy, "{key} with {algorithm:?}");
        }
        let busy = |traffic: &Traffic| -> u64 {
            let outstanding = plain
                .keys()
                .map(|key| traffic.set.outstanding(key).unwrap());
            outstanding.sum()
        };
        assert!(busy(&traffic) > 0);
        traffic.advance(1_000 * MILLISECOND);
        assert_eq!(busy(&traffic), 0, "all have ended");
    }
}
