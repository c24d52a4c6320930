//! A real Prometheus in a captured pod scrapes agents, the waypoint and an application behind it,
//! and answers the queries of published dashboards.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ambit_e2e::clients::{get, percent_encoded};
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::{Family, node_v4};
use ambit_e2e::mesh::Waypoint;
use ambit_e2e::programs;
use ambit_e2e::queries::{LATENCIES, named};
use ambit_e2e::wait::{wait_until, wait_with_pauses};
use ambit_e2e::world::{HTTP, SPREAD, WAYPOINT, World};
use ambit_e2e::yaml;
use serde_json::Value;

use super::{OWN_PAGE, REQUESTS, at, await_sum, change, nginx, sum, world};

/// Where Prometheus answers, on its pod's loopback.
const PROMETHEUS: u16 = 9090;
const METRICS: u16 = 15020;
const READY: u16 = 15021;
/// Time for Prometheus to scrape, on a busy machine.
const SCRAPED: Duration = Duration::from_secs(40);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(200);

#[test]
fn prometheus_answers_what_dashboards_ask() {
    let names = ["client", "server", "prometheus", "waypoint", "outsider"];
    let (world, waypoint) = world(&names, &[]);
    let _nginx = nginx(&world, "server", "");
    let ip = |name: &str| world.pod(name).unwrap().ip(Family::V4);
    let agents = [1, 2].map(|node| IpAddr::V4(node_v4(node)));
    let pages = [ip("waypoint"), agents[0], agents[1]];
    let mut targets: Vec<SocketAddr> = pages.map(|ip| (ip, METRICS).into()).to_vec();
    targets.push((ip("server"), HTTP.1).into());
    let pod = world.pod("prometheus").unwrap();
    let dir = world.dir("tsdb");
    let prometheus = programs::prometheus(&pod, &dir, &targets, PROMETHEUS).unwrap();

    // One of each kind, for Prometheus to see where they begin; then three good ones to a bad one.
    let client = world.pod("client").unwrap();
    let to = at(&world, "server", HTTP.0);
    let ask = |path: &str, times: usize| {
        for _ in 0..times {
            get(client.namespace(), to, path).unwrap();
        }
    };
    let requests = |expected: f64| {
        await_answer(&pod, "sum(istio_requests_total)", |seen| {
            same(seen, expected)
        });
    };
    ask("/hello", 1);
    ask("/broken", 1);
    await_answer(&pod, "sum(up)", |up| same(up, 4.0));
    requests(2.0);
    ask("/hello", 30);
    ask("/broken", 10);
    requests(42.0);
    dashboards_are_right(&pod);

    // Scrapes of a bound pod came by its own address, which the waypoint is not for.
    await_answer(&pod, "application_up", |up| same(up, 1.0));
    await_sum(&waypoint, REQUESTS, "source_workload=prometheus", 0.0);
    drop(prometheus);
    scraped_through_the_waypoint(&world, &waypoint);
    // Who is not in the mesh gets the same pages; who is, readiness too.
    let outsider = world.pod("outsider").unwrap();
    let (own, server) = ((ip("waypoint"), METRICS), (ip("server"), HTTP.1));
    for (at, begins) in [(own, "# HELP"), (server, OWN_PAGE)] {
        let answer = get(outsider.namespace(), at.into(), "/metrics").unwrap();
        assert!(answer.body.starts_with(begins), "{answer:?}");
    }
    let ready = (ip("waypoint"), READY).into();
    let ready = get(client.namespace(), ready, "/healthz/ready").unwrap();
    assert_eq!(ready.status, 200, "{ready:?}");
}

/// Where the waypoint is for pods too, they are scraped through it: such scrapes are requests.
fn scraped_through_the_waypoint(world: &World, waypoint: &Waypoint) {
    change(world, |text| {
        let gateway = "kind: Gateway\nmetadata:\n";
        let for_all = format!("{gateway}  labels:\n    ambit.mesh/waypoint-for: all\n");
        let label = "    app: server\n";
        let bound = format!("{label}{}", yaml::bound_to(WAYPOINT));
        text.replace(gateway, &for_all).replacen(label, &bound, 1)
    });
    let scrape = "source_workload=prometheus destination_workload=server response_code=200 \
                  connection_security_policy=mutual_tls reporter=destination";
    let scrapes = || sum(&waypoint.metrics().unwrap(), REQUESTS, scrape);
    let (pod, server) = (world.pod("prometheus"), world.pod("server"));
    let (pod, to) = (
        pod.unwrap(),
        SocketAddr::new(server.unwrap().ip(Family::V4), HTTP.1),
    );
    // Connections that are open stay on their way: Prometheus begins anew when the way has changed.
    let changed = wait_until("the way to pass the waypoint", SPREAD, || {
        get(pod.namespace(), to, "/metrics").is_ok() && scrapes() >= 1.0
    });
    changed.unwrap();
    let before = scrapes();
    let dir = world.dir("tsdb-2");
    let _prometheus = programs::prometheus(&pod, &dir, &[to], PROMETHEUS).unwrap();
    await_answer(&pod, "application_up", |up| same(up, 1.0));
    wait_until("a scrape to be counted", SCRAPED, || scrapes() > before).unwrap();
}

/// What dashboards draw, and how much of everything is secured.
fn dashboards_are_right(pod: &Pod) {
    await_answer(pod, named("request rate").unwrap(), |rate| rate > 0.0);
    let percent = await_answer(pod, named("error percentage").unwrap(), |percent| {
        percent > 0.0
    });
    // Rates are extrapolated: what is drawn is near the truth.
    assert!((20.0..=30.0).contains(&percent), "{percent} %, 25 in truth");
    for name in LATENCIES {
        let value = await_answer(pod, named(name).unwrap(), |value| value > 0.0);
        assert!(value < 10_000.0, "{value} ms");
    }
    await_answer(pod, named("mTLS coverage").unwrap(), |percent| {
        same(percent, 100.0)
    });
    await_answer(pod, named("secured share").unwrap(), |share| {
        same(share, 1.0)
    });
}

fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

/// Asks Prometheus until the only value of the answer is as wanted.
fn await_answer(pod: &Pod, query: &str, is_wanted: impl Fn(f64) -> bool) -> f64 {
    let mut seen = Value::Null;
    let answered = wait_with_pauses(PAUSE, &format!("an answer to {query}"), SCRAPED, || {
        seen = asked(pod, query);
        let [only] = seen["data"]["result"].as_array()?.as_slice() else {
            return None;
        };
        let value: f64 = only["value"][1].as_str()?.parse().ok()?;
        is_wanted(value).then_some(value)
    });
    answered.unwrap_or_else(|error| panic!("{error:#}; it is {seen:#}\n{:#}", asked(pod, "up")))
}

fn asked(pod: &Pod, query: &str) -> Value {
    let query = percent_encoded(query);
    let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PROMETHEUS);
    let answer = get(pod.namespace(), at, &format!("/api/v1/query?query={query}"));
    answer.map_or(Value::Null, |answer| {
        serde_json::from_str(&answer.body).unwrap_or_default()
    })
}
