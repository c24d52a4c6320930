//! Statuses of DestinationRules.

use serde_json::{Value, json};

use super::Cluster;
use crate::config::statuses::Difference;

fn service(name: &str, ip: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "shop", "name": name, "labels": labels},
        "spec": {"clusterIP": ip, "ports": [{"port": 80}]},
    })
}

fn rule(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "DestinationRule",
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("u-{name}"), "generation": 7,
            "resourceVersion": "9", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    })
}

/// `web` is bound to a waypoint, `db` is not.
fn with(more: impl IntoIterator<Item = Value>) -> Cluster {
    let bound = json!({"ambit.mesh/use-waypoint": "w"});
    let mut objects = vec![
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"namespace": "shop", "name": "w"},
            "spec": {"gatewayClassName": "ambit-waypoint", "listeners": [
                {"name": "mesh", "port": 15008, "protocol": "HBONE"},
            ]},
        }),
        service("web", "10.96.0.1", &bound),
        service("db", "10.96.0.2", &json!({})),
    ];
    objects.extend(more);
    Cluster::new(&objects)
}

/// The status of the rule of that name.
fn status(cluster: &Cluster, name: &str) -> Value {
    let statuses = cluster.configuration.report().statuses;
    let mut of_name = statuses.into_iter().filter(|(key, ..)| &*key.name == name);
    let (_, shown, said) = of_name.next().unwrap();
    said.status(&shown, "now")
}

/// A condition's status, reason and message.
fn condition(status: &Value, kind: &str) -> String {
    let all = status["conditions"].as_array().unwrap();
    let one = all.iter().find(|one| one["type"] == kind).unwrap();
    let [status, reason, message] =
        ["status", "reason", "message"].map(|field| one[field].as_str().unwrap());
    format!("{status} {reason}: {message}")
}

#[test]
fn every_destination_rule_is_told_what_becomes_of_it_with_field_and_remedy() {
    let random = json!({"loadBalancer": {"simple": "RANDOM"}});
    let cluster = with([
        rule("fine", &json!({"host": "web", "trafficPolicy": random})),
        rule("idle", &json!({"host": "db"})),
        rule("lost", &json!({"host": "nobody"})),
        rule(
            "tls",
            &json!({"host": "web", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}),
        ),
        rule("broken", &json!({"host": "web", "subset": []})),
    ]);
    for (name, kind, expected) in [
        (
            "fine",
            "Accepted",
            "True Accepted: In force for Service shop/web.",
        ),
        (
            "fine",
            "Reconciled",
            "True Reconciled: Told to all waypoints",
        ),
        (
            "fine",
            "ambit.mesh/ResolvedWaypoints",
            "True ResolvedWaypoints",
        ),
        ("idle", "ambit.mesh/ResolvedWaypoints", "False NoWaypoint: "),
        (
            "lost",
            "Accepted",
            "False NoMatchingHost: In force nowhere. spec.host: `nobody`",
        ),
        (
            "tls",
            "Accepted",
            "False UnsupportedValue: In force for Service shop/web.",
        ),
        (
            "broken",
            "Accepted",
            "False UnsupportedValue: spec.subset: ",
        ),
    ] {
        let said = condition(&status(&cluster, name), kind);
        assert!(said.starts_with(expected), "{name}: {said}");
    }
    let messages = status(&cluster, "tls")["validationMessages"].clone();
    let of_mode = messages
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["field"] == "spec.trafficPolicy.tls.mode" && one["level"] == "ERROR");
    assert!(!of_mode.unwrap()["remedy"].as_str().unwrap().is_empty());
}

#[test]
fn one_that_breaks_keeps_its_last_good_version() {
    let good = json!({"host": "web", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}});
    let mut cluster = with([rule("r", &good)]);
    let traffic = |cluster: &Cluster| {
        let mesh = cluster.configuration.mesh();
        mesh.service_by_hostname("web.shop.svc.cluster.local")
            .unwrap()
            .traffic
            .clone()
    };
    let in_force = traffic(&cluster);
    assert!(in_force.is_some());
    cluster.change(rule("r", &json!({"host": "web", "trafficPolici": {}})));
    assert_eq!(traffic(&cluster), in_force);
    let said = condition(&status(&cluster, "r"), "Accepted");
    assert!(
        said.starts_with("False LastGoodInForce: spec.trafficPolici: "),
        "{said}"
    );
}

#[test]
fn what_was_written_is_not_written_again() {
    let object = rule("r", &json!({"host": "web"}));
    let mut cluster = with([object.clone()]);
    let mut written = object;
    written["status"] = status(&cluster, "r");
    cluster.change(written);
    let statuses = cluster.configuration.report().statuses;
    let (_, shown, said) = statuses.iter().find(|(key, ..)| &*key.name == "r").unwrap();
    assert_eq!(said.difference(shown), Difference::None);
}
