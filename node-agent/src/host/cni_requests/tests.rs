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

/// Has the control plane tell that the pods' namespace is enrolled or not, and maybe of one pod.
fn told(node: &Node, enrolled: bool, pod: Option<(&str, bool)>) {
    let names = |uid| names(uid);
    node.host.roster.take(RosterUpdate {
        is_snapshot: true,
        pods: pod
            .into_iter()
            .map(|(uid, enrolled)| NodePod {
                uid: uid.to_owned(),
                namespace: names(uid).namespace,
                name: names(uid).name,
                service_account: names(uid).service_account,
                enrolled,
                ..NodePod::default()
            })
            .collect(),
        namespaces: Some(Namespaces {
            enrolled: enrolled.then(|| "shop".to_owned()).into_iter().collect(),
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
    told(&node, false, Some(("a", true)));
    let request = pod("a", &namespace);
    let answer = add(&node.host, request.clone(), descriptor(&namespace)).await;
    assert_eq!(answer.state.as_deref(), Some("captured"), "{answer:?}");
    assert_eq!(account_of(&node, "a").as_deref(), Some("web"));
    // The kubelet asks again if the runtime lost the answer.
    let again = add(&node.host, request, descriptor(&namespace)).await;
    assert_eq!(again.state.as_deref(), Some("captured"), "{again:?}");
}

#[tokio::test]
async fn a_pod_is_captured_before_its_service_account_is_known() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    told(&node, true, None);
    let answer = add(&node.host, pod("a", &namespace), descriptor(&namespace)).await;
    assert_eq!(answer.state.as_deref(), Some("captured"), "{answer:?}");
    assert_eq!(account_of(&node, "a").as_deref(), Some(""));
}

#[tokio::test]
async fn a_pod_of_nobody_is_left_alone_and_an_unknown_one_refused() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let request = || pod("a", &namespace);
    let answer = add(&node.host, request(), descriptor(&namespace)).await;
    assert_eq!(
        (answer.ok, answer.reason.as_deref()),
        (false, Some("unknown_pod"))
    );
    assert_eq!(answer.state, None, "nobody says that it is of the mesh");
    for (enrolled, pod) in [(false, None), (true, Some(("a", false)))] {
        told(&node, enrolled, pod);
        let answer = add(&node.host, request(), descriptor(&namespace)).await;
        assert_eq!(answer, Answer::in_state("not-enrolled"));
    }
    assert!(node.host.pod_views().is_empty());
}

#[tokio::test]
async fn a_pod_without_a_namespace_that_can_be_found_is_refused() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    told(&node, true, None);
    let answer = add(&node.host, pod("a", &namespace), None).await;
    assert_eq!(answer.reason.as_deref(), Some("no_namespace"), "{answer:?}");
    assert_eq!(answer.state.as_deref(), Some("not-captured"), "{answer:?}");
}

#[tokio::test]
async fn a_check_tells_captured_pods_from_those_that_should_be() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let other = Namespace::make("other");
    let node = ground.run(true);
    let request = pod("a", &namespace);
    let look = |at: &Namespace| check(&node.host, &request, descriptor(at));
    assert_eq!(
        look(&namespace),
        Answer::in_state("not-enrolled"),
        "who knows"
    );
    told(&node, true, None);
    assert_eq!(look(&namespace).reason.unwrap(), "not_captured");
    add(&node.host, request.clone(), descriptor(&namespace)).await;
    assert_eq!(look(&namespace), Answer::in_state("captured"));
    assert_eq!(look(&other).reason.unwrap(), "other_namespace");
    let without = check(&node.host, &request, None);
    assert_eq!(without, Answer::in_state("captured"));
}

#[test]
fn the_end_of_a_pod_is_never_refused() {
    let end = CniEnd {
        uid: names("never-seen").uid,
        container: "c-1".to_owned(),
    };
    assert_eq!(del(&end), Answer::done());
}
