use serde_json::{Value, json};

use super::*;
use crate::config::apiserver::{Listings, Seen};
use crate::config::{Batch, CaptureRecord, Settings};

/// What a control plane makes of these namespaces and pods.
pub(in crate::cli) fn configuration(documents: Vec<Value>) -> Configuration {
    let (mut listings, mut batch) = (Listings::default(), Batch::default());
    for kind in Kind::ALL {
        listings.take(*kind, Seen::Listing, &mut batch);
    }
    for document in documents {
        let kind = Kind::of(document["kind"].as_str().unwrap()).unwrap();
        listings.take(kind, Seen::Listed(document), &mut batch);
    }
    for kind in Kind::ALL {
        listings.take(*kind, Seen::Complete, &mut batch);
    }
    let mut configuration = Configuration::new(Settings {
        captures: CaptureRecord::Annotations,
        ..Settings::default()
    });
    configuration.apply(batch);
    configuration
}

pub(in crate::cli) fn namespace(name: &str, is_enrolled: bool) -> Value {
    let mode = if is_enrolled { "ambient" } else { "none" };
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"ambit.mesh/dataplane-mode": mode}},
    })
}

pub(in crate::cli) fn pod(namespace: &str, name: &str, mark: &str, phase: &str) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("uid-{name}"),
            "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {},
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "app"}]},
        "status": {"phase": phase},
    });
    if !mark.is_empty() {
        pod["metadata"]["annotations"][ANNOTATION] = mark.into();
    }
    pod
}

fn stand(document: Value) -> Option<Standing> {
    let all = vec![namespace("shop", true), namespace("bank", false), document];
    let found = of_pods(&configuration(all));
    found.first().map(|pod| pod.standing)
}

#[test]
fn a_pod_stands_where_its_labels_and_its_mark_say() {
    for (namespace, mark, phase, standing) in [
        ("shop", "enabled", "Running", Some(Standing::Captured)),
        ("shop", "", "Running", Some(Standing::Pending)),
        ("shop", "", "Pending", Some(Standing::Starting)),
        ("shop", "pending", "Pending", Some(Standing::Pending)),
        ("bank", "enabled", "Running", Some(Standing::Releasing)),
        ("bank", "", "Running", None),
        ("shop", "enabled", "Succeeded", None),
    ] {
        let found = stand(pod(namespace, "a", mark, phase));
        assert_eq!(found, standing, "{namespace} {mark} {phase}");
    }
}

#[test]
fn who_is_left_out_is_told_why() {
    let mut node = pod("shop", "a", "", "Running");
    node["spec"]["hostNetwork"] = true.into();
    let mut opted = pod("shop", "a", "", "Running");
    opted["metadata"]["labels"] = json!({"istio.io/dataplane-mode": "none"});
    let mut sidecar = pod("shop", "a", "", "Running");
    sidecar["spec"]["containers"] = json!([{"name": "istio-proxy"}]);
    for (pod, why) in [
        (node, LeftOut::HostNetwork),
        (opted, LeftOut::ItsLabel),
        (sidecar, LeftOut::Sidecar),
    ] {
        assert_eq!(stand(pod), Some(Standing::LeftOut(why)));
    }
}

#[test]
fn the_last_event_tells_why() {
    let event = |at: &str, why: &str| -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {"uid": "u"}, "lastTimestamp": at,
            "message": format!("the mesh does not capture this pod yet: {why}"),
        }))
        .unwrap()
    };
    let events = [
        event("2026-01-01T00:00:09Z", "b: c"),
        event("2026-01-01T00:00:01Z", "a"),
    ];
    assert_eq!(reasons(&events)["u"], "b: c");
}

#[test]
fn every_control_plane_tells_of_its_own_agents() {
    let pages = [
        r#"{"n1": [{"uid": "a", "namespace": "shop", "name": "a", "older_connections": 2}]}"#,
        r#"{"n2": []}"#,
    ];
    let all = older_connections(&pages).unwrap();
    assert_eq!(all, BTreeMap::from([("a".to_owned(), 2)]));
    assert_eq!(older_connections(&["not that page"]), None);
}
