//! By what endpoints are found to fail, how soon they are ejected, and that they stay away longer each
//! time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::wait_until;

use super::{apply, await_endpoints, await_series, endpoints, rule, series};
use crate::fronted::Fronted;
use crate::support::SOON;

const ACTIVE: &str = "envoy_cluster_outlier_detection_ejections_active";
const PODS: [&str; 2] = ["one", "two"];
/// In place of a status: no answer, but a reset.
const RESET: u16 = 0;

/// An endpoint that does well, and one that does what it is told.
struct Pair {
    fronted: Fronted,
    told: Arc<AtomicU16>,
    bad: Scripted,
    _good: Scripted,
}

impl Pair {
    fn start() -> Self {
        let fronted = Fronted::start(&PODS);
        let told = Arc::new(AtomicU16::new(200));
        let script = Arc::clone(&told);
        let bad = Scripted::start(&fronted.pod("one"), 8080, move |_, _| {
            match script.load(Ordering::Relaxed) {
                RESET => Deed::new("", Then::Reset),
                status => Deed::answer(status, "one"),
            }
        });
        let bad = bad.unwrap();
        let good = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
        Self {
            fronted,
            told,
            bad,
            _good: good,
        }
    }

    /// Puts outlier detection in force; a number of it that the waypoint then knows.
    fn detects(&self, outliers: &str, (field, value): (&str, u64)) {
        let slice = endpoints(&self.fronted, &PODS);
        let text = rule(&format!(
            "  host: server\n  trafficPolicy:\n    loadBalancer: {{simple: ROUND_ROBIN}}\n    \
             outlierDetection: {{{outliers}, maxEjectionPercent: 50}}\n"
        ));
        apply(&self.fronted, &format!("{slice}{text}"), |traffic| {
            traffic["whole"]["any"]["outliers"][field] == value
        });
        await_endpoints(&self.fronted, 2);
    }

    /// Has the endpoint do this about so many requests, sent one by one.
    fn does(&self, what: u16, times: usize) {
        self.told.store(what, Ordering::Relaxed);
        let before = self.bad.count();
        let reached = wait_until("requests at the endpoint", SOON, || {
            self.fronted.get("/", "");
            self.bad.count() >= before + times || series(&self.fronted, ACTIVE) > 0.0
        });
        reached.unwrap();
        self.told.store(200, Ordering::Relaxed);
    }

    /// That the endpoint has its half of all requests for a while. If it were to be ejected, that would be known a
    /// moment after its last failure, and hold for longer than this.
    fn is_kept(&self) {
        let (began, before, mut turns) = (Instant::now(), self.bad.count(), 0);
        while began.elapsed() < Duration::from_millis(700) {
            for _ in PODS {
                self.fronted.get("/", "");
            }
            turns += 1;
        }
        assert_eq!(self.bad.count() - before, turns);
    }

    /// How long the endpoint is away, from now.
    fn away(&self) -> Duration {
        let began = Instant::now();
        await_series(&self.fronted, ACTIVE, 0.0);
        began.elapsed()
    }
}

#[test]
fn errors_of_gateways_and_of_connections_count_apart_where_the_rule_says_so() {
    let pair = Pair::start();
    let gateway = "consecutiveGatewayErrors: 2, consecutive5xxErrors: 0, baseEjectionTime: 1s";
    pair.detects(gateway, ("consecutive_gateway", 2));
    pair.does(500, 5);
    pair.is_kept();
    pair.does(502, 2);
    await_series(&pair.fronted, ACTIVE, 1.0);
    pair.away();

    // As older rules have it.
    let older = "consecutiveErrors: 3, consecutive5xxErrors: 0, baseEjectionTime: 1s";
    pair.detects(older, ("consecutive_gateway", 3));
    pair.does(500, 4);
    pair.is_kept();
    pair.does(502, 3);
    await_series(&pair.fronted, ACTIVE, 1.0);
    pair.away();

    // A connection that breaks is an error of neither kind then, but of its own.
    let split = "splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3, \
                 consecutive5xxErrors: 2, baseEjectionTime: 1s";
    pair.detects(split, ("consecutive_local_origin", 3));
    pair.does(RESET, 2);
    pair.is_kept();
    pair.does(RESET, 4);
    await_series(&pair.fronted, ACTIVE, 1.0);
    pair.away();
    pair.does(500, 2);
    await_series(&pair.fronted, ACTIVE, 1.0);
    pair.away();

    // And otherwise one of the server.
    let joined = "consecutive5xxErrors: 3, baseEjectionTime: 1s";
    pair.detects(joined, ("consecutive_5xx", 3));
    pair.does(RESET, 6);
    await_series(&pair.fronted, ACTIVE, 1.0);
}

#[test]
fn ejections_are_at_once_and_longer_each_time() {
    let pair = Pair::start();
    let outliers = "consecutive5xxErrors: 3, interval: 10s, baseEjectionTime: 2s";
    pair.detects(outliers, ("consecutive_5xx", 3));
    let mut times = Vec::new();
    for _ in 0..3 {
        pair.does(503, 3);
        let began = Instant::now();
        await_series(&pair.fronted, ACTIVE, 1.0);
        // Well within the interval.
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
        times.push(pair.away());
    }
    for (time, expected) in times.iter().zip([2, 4, 6]) {
        let expected = Duration::from_secs(expected);
        let longest = expected + Duration::from_millis(1200);
        let shortest = expected - Duration::from_millis(1200);
        assert!((shortest..longest).contains(time), "{times:?}");
    }
}
