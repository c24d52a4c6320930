//! An endpoint that refuses connections that are no HTTP is ejected as well, and comes back.

use std::io::Write as _;
use std::net::TcpStream;

use ambit_e2e::clients::exchange;
use ambit_e2e::mesh::sum_of;
use ambit_e2e::servers::Server;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{SPREAD, TCP};

use super::{CLUSTER, apply, endpoints, rule};
use crate::fronted::Fronted;

/// Puts outlier detection in force, by which an endpoint is away for so many seconds.
fn detects(fronted: &Fronted, seconds: u64) {
    let slice = endpoints(fronted, &["one", "two"]);
    let slice = slice.replace("{name: p80, port: 8080}", "{name: p9000, port: 9000}");
    let text = rule(&format!(
        "  host: server\n  trafficPolicy:\n    loadBalancer: {{simple: ROUND_ROBIN}}\n    \
         outlierDetection: {{consecutive5xxErrors: 3, baseEjectionTime: {seconds}s, maxEjectionPercent: 50}}\n"
    ));
    apply(fronted, &format!("{slice}{text}"), |traffic| {
        traffic["whole"]["any"]["outliers"]["base_ejection_time"]["secs"] == seconds
    });
}

/// A server of TCP that says the pod's name.
fn says(fronted: &Fronted, name: &'static str) -> Server {
    let serve = move |mut connection: TcpStream, _| connection.write_all(name.as_bytes());
    Server::start(&fronted.pod(name), TCP.1, serve).unwrap()
}

#[test]
fn an_endpoint_that_refuses_connections_is_ejected_and_comes_back() {
    let fronted = Fronted::start(&["one", "two"]);
    let _two = says(&fronted, "two");
    detects(&fronted, 300);
    let client = fronted.pod("client");
    let said = || {
        let said = exchange(client.namespace(), fronted.at(TCP.0), b"");
        String::from_utf8(said.unwrap()).unwrap()
    };
    let cluster = CLUSTER.replace("|80|", "|9000|");
    let series = |name: &str| {
        let name = format!("envoy_cluster_{name}");
        sum_of(&fronted.waypoint.metrics().unwrap(), &name, &[&cluster])
    };
    let ejected = || series("outlier_detection_ejections_active");
    wait_until("the endpoints", SPREAD, || series("membership_total") > 1.5).unwrap();
    // Nobody listens there: whoever is refused is led to the other, and after some of them nobody is any more.
    wait_until("the ejection", SPREAD, || {
        assert_eq!(said(), "two");
        ejected() > 0.5
    })
    .unwrap();
    // Not for being gone: it would serve now.
    let _one = says(&fronted, "one");
    for _ in 0..20 {
        assert_eq!(said(), "two");
    }
    assert!((series("outlier_detection_ejections_enforced_total") - 1.0).abs() < 0.5);
    detects(&fronted, 1);
    wait_until("it to come back", SPREAD, || said() == "one").unwrap();
    assert!(ejected() < 0.5);
}
