use std::fs::File;

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

fn capture(account: Option<&str>) -> Verdict {
    Verdict::Capture {
        service_account: account.map(str::to_owned),
    }
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
    let request = pod("a", &namespace);
    let verdict = |_: &CniPod| capture(Some("web"));
    let answer = add(&node.host, request.clone(), descriptor(&namespace), verdict).await;
    assert_eq!(answer.state.as_deref(), Some("captured"), "{answer:?}");
    assert_eq!(account_of(&node, "a").as_deref(), Some("web"));
    // The kubelet asks again if the runtime lost the answer.
    let again = add(&node.host, request, descriptor(&namespace), verdict).await;
    assert_eq!(again.state.as_deref(), Some("captured"), "{again:?}");
}

#[tokio::test]
async fn a_pod_is_captured_before_its_service_account_is_known() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let request = pod("a", &namespace);
    let answer = add(&node.host, request, descriptor(&namespace), |_| {
        capture(None)
    })
    .await;
    assert_eq!(answer.state.as_deref(), Some("captured"), "{answer:?}");
    assert_eq!(account_of(&node, "a").as_deref(), Some(""));
}

#[tokio::test]
async fn a_pod_of_nobody_is_left_alone_and_an_unknown_one_refused() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let request = || pod("a", &namespace);
    let answer = add(&node.host, request(), descriptor(&namespace), |_| {
        Verdict::Leave
    })
    .await;
    assert_eq!(answer, Answer::in_state("not-enrolled"));
    let answer = add(&node.host, request(), descriptor(&namespace), |_| {
        Verdict::Unknown
    })
    .await;
    assert_eq!(
        (answer.ok, answer.reason.as_deref()),
        (false, Some("unknown_pod"))
    );
    assert!(node.host.pod_views().is_empty());
}

#[tokio::test]
async fn a_pod_without_a_namespace_that_can_be_found_is_refused() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let request = pod("a", &namespace);
    let answer = add(&node.host, request, None, |_| capture(Some("web"))).await;
    assert_eq!(answer.reason.as_deref(), Some("no_namespace"), "{answer:?}");
}

#[tokio::test]
async fn a_check_tells_captured_pods_from_those_that_should_be() {
    let (ground, namespace) = (Ground::make(), Namespace::make("pod"));
    let other = Namespace::make("other");
    let node = ground.run(true);
    let request = pod("a", &namespace);
    let look = |at: &Namespace, verdict| check(&node.host, &request, descriptor(at), |_| verdict);
    let refused = |answer: Answer| answer.reason.unwrap();
    assert_eq!(refused(look(&namespace, capture(None))), "not_captured");
    for verdict in [Verdict::Leave, Verdict::Unknown] {
        assert_eq!(look(&namespace, verdict), Answer::in_state("not-enrolled"));
    }
    add(&node.host, request.clone(), descriptor(&namespace), |_| {
        capture(None)
    })
    .await;
    assert_eq!(
        look(&namespace, Verdict::Unknown),
        Answer::in_state("captured")
    );
    assert_eq!(refused(look(&other, capture(None))), "other_namespace");
    let without = check(&node.host, &request, None, |_| Verdict::Unknown);
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
