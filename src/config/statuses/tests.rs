mod authentications;
mod destination_rules;
mod routes;
mod service_entries;
mod virtual_services;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;
use crate::config::apiserver::last_good::LastGood;
use crate::config::apiserver::{Listings, Seen};
use crate::config::objects::Kind;
use crate::config::{Batch, CaptureRecord, Settings};

/// A cluster of which everything was listed once.
struct Cluster {
    listings: Listings,
    configuration: Configuration,
}

impl Cluster {
    fn new(objects: &[Value]) -> Self {
        Self::after_a_restart(LastGood::default(), objects)
    }

    fn after_a_restart(last_good: LastGood, objects: &[Value]) -> Self {
        let mut cluster = Self {
            listings: Listings::with_last_good(last_good),
            configuration: Configuration::new(Settings {
                captures: CaptureRecord::Annotations,
                ..Settings::default()
            }),
        };
        let mut batch = Batch::default();
        for kind in Kind::ALL {
            cluster.listings.take(*kind, Seen::Listing, &mut batch);
            for object in objects
                .iter()
                .filter(|object| object["kind"] == kind.name())
            {
                let seen = Seen::Listed(object.clone());
                cluster.listings.take(*kind, seen, &mut batch);
            }
            cluster.listings.take(*kind, Seen::Complete, &mut batch);
        }
        drop(cluster.configuration.apply(batch));
        cluster
    }

    fn change(&mut self, object: Value) {
        let kind = Kind::of(object["kind"].as_str().unwrap()).unwrap();
        let mut batch = Batch::default();
        self.listings.take(kind, Seen::Changed(object), &mut batch);
        drop(self.configuration.apply(batch));
    }

    /// What is said of every policy, a line each.
    fn said(&self) -> String {
        let report = self.configuration.report();
        let line = |(key, _, said): &(ObjectKey, Shown, Said)| {
            let Said::Policy(said) = said else {
                panic!("{key} is no policy");
            };
            let (status, reason) = (said.status(), said.reason.word());
            format!(
                "{key} {status} {reason} {}: {}\n",
                said.generation, said.message
            )
        };
        report.statuses.iter().map(line).collect()
    }
}

fn policy(kind: &str, name: &str, spec: &Value) -> Value {
    let (namespace, name) = name.split_once('/').unwrap();
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": kind,
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("u-{name}"), "generation": 7,
            "creationTimestamp": format!("2026-01-01T00:00:0{}Z", name.len() % 10),
        },
        "spec": spec,
    })
}

fn pod(name: &str, ip: &str, captured: bool) -> Value {
    let annotations = if captured {
        json!({"ambit.mesh/redirection": "enabled"})
    } else {
        json!({})
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("u-{name}"),
            "labels": {"app": name}, "annotations": annotations,
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "podIP": ip},
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is written where it is used"
)]
fn ap(name: &str, spec: Value) -> Value {
    policy("AuthorizationPolicy", name, &spec)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is written where it is used"
)]
fn pa(name: &str, spec: Value) -> Value {
    policy("PeerAuthentication", name, &spec)
}

#[test]
fn every_policy_is_told_what_became_of_it_with_field_and_remedy() {
    let get = json!([{"to": [{"operation": {"methods": ["GET"]}}]}]);
    let cluster = Cluster::new(&[
        pod("web", "10.0.0.1", true),
        pod("db", "10.0.0.2", false),
        ap("shop/all", json!({"rules": [{}]})),
        ap(
            "shop/web",
            json!({"selector": {"matchLabels": {"app": "web"}}}),
        ),
        ap(
            "shop/nobody",
            json!({"selector": {"matchLabels": {"app": "x"}}}),
        ),
        ap("shop/l7", json!({"rules": get})),
        ap(
            "shop/bound",
            json!({"targetRefs": [{"kind": "Service", "name": "web"}]}),
        ),
        ap("shop/empty-deny", json!({"action": "DENY"})),
        ap("shop/misspelt", json!({"acton": "DENY"})),
        ap("istio-system/misspelt", json!({"acton": "DENY"})),
        pa("shop/default", json!({"mtls": {"mode": "STRICT"}})),
        pa("shop/youngest", json!({"mtls": {"mode": "PERMISSIVE"}})),
        pa(
            "shop/of-web",
            json!({"selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": "DISABLE"}}),
        ),
    ]);
    assert_snapshot!(cluster.said());
}

#[test]
fn a_policy_whose_waypoint_is_not_there_says_that_its_traffic_is_refused_and_why() {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "namespace": "shop", "name": "web", "uid": "u-service",
            "labels": {"ambit.mesh/use-waypoint": "w"},
        },
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}], "clusterIP": "10.96.0.1"},
    });
    let target = json!({"targetRefs": [{"kind": "Service", "name": "web"}], "rules": [{}]});
    let cluster = Cluster::new(&[pod("web", "10.0.0.1", true), service, ap("shop/p", target)]);
    assert_snapshot!(cluster.said());
}

#[test]
fn a_policy_that_breaks_keeps_its_last_good_version_also_over_a_restart() {
    let mut good = ap("shop/p", json!({"action": "DENY", "rules": [{}]}));
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    good["metadata"]["annotations"] = json!({applied: "{}", "team": "a"});
    let broken = ap("shop/p", json!({"action": "PERHAPS"}));
    let mut cluster = Cluster::new(&[good]);
    assert!(cluster.configuration.report().last_good.is_empty());
    cluster.change(broken.clone());
    let report = cluster.configuration.report();
    assert_eq!(report.unreadable.len(), 1);
    let kept = report.last_good[0].1.to_string();
    assert!(kept.contains("team") && !kept.contains("kubectl"), "{kept}");
    let documents = report
        .last_good
        .iter()
        .map(|(_, document)| document.to_string());
    let restarted =
        Cluster::after_a_restart(LastGood::of(documents), std::slice::from_ref(&broken));
    assert_eq!(restarted.said(), cluster.said());
    assert_eq!(
        restarted.configuration.report().last_good,
        report.last_good,
        "it is kept on"
    );
    let forgetful = Cluster::new(&[broken]);
    assert_snapshot!(format!("{}{}", cluster.said(), forgetful.said()));
}

#[test]
fn a_write_of_ours_changes_nothing_and_differs_in_nothing() {
    let mut cluster = Cluster::new(&[ap("shop/p", json!({}))]);
    let report = cluster.configuration.report();
    let (_, shown, said) = &report.statuses[0];
    assert_eq!(said.difference(shown), Difference::Verdict);
    let mut written = ap("shop/p", json!({}));
    written["status"] = said.status(shown, "now");
    cluster.change(written);
    let report = cluster.configuration.report();
    let (_, shown, said) = &report.statuses[0];
    assert_eq!(said.difference(shown), Difference::None);
    cluster.change(pod("web", "10.0.0.1", true));
    let report = cluster.configuration.report();
    let (_, shown, said) = &report.statuses[0];
    assert_eq!(said.difference(shown), Difference::Pods);
}
