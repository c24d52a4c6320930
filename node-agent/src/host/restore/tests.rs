use super::*;
use crate::host::testing::fakes::Fakes;
use crate::host::testing::{Ground, Namespace, Node, names, start_children};

/// A captured pod with its address, whose host role was killed.
async fn killed(ground: &Ground, pod: &Namespace) {
    pod.shell("ip addr add 10.0.0.2/32 dev lo");
    let node = ground.run(true);
    let netns = NetNs::open(pod.path()).unwrap();
    enrol::enrol(&node.host, names("a"), netns, Some(pod.path()))
        .await
        .unwrap();
    // Nothing is released or undone.
    node.host
        .tasks
        .finish(Duration::from_secs(5))
        .await
        .unwrap();
    node.fakes.until(|| node.fakes.all_dead()).await;
}

async fn restarted(ground: &Ground) -> Node {
    let fakes = Fakes::new(true);
    let host = ground.role(&fakes);
    restore(&host).await;
    start_children(&host);
    Node { host, fakes }
}

#[tokio::test]
async fn a_killed_role_leaves_pods_refusing_and_its_successor_serves_them() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    killed(&ground, &pod).await;
    assert!(
        pod.shell("nft list ruleset").contains("redirect to :15001"),
        "fail closed"
    );
    assert_eq!(pod.shell("ss -Hltn"), "");

    let node = restarted(&ground).await;
    assert_eq!(pod.shell("ss -Hltn | wc -l").trim(), "6");
    load_rules_again(&node.host).await.unwrap();
    assert!(pod.shell("nft list ruleset").contains("redirect to :15001"));
    let proxy = node.fakes.proxy(1).await;
    node.fakes
        .until(|| proxy.listeners.lock().contains_key("a"))
        .await;
    assert_eq!(node.host.pod_views()[0].state, "captured");
    release::release(&node.host, &names("a").uid).await.unwrap();
    let gone = || node.host.pod_views().is_empty();
    assert!(node.host.wait_until(Duration::from_secs(10), gone).await);
    assert_eq!(
        pod.shell("cat /proc/sys/net/ipv4/fwmark_reflect").trim(),
        "0",
        "as it was at first"
    );
}

#[tokio::test]
async fn a_pod_that_moved_is_found_by_its_namespace() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    killed(&ground, &pod).await;
    let kept = ground.role(&Fakes::new(true)).kept.clone();
    let record = kept.load().unwrap().0.remove(0);
    kept.save(&KeptPod {
        path: Some("/run/netns/elsewhere".to_owned()),
        ..record
    })
    .unwrap();
    assert_eq!(restarted(&ground).await.host.pod_views().len(), 1);
}

#[tokio::test]
async fn a_pod_that_vanished_is_forgotten() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    killed(&ground, &pod).await;
    drop(pod);
    let node = restarted(&ground).await;
    assert!(node.host.pod_views().is_empty());
    assert!(node.host.kept.load().unwrap().0.is_empty());
    assert_eq!(node.host.counters.numbers()["pods_vanished"], 1);
}

#[tokio::test]
async fn a_namespace_without_an_address_of_the_pod_is_not_the_pods() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    killed(&ground, &pod).await;
    pod.shell("ip addr del 10.0.0.2/32 dev lo");
    assert!(restarted(&ground).await.host.pod_views().is_empty());
}

#[tokio::test]
async fn a_pod_that_was_draining_is_cleaned_up() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    killed(&ground, &pod).await;
    let kept = ground.role(&Fakes::new(true)).kept.clone();
    let record = kept.load().unwrap().0.remove(0);
    kept.save(&KeptPod {
        state: PodState::Draining,
        ..record
    })
    .unwrap();
    let node = restarted(&ground).await;
    assert!(node.host.pod_views().is_empty());
    assert_eq!(pod.shell("nft list ruleset"), "");
}

#[tokio::test]
async fn a_pod_whose_ports_stay_taken_refuses_and_can_be_enrolled_again() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    killed(&ground, &pod).await;
    let address: [std::net::SocketAddr; 1] = ["0.0.0.0:15008".parse().unwrap()];
    let taken = crate::host::listeners::open(&pod.open(), &address).unwrap();
    let node = restarted(&ground).await;
    assert!(node.host.pod_views().is_empty());
    assert!(
        pod.shell("nft list ruleset").contains("redirect to :15001"),
        "fail closed"
    );
    drop(taken);
    let netns = NetNs::open(pod.path()).unwrap();
    enrol::enrol(&node.host, names("a"), netns, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_enrolment_that_was_cut_off_is_finished() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    killed(&ground, &pod).await;
    let kept = ground.role(&Fakes::new(true)).kept.clone();
    let record = kept.load().unwrap().0.remove(0);
    kept.save(&KeptPod {
        state: PodState::Enrolling,
        ..record
    })
    .unwrap();
    pod.shell("nft delete table inet ambit");
    let node = restarted(&ground).await;
    assert_eq!(node.host.pod_views()[0].state, "captured");
    assert!(pod.shell("nft list ruleset").contains("redirect to :15001"));
}
