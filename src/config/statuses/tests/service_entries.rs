//! Statuses of ServiceEntries, and the addresses in them.

use serde_json::{Value, json};

use super::Cluster;
use crate::config::statuses::Difference;

fn entry(name: &str, since: u8, hosts: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("u-{name}"), "generation": 3,
            "resourceVersion": "9", "creationTimestamp": format!("2026-01-01T00:00:0{since}Z"),
        },
        "spec": {"hosts": hosts, "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]},
        "status": status,
    })
}

fn given(value: &str, host: &str) -> Value {
    json!({"addresses": [{"value": value, "host": host}]})
}

/// The status of the entry of that name, and how it differs from what is there.
fn status(cluster: &Cluster, name: &str) -> (Value, Difference) {
    let statuses = cluster.configuration.report().statuses;
    let mut of_name = statuses.into_iter().filter(|(key, ..)| &*key.name == name);
    let (_, shown, said) = of_name.next().unwrap();
    (said.status(&shown, "now"), said.difference(&shown))
}

fn condition(status: &Value, kind: &str) -> String {
    let all = status["conditions"].as_array().unwrap();
    let one = all.iter().find(|one| one["type"] == kind).unwrap();
    let [status, reason] = ["status", "reason"].map(|field| one[field].as_str().unwrap());
    format!("{status} {reason}")
}

fn vips(cluster: &Cluster, host: &str) -> Vec<String> {
    let service = cluster.configuration.mesh().service_by_hostname(host);
    let vips = service.unwrap().vips.iter();
    vips.map(|(address, _)| address.address.to_string())
        .collect()
}

#[test]
fn only_what_stands_in_the_status_is_served() {
    let hosts = json!(["api.example.com"]);
    let mut cluster = Cluster::new(&[entry("e", 1, &hosts, &Value::Null)]);
    assert!(vips(&cluster, "api.example.com").is_empty());
    let (said, difference) = status(&cluster, "e");
    assert_eq!(difference, Difference::Verdict);
    let address = said["addresses"][0]["value"].as_str().unwrap().to_owned();
    assert!(address.starts_with("240.240."), "{address}");
    assert_eq!(said["addresses"][0]["host"], "api.example.com");
    assert_eq!(condition(&said, "Accepted"), "True Accepted");
    cluster.change(entry("e", 1, &hosts, &said));
    assert_eq!(vips(&cluster, "api.example.com"), [address]);
    assert_eq!(status(&cluster, "e").1, Difference::None);
}

#[test]
fn an_address_is_that_of_the_oldest_and_others_are_given_new_ones() {
    let (a, b, c) = (
        json!(["a.example.com"]),
        json!(["b.example.com"]),
        json!(["c.example.com"]),
    );
    let cluster = Cluster::new(&[
        entry("a", 2, &a, &given("240.240.0.7", "a.example.com")),
        entry("b", 1, &b, &given("240.240.0.7", "b.example.com")),
        // None of ours.
        entry("c", 1, &c, &given("10.0.0.1", "c.example.com")),
    ]);
    assert_eq!(vips(&cluster, "b.example.com"), ["240.240.0.7"]);
    assert!(vips(&cluster, "a.example.com").is_empty());
    assert!(vips(&cluster, "c.example.com").is_empty());
    assert!(
        status(&cluster, "b").0.get("addresses").is_none(),
        "it stays"
    );
    let mut seen = vec!["240.240.0.7".to_owned()];
    for name in ["a", "c"] {
        let (said, _) = status(&cluster, name);
        let address = said["addresses"][0]["value"].as_str().unwrap().to_owned();
        assert!(
            address.starts_with("240.240.") && !seen.contains(&address),
            "{address}"
        );
        seen.push(address);
    }
}

#[test]
fn one_address_in_a_status_is_that_of_one_host() {
    let hosts = json!(["a.example.com", "b.example.com"]);
    let twice = json!({"addresses": [
        {"value": "240.240.0.7", "host": "b.example.com"},
        {"value": "240.240.0.7", "host": "a.example.com"},
    ]});
    let cluster = Cluster::new(&[entry("e", 1, &hosts, &twice)]);
    assert_eq!(vips(&cluster, "b.example.com"), ["240.240.0.7"]);
    assert!(vips(&cluster, "a.example.com").is_empty());
    let said = status(&cluster, "e").0;
    let addresses = said["addresses"].as_array().unwrap();
    assert_eq!(addresses.len(), 2);
    assert_ne!(addresses[0]["value"], addresses[1]["value"], "{said}");
}

#[test]
fn what_counts_and_what_a_star_needs_is_said() {
    let cluster = Cluster::new(&[
        entry("old", 1, &json!(["api.example.com"]), &Value::Null),
        entry("new", 2, &json!(["api.example.com"]), &Value::Null),
        entry("wild", 1, &json!(["*.example.com"]), &Value::Null),
    ]);
    assert_eq!(
        condition(&status(&cluster, "old").0, "Accepted"),
        "True Accepted"
    );
    let new = status(&cluster, "new").0;
    assert_eq!(condition(&new, "Accepted"), "False UnsupportedValue");
    let message = new["validationMessages"][0]["message"].as_str().unwrap();
    assert!(message.contains("ServiceEntry shop/old"), "{message}");
    let wild = status(&cluster, "wild").0;
    assert_eq!(condition(&wild, "Accepted"), "True AcceptedWithWarnings");
    assert_eq!(
        condition(&wild, "ambit.mesh/WaypointBound"),
        "False WaypointMissing"
    );
}

#[test]
fn one_that_breaks_keeps_its_last_good_version_and_its_address() {
    let hosts = json!(["api.example.com"]);
    let there = given("240.240.0.7", "api.example.com");
    let mut cluster = Cluster::new(&[entry("e", 1, &hosts, &there)]);
    let mut broken = entry("e", 1, &hosts, &there);
    broken["spec"]["adresses"] = json!(["192.0.2.1"]);
    cluster.change(broken);
    assert_eq!(vips(&cluster, "api.example.com"), ["240.240.0.7"]);
    assert_eq!(
        condition(&status(&cluster, "e").0, "Accepted"),
        "False LastGoodInForce"
    );
}
