use std::fs::File;

use ambit_wire::node::{Namespaces, NodePod, RosterUpdate};

use super::*;
use crate::host::testing::{Ground, Namespace, Node, names};

fn pod(uid: &str, namespace: &Namespace) -> CniPod {
    let names = names(uid);
    CniPod {
        // As the runtime sees it: no path of the agent's.
        netns: Some(format!("/nowhere{}", namespace.path())),
        uid: names.uid,
        namespace: names.namespace,
        name: names.name,
        ips: names.ips,
        container: "c-1".to_owned(),
    }
}

fn descriptor(namespace: &Namespace) -> Option<OwnedFd> {
    Some(File::open(namespace.path()).unwrap().into())
}

/// Lets the control plane say which namespaces and which pods are enrolled, and which are not.
fn tell(node: &Node, namespaces: &[&str], pods: &[(&str, bool)]) {
    let pods = pods.iter().map(|(uid, enrolled)| NodePod {
        uid: (*uid).to_owned(),
        namespace: "shop".to_owned(),
        name: format!("pod-{uid}"),
        service_account: "web".to_owned(),
        enrolled: *enrolled,
        ..NodePod::default()
    });
    node.host.roster.take(RosterUpdate {
        is_snapshot: true,
        pods: pods.collect(),
        namespaces: Some(Namespaces {
            enrolled: namespaces.iter().map(ToString::to_string).collect(),
            excluded: Vec::new(),
        }),
        ..RosterUpdate::default()
    });
}

fn account_of(node: &Node, uid: &str) -> Option<String> {
    let pods = node.host.pods.lock();
    let pod = pods.get(&names(uid).uid)?;
    Some(pod.names.service_account.clone())
}

#[tokio::test]
async fn a_pod_of_the_mesh_is_captured_by_its_descriptor() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    tell(&node, &[], &[("a", true)]);
    let add = || add(&node.host, pod("a", &namespace), descriptor(&namespace));
    let answer = add().await;
    assert_eq!(answer.state.as_deref(), Some("captured"), "{answer:?}");
    assert_eq!(account_of(&node, "a").as_deref(), Some("web"));
    // The kubelet asks again if the runtime lost the answer.
    assert_eq!(add().await, answer);
}

#[tokio::test]
async fn a_pod_is_captured_before_its_service_account_is_known() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    tell(&node, &["shop"], &[]);
    let answer = add(&node.host, pod("a", &namespace), descriptor(&namespace)).await;
    assert_eq!(answer.state.as_deref(), Some("captured"), "{answer:?}");
    assert_eq!(account_of(&node, "a").as_deref(), Some(""));
}

#[tokio::test]
async fn a_pod_of_nobody_is_left_alone_and_an_unknown_one_refused() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let add = || add(&node.host, pod("a", &namespace), descriptor(&namespace));
    let answer = add().await;
    assert_eq!(
        (answer.ok, answer.reason.as_deref()),
        (false, Some("unknown_pod"))
    );
    tell(&node, &["shop"], &[("a", false)]);
    assert_eq!(add().await, Answer::in_state("not-enrolled"));
    tell(&node, &["blog"], &[]);
    assert_eq!(add().await, Answer::in_state("not-enrolled"));
    assert!(node.host.pod_views().is_empty());
}

#[tokio::test]
async fn a_pod_without_a_namespace_that_can_be_found_is_refused() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    tell(&node, &["shop"], &[]);
    let answer = add(&node.host, pod("a", &namespace), None).await;
    assert_eq!(answer.reason.as_deref(), Some("no_namespace"), "{answer:?}");
}

#[tokio::test]
async fn a_check_tells_captured_pods_from_those_that_should_be() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let other = Namespace::make("other");
    let node = ground.run(true);
    let request = pod("a", &namespace);
    let look = |at: &Namespace| check(&node.host, &request, descriptor(at));
    let refused = |answer: Answer| answer.reason.unwrap();
    assert_eq!(look(&namespace), Answer::in_state("not-enrolled"));
    tell(&node, &["shop"], &[("a", false)]);
    assert_eq!(look(&namespace), Answer::in_state("not-enrolled"));
    tell(&node, &["shop"], &[]);
    assert_eq!(refused(look(&namespace)), "not_captured");
    add(&node.host, request.clone(), descriptor(&namespace)).await;
    assert_eq!(look(&namespace), Answer::in_state("captured"));
    assert_eq!(refused(look(&other)), "other_namespace");
    assert_eq!(
        check(&node.host, &request, None),
        Answer::in_state("captured")
    );
}

#[test]
fn the_end_of_a_pod_is_never_refused() {
    let end = CniEnd {
        uid: names("never-seen").uid,
        container: "c-1".to_owned(),
    };
    assert_eq!(del(&end), Answer::done());
}
