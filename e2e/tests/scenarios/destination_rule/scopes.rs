//! What a rule says of a subset holds there, and of nothing else.

use ambit_e2e::keepalive::Connection;
use ambit_e2e::mesh::sum_of;
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::wait_until;

use super::{CLUSTER, apply, await_endpoints, endpoints, rule};
use crate::fronted::{Fronted, rule as rule_of, virtual_service};
use crate::support::SOON;

/// Each subset by a path of its name.
fn routes() -> String {
    let of = |subset: &str| {
        let route = format!("route: [{{destination: {{host: server, subset: {subset}}}}}]");
        rule_of(subset, &format!("/{subset}"), &route)
    };
    let subsets = [
        "canary", "ported", "hidden", "selected", "exported", "stable",
    ];
    virtual_service("parts", "server", &subsets.map(of).concat())
}

/// Rules that are for the waypoint and rules that are not, with a subset each.
fn others() -> String {
    let others = [
        ("exported", "exportTo: [shop]"),
        ("hidden", "exportTo: [elsewhere]"),
        ("selected", "workloadSelector: {matchLabels: {app: client}}"),
    ];
    let others = others.map(|(name, whose)| {
        let spec = format!(
            "  host: server\n  {whose}\n  subsets: [{{name: {name}, labels: {{app: one}}}}]\n"
        );
        rule(&spec).replace("name: server,", &format!("name: {name},"))
    });
    others.concat()
}

#[test]
fn a_subset_has_a_policy_of_its_own() {
    let fronted = Fronted::start(&["one", "two"]);
    let [one, two] = ["one", "two"].map(|name| {
        Scripted::start(&fronted.pod(name), 8080, |heard, _| {
            match heard.path().ends_with("/hangs") {
                true => Deed::new("", Then::Hang),
                false => Deed::answer(200, "well"),
            }
        })
        .unwrap()
    });
    let text = rule(
        "  host: server\n  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 2}}}\n  subsets:\n  \
         - name: stable\n    labels: {app: one}\n  \
         - name: canary\n    labels: {app: two}\n    \
         trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}\n  \
         - name: ported\n    labels: {app: one}\n    \
         trafficPolicy:\n      connectionPool: {http: {http2MaxRequests: 5}}\n      \
         portLevelSettings:\n      - {port: {number: 80}, connectionPool: {http: {http2MaxRequests: 1}}}\n",
    );
    let slice = endpoints(&fronted, &["one", "two"]);
    let text = text + &others();
    apply(&fronted, &format!("{slice}{text}"), |traffic| {
        traffic["subsets"]["canary"]["labels"]["app"] == "two"
    });
    await_endpoints(&fronted, 2);
    fronted.route(&routes(), "VirtualService/shop/parts/stable");
    let hangs = |server: &Scripted, path: &str| -> Connection {
        let before = server.heard_at(path).len();
        let mut client = fronted.connect(80);
        let get = format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n");
        client.send(get).unwrap();
        wait_until("a request to hang", SOON, || {
            server.heard_at(path).len() > before
        })
        .unwrap();
        client
    };
    let status = |path: &str| fronted.get(path, "").status;
    let _canary = hangs(&two, "/canary/hangs");
    assert_eq!(status("/canary/more"), 503);
    // The other has what is said of all, for itself.
    let _first = hangs(&one, "/stable/hangs");
    assert_eq!(status("/stable/more"), 200);
    let _second = hangs(&one, "/stable/hangs");
    assert_eq!(status("/stable/even-more"), 503);

    // What is said of a port of it takes the place of that.
    let _ported = hangs(&one, "/ported/hangs");
    assert_eq!(status("/ported/more"), 503);

    // Who is no waypoint's has defined nothing.
    assert_eq!(status("/exported"), 200);
    for path in ["/hidden", "/selected"] {
        let answer = fronted.get(path, "");
        assert_eq!((answer.status, answer.body.trim()), (503, "unknown_subset"));
    }

    let page = fronted.waypoint.metrics().unwrap();
    let overflows = |subset: &str| {
        let cluster = CLUSTER.replace("|80||", &format!("|80|{subset}|"));
        sum_of(
            &page,
            "envoy_cluster_upstream_rq_pending_overflow",
            &[&cluster],
        )
    };
    for (subset, count) in [("canary", 1.0), ("stable", 1.0), ("", 0.0_f64)] {
        assert!((overflows(subset) - count).abs() < 0.5, "{subset}: {page}");
    }
}
