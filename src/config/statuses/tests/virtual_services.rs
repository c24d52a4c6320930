//! Statuses of VirtualServices.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::Cluster;
use crate::config::apiserver::last_good::LastGood;
use crate::config::statuses::Difference;

fn service(name: &str, ip: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "shop", "name": name, "labels": labels},
        "spec": {"clusterIP": ip, "ports": [{"port": 80}, {"port": 81}]},
    })
}

fn virtual_service(name: &str, hosts: &[&str], rule: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService",
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("u-{name}"), "generation": 7,
            "resourceVersion": "9", "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"hosts": hosts, "http": [rule]},
    })
}

fn to(host: &str) -> Value {
    json!({"route": [{"destination": {"host": host}}]})
}

/// `web` is bound to a waypoint, `db` is not, and port 80 of `old` has an HTTPRoute.
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
        service("old", "10.96.0.3", &bound),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"namespace": "shop", "name": "r"},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "old"}], "rules": [{}]},
        }),
    ];
    objects.extend(more);
    Cluster::new(&objects)
}

/// What would be written, a line for each condition and message.
fn said(cluster: &Cluster) -> String {
    let mut lines = String::new();
    for (key, shown, said) in cluster.configuration.report().statuses {
        let status = said.status(&shown, "now");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for parent in status["parents"].as_array().into_iter().flatten() {
            let accepted = &parent["conditions"][0];
            lines += &format!("{key}: {}\n", text(&accepted["message"]));
        }
        if status["parents"].is_array() {
            continue;
        }
        lines += &format!("{key} at {}\n", status["observedGeneration"]);
        for condition in status["conditions"].as_array().unwrap() {
            let [kind, status, reason, message] =
                ["type", "status", "reason", "message"].map(|field| text(&condition[field]));
            lines += &format!("  {kind}={status} {reason}: {message}\n");
        }
        for message in status["validationMessages"].as_array().unwrap() {
            let [level, field, what, remedy] =
                ["level", "field", "message", "remedy"].map(|field| text(&message[field]));
            lines += &format!("  {level} {field}: {what}; {remedy}\n");
        }
    }
    lines
}

#[test]
fn every_virtual_service_is_told_what_becomes_of_it_with_field_and_remedy() {
    let mut edge = virtual_service("edge", &["web"], &to("web"));
    edge["spec"]["gateways"] = json!(["edge"]);
    let wrong =
        json!({"match": [{"uri": {"regex": "("}}], "route": [{"destination": {"host": "web"}}]});
    let mut root = virtual_service("root", &["web"], &json!({"delegate": {"name": "theirs"}}));
    root["spec"]["http"][0]["match"] = json!([{"uri": {"prefix": "/d"}}]);
    let cluster = with([
        virtual_service("fine", &["web"], &to("web")),
        virtual_service("idle", &["db"], &to("web")),
        virtual_service("outdone", &["old"], &to("web")),
        virtual_service("lost", &["nowhere", "example.com"], &to("nobody")),
        virtual_service("wrong", &["web"], &wrong),
        virtual_service(
            "subset",
            &["db"],
            &json!({"route": [{"destination": {"host": "web", "subset": "v1"}}]}),
        ),
        root,
        virtual_service("theirs", &[], &to("web")),
        virtual_service("orphan", &[], &to("web")),
        edge,
    ]);
    assert_snapshot!(said(&cluster));
}

#[test]
fn one_that_breaks_keeps_its_last_good_version_also_over_a_restart() {
    let good = virtual_service("v", &["web"], &to("db"));
    let broken = virtual_service("v", &["web"], &json!({"rout": []}));
    let mut cluster = with([good]);
    let routes = |cluster: &Cluster| {
        format!(
            "{:?}",
            cluster
                .configuration
                .mesh()
                .all_routes()
                .collect::<Vec<_>>()
        )
    };
    let in_force = routes(&cluster);
    cluster.change(broken.clone());
    assert_eq!(routes(&cluster), in_force);
    let report = cluster.configuration.report();
    let kept: Vec<String> = report
        .last_good
        .iter()
        .map(|(_, kept)| kept.to_string())
        .collect();
    assert_eq!(kept.len(), 1);
    let mut objects = vec![
        service("web", "10.96.0.1", &json!({})),
        service("db", "10.96.0.2", &json!({})),
    ];
    objects.push(broken);
    let restarted = Cluster::after_a_restart(LastGood::of(kept), &objects);
    assert_eq!(restarted.configuration.mesh().all_routes().len(), 1);
    let forgetful = Cluster::new(&objects);
    assert_eq!(forgetful.configuration.mesh().all_routes().len(), 0);
    let told = |cluster: &Cluster| {
        let all = said(cluster);
        let line = all
            .lines()
            .find(|line| line.contains("Accepted="))
            .map(str::to_owned);
        line.unwrap_or_default()
    };
    assert!(
        told(&restarted).contains("LastGoodInForce: spec.http[0].rout: "),
        "{}",
        told(&restarted)
    );
    assert!(
        told(&forgetful).contains("UnsupportedValue: spec.http[0].rout: "),
        "{}",
        told(&forgetful)
    );
}

#[test]
fn what_was_written_is_not_written_again() {
    let object = virtual_service("v", &["web", "nowhere"], &to("db"));
    let mut cluster = with([object.clone()]);
    let find = |cluster: &Cluster| {
        let statuses = cluster.configuration.report().statuses;
        let found = statuses.into_iter().find(|(key, ..)| &*key.name == "v");
        let (_, shown, said) = found.unwrap();
        (shown, said)
    };
    let (shown, said) = find(&cluster);
    assert_eq!(said.difference(&shown), Difference::Verdict);
    let mut written = object;
    written["status"] = said.status(&shown, "early");
    let others = json!({"type": "Other", "status": "True"});
    written["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(others);
    cluster.change(written);
    let (shown, said) = find(&cluster);
    assert_eq!(said.difference(&shown), Difference::None);
    let again = said.status(&shown, "late");
    assert!(again["conditions"].to_string().contains("Other"));
    assert!(!again.to_string().contains("late"), "{again}");
}
