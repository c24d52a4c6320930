//! Endpoints that fail are ejected, never too many of them, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambit_e2e::scripted::{Deed, Scripted};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use super::{apply, await_endpoints, await_series, contract, endpoints, series};
use crate::fronted::Fronted;

const ACTIVE: &str = "envoy_cluster_outlier_detection_ejections_active";
const ENFORCED: &str = "envoy_cluster_outlier_detection_ejections_enforced_total";
const PODS: [&str; 4] = ["one", "two", "three", "four"];

/// An endpoint, and whether it fails.
struct Endpoint {
    server: Scripted,
    fails: Arc<AtomicBool>,
}

fn start(fronted: &Fronted, name: &'static str) -> Endpoint {
    let fails = Arc::new(AtomicBool::new(false));
    let script = Arc::clone(&fails);
    let server = Scripted::start(&fronted.pod(name), 8080, move |_, _| {
        match script.load(Ordering::Relaxed) {
            true => Deed::answer(500, "badly"),
            false => Deed::answer(200, name),
        }
    });
    let server = server.unwrap();
    Endpoint { server, fails }
}

/// Sends requests until so many endpoints are ejected.
fn until_ejected(fronted: &Fronted, count: f64) {
    let ejected = wait_until("the ejections", SPREAD, || {
        for _ in 0..8 {
            fronted.get("/", "");
        }
        series(fronted, ACTIVE) >= count
    });
    ejected.unwrap();
    await_series(fronted, ACTIVE, count);
}

/// How many of so many requests an endpoint gets.
fn gets(fronted: &Fronted, endpoint: &Endpoint, requests: usize) -> usize {
    let before = endpoint.server.count();
    for _ in 0..requests {
        fronted.get("/", "");
    }
    endpoint.server.count() - before
}

#[test]
fn endpoints_that_fail_are_ejected_never_too_many_and_come_back() {
    let fronted = Fronted::start(&PODS);
    let all = PODS.map(|name| start(&fronted, name));
    let slice = endpoints(&fronted, &PODS);
    apply(&fronted, &format!("{slice}{}", contract()), |traffic| {
        traffic["whole"]["any"]["outliers"]["max_ejection_percent"] == 50
    });
    await_endpoints(&fronted, 4);
    await_series(&fronted, ACTIVE, 0.0);

    // As the contract has it: three errors in a row, for thirty seconds.
    all[0].fails.store(true, Ordering::Relaxed);
    let began = Instant::now();
    until_ejected(&fronted, 1.0);
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(gets(&fronted, &all[0], 40), 0);
    // Half of four at the most, however many fail.
    for endpoint in &all {
        endpoint.fails.store(true, Ordering::Relaxed);
    }
    until_ejected(&fronted, 2.0);
    for _ in 0..40 {
        assert_eq!(fronted.get("/", "").status, 500);
    }
    assert!(series(&fronted, ACTIVE) <= 2.0);
    assert!(
        series(
            &fronted,
            "envoy_cluster_outlier_detection_ejections_overflow"
        ) > 0.0
    );
    assert!(series(&fronted, ENFORCED) >= 2.0);

    // If fewer than six in ten are left all are gone to, ejected or not; and they come back in time.
    let altered = contract()
        .replace("minHealthPercent: 30", "minHealthPercent: 60")
        .replace("baseEjectionTime: 30s", "baseEjectionTime: 3s");
    for endpoint in &all {
        endpoint.fails.store(false, Ordering::Relaxed);
    }
    apply(&fronted, &format!("{slice}{altered}"), |traffic| {
        traffic["whole"]["any"]["outliers"]["min_health_percent"] == 60
    });
    let back = wait_until(
        "the endpoints to come back",
        Duration::from_secs(20),
        || series(&fronted, ACTIVE) < 1.0,
    );
    back.unwrap();
    assert!(gets(&fronted, &all[0], 40) > 0);
    for endpoint in &all[..2] {
        endpoint.fails.store(true, Ordering::Relaxed);
    }
    until_ejected(&fronted, 2.0);
    assert!(gets(&fronted, &all[0], 20) > 0);
}
