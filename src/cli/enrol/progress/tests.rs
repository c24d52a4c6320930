use serde_json::{from_value, json};

use super::*;
use crate::cli::standing::tests::{namespace, pod};

fn progress(wish: Wish, is_enrolled: bool, pods: Vec<Value>) -> Progress {
    let namespaces = [from_value(namespace("shop", is_enrolled)).unwrap()];
    let pods: Vec<Pod> = pods
        .into_iter()
        .map(|pod| from_value(pod).unwrap())
        .collect();
    let event = from_value(json!({
        "metadata": {}, "involvedObject": {"uid": "uid-c"},
        "message": "the mesh does not capture this pod yet: no such namespace",
    }));
    Progress::of(
        wish,
        &MeshNames::default(),
        &namespaces,
        &pods,
        &[event.unwrap()],
    )
}

fn some() -> Vec<Value> {
    let mut outside = pod("shop", "d", "", "Running");
    outside["spec"]["hostNetwork"] = true.into();
    vec![
        pod("shop", "a", "enabled", "Running"),
        pod("shop", "b", "", "Pending"),
        pod("shop", "c", "pending", "Running"),
        outside,
    ]
}

#[test]
fn it_tells_how_many_are_captured_and_why_the_others_are_not() {
    let progress = progress(Wish::Captured, true, some());
    assert!(!progress.is_over());
    assert_eq!(
        progress.bar(),
        "[######..............] 1 of 3 pods captured"
    );
    assert_eq!(
        progress.report(),
        "1 of 3 pods captured\n  shop/d is left out: on the network of its node\n"
    );
    assert_eq!(
        progress.complaint(),
        "error: shop/b on n1: it has not started\nerror: shop/c on n1: no such namespace\n\
         see `ambit status`, and the logs of the agents on these nodes\n"
    );
}

#[test]
fn releasing_waits_for_those_that_are_captured_still() {
    let before = progress(Wish::Released, false, some());
    assert!(!before.is_over());
    assert_eq!(before.report(), "3 of 4 pods out of the mesh\n");
    let mut own = pod("shop", "a", "enabled", "Running");
    own["metadata"]["labels"] = json!({"ambit.mesh/dataplane-mode": "ambient"});
    let after = progress(
        Wish::Released,
        false,
        vec![own, pod("shop", "b", "", "Running")],
    );
    assert!(after.is_over());
    assert_eq!(
        after.report(),
        "1 of 1 pods out of the mesh\n  shop/a stays captured: its own label asks for it\n"
    );
}

#[test]
fn a_namespace_without_pods_is_done() {
    let progress = progress(Wish::Captured, true, Vec::new());
    assert!(progress.is_over());
    assert_eq!(
        progress.bar(),
        "[####################] 0 of 0 pods captured"
    );
}
