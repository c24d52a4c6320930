//! Statuses of routes.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::Cluster;
use crate::config::apiserver::last_good::LastGood;
use crate::config::statuses::{Difference, Said, Shown};

fn service(name: &str, ip: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "shop", "name": name, "labels": labels},
        "spec": {"clusterIP": ip, "ports": [{"port": 80}, {"port": 81}]},
    })
}

/// `web` is bound to a waypoint, `db` is not.
fn services() -> Vec<Value> {
    vec![
        service("web", "10.96.0.1", &json!({"ambit.mesh/use-waypoint": "w"})),
        service("db", "10.96.0.2", &json!({})),
    ]
}

fn parent(name: &str) -> Value {
    json!({"group": "", "kind": "Service", "name": name})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is written where it is used"
)]
fn route(kind: &str, name: &str, parents: Value, rules: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("u-{name}"), "generation": 7,
            "resourceVersion": "9", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"parentRefs": parents, "rules": rules},
    })
}

fn to(name: &str) -> Value {
    json!([{"backendRefs": [{"name": name, "port": 80}]}])
}

fn with(mut objects: Vec<Value>, more: impl IntoIterator<Item = Value>) -> Cluster {
    objects.extend(more);
    Cluster::new(&objects)
}

fn statuses(cluster: &Cluster) -> Vec<(String, Shown, Said)> {
    let report = cluster.configuration.report();
    let statuses = report.statuses.into_iter();
    statuses
        .map(|(key, shown, said)| (key.to_string(), shown, said))
        .collect()
}

/// What would be written, a line for each condition.
fn said(cluster: &Cluster) -> String {
    let mut lines = String::new();
    for (key, shown, said) in statuses(cluster) {
        for entry in said.status(&shown, "now")["parents"].as_array().unwrap() {
            let (by, parent) = (&entry["controllerName"], &entry["parentRef"]["name"]);
            lines += &format!("{key} for {parent} by {by}\n");
            for condition in entry["conditions"].as_array().unwrap() {
                let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                lines += &format!(
                    "  {}={} {} {}: {}\n",
                    text("type"),
                    text("status"),
                    text("reason"),
                    condition["observedGeneration"],
                    text("message"),
                );
            }
        }
    }
    lines
}

#[test]
fn every_parent_that_is_a_service_is_told_what_becomes_of_the_route() {
    let mut mixed = route(
        "HTTPRoute",
        "mixed",
        json!([parent("web"), parent("db"), parent("nowhere"), {"name": "gateway"}]),
        to("web"),
    );
    mixed["status"]["parents"] = json!([
        {"parentRef": {"name": "gateway"}, "controllerName": "example.com/gateway", "conditions": []},
        {"parentRef": parent("gone"), "controllerName": "ambit.mesh/waypoint-controller", "conditions": []},
    ]);
    let dead = json!([
        {"backendRefs": [{"name": "nowhere", "port": 80, "weight": 0}, {"name": "web", "port": 99}]},
        {"backendRefs": [{"name": "web", "namespace": "other", "port": 80}, {"kind": "Bucket", "name": "b"}]},
    ]);
    let partly = json!([
        {"filters": [{"type": "ExtensionRef"}], "backendRefs": [{"name": "web", "port": 80}]},
        {"matches": [{"path": {"type": "RegularExpression", "value": "("}}]},
        {"backendRefs": [{"name": "web", "port": 80}]},
    ]);
    let redirect = json!([{"filters": [
        {"type": "RequestRedirect", "requestRedirect": {}}, {"type": "URLRewrite", "urlRewrite": {}},
    ]}]);
    let port = |port: u16| json!([{"group": "", "kind": "Service", "name": "web", "port": port}]);
    let cluster = with(
        services(),
        [
            mixed,
            route("HTTPRoute", "dead", json!([parent("web")]), dead),
            route("HTTPRoute", "partly", json!([parent("web")]), partly),
            route("HTTPRoute", "wrong", json!([parent("web")]), redirect),
            route("GRPCRoute", "first", port(81), to("web")),
            route("HTTPRoute", "outdone", port(81), to("web")),
            route("TCPRoute", "no-port", port(99), to("web")),
            route(
                "HTTPRoute",
                "foreign",
                json!([{"name": "gateway"}]),
                json!(7),
            ),
        ],
    );
    assert_snapshot!(said(&cluster));
    let foreign = statuses(&cluster);
    let foreign = foreign.iter().find(|(key, _, _)| key.ends_with("foreign"));
    let (_, shown, said) = foreign.expect("a route");
    assert_eq!(
        said.difference(shown),
        Difference::None,
        "it is not ours to write on"
    );
}

#[test]
fn a_route_that_breaks_keeps_its_last_good_version_also_over_a_restart() {
    let good = route("HTTPRoute", "r", json!([parent("web")]), to("web"));
    let broken = route("HTTPRoute", "r", json!([parent("web")]), json!(7));
    let mut cluster = with(services(), [good]);
    let in_force = format!(
        "{:?}",
        cluster
            .configuration
            .mesh()
            .all_routes()
            .collect::<Vec<_>>()
    );
    cluster.change(broken.clone());
    let still = format!(
        "{:?}",
        cluster
            .configuration
            .mesh()
            .all_routes()
            .collect::<Vec<_>>()
    );
    assert_eq!(still, in_force);
    let report = cluster.configuration.report();
    let kept = report
        .last_good
        .iter()
        .map(|(_, document)| document.to_string());
    let mut objects = services();
    objects.push(broken);
    let restarted = Cluster::after_a_restart(LastGood::of(kept), &objects);
    assert_eq!(said(&restarted), said(&cluster));
    assert_eq!(restarted.configuration.mesh().all_routes().len(), 1);
    let forgetful = Cluster::new(&objects);
    assert_eq!(forgetful.configuration.mesh().all_routes().len(), 0);
    assert_snapshot!(format!("{}{}", said(&cluster), said(&forgetful)));
}

#[test]
fn what_was_written_is_not_written_again_and_keeps_its_time() {
    let first = route("HTTPRoute", "r", json!([parent("web")]), to("web"));
    let mut cluster = with(services(), [first.clone()]);
    let (_, shown, said) = statuses(&cluster).remove(0);
    assert_eq!(said.difference(&shown), Difference::Verdict);
    let mut written = first;
    written["status"] = said.status(&shown, "early");
    cluster.change(written.clone());
    let (_, shown, said) = statuses(&cluster).remove(0);
    assert_eq!(said.difference(&shown), Difference::None);
    written["metadata"]["generation"] = json!(8);
    written["spec"]["rules"] = to("nowhere");
    cluster.change(written);
    let (_, shown, said) = statuses(&cluster).remove(0);
    assert_eq!(said.difference(&shown), Difference::Verdict);
    let status = said.status(&shown, "late");
    let conditions = status["parents"][0]["conditions"].as_array().unwrap();
    let times: Vec<_> = conditions
        .iter()
        .map(|c| (&c["type"], &c["lastTransitionTime"]))
        .collect();
    assert_eq!(times[0], (&json!("Accepted"), &json!("early")));
    assert_eq!(times[1], (&json!("ResolvedRefs"), &json!("late")));
    assert!(
        conditions
            .iter()
            .all(|condition| condition["observedGeneration"] == 8)
    );
}
