use ambit_netsys::NetNs;
use ambit_wire::node::host_to_control::Kind as ToControl;

use super::*;
use crate::host::enrol;
use crate::host::testing::fakes::PATIENCE;
use crate::host::testing::{Ground, Namespace, Node, names};

async fn enrolled(node: &Node, uid: &str, pod: &Namespace) {
    let netns = NetNs::open(pod.path()).unwrap();
    enrol::enrol(&node.host, names(uid), netns, Some(pod.path()))
        .await
        .unwrap();
}

async fn gone(node: &Node, uid: &str) -> bool {
    let uid = names(uid).uid;
    node.host
        .wait_until(PATIENCE, || node.host.pods.lock().get(&uid).is_none())
        .await
}

/// Everything of a namespace that a capture changes.
fn traces(pod: &Namespace) -> String {
    pod.shell(
        "nft list ruleset; ip rule list; ip -6 rule list; ip route show table all; ss -Hltn; \
         cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/fwmark_reflect \
         /proc/sys/net/ipv4/tcp_fwmark_accept /proc/sys/net/ipv6/fwmark_reflect \
         /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait",
    )
}

#[tokio::test]
async fn a_released_pod_is_withdrawn_then_drained_then_untouched() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let before = traces(&pod);
    enrolled(&node, "a", &pod).await;
    assert_ne!(traces(&pod), before);
    node.fakes.hold_connections(true);

    let uid = names("a").uid;
    assert_eq!(release(&node.host, &uid).await.unwrap(), PodState::Draining);
    assert_eq!(
        node.fakes
            .told_control(|told| matches!(told, ToControl::Withdraw(_))),
        1
    );
    let rules = pod.shell("nft list ruleset");
    assert!(
        rules.contains("ct state invalid") && !rules.contains("redirect"),
        "{rules}"
    );
    assert_eq!(
        pod.shell("ss -Hltn | wc -l").trim(),
        "6",
        "listeners stay for what is open"
    );
    assert_eq!(release(&node.host, &uid).await.unwrap(), PodState::Draining);

    node.fakes.hold_connections(false);
    assert!(gone(&node, "a").await);
    let proxy = node.fakes.proxy(1).await;
    node.fakes
        .until(|| !proxy.listeners.lock().contains_key("a"))
        .await;
    assert_eq!(traces(&pod), before);
    assert!(node.host.kept.load().unwrap().0.is_empty());
    assert_eq!(
        release(&node.host, &uid).await.unwrap_err().reason(),
        "unknown_pod"
    );
}

#[tokio::test]
async fn a_draining_pod_can_be_enrolled_again_and_stays_captured() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node, "a", &pod).await;
    node.fakes.hold_connections(true);
    release(&node.host, &names("a").uid).await.unwrap();
    enrolled(&node, "a", &pod).await;
    node.fakes.hold_connections(false);
    assert!(pod.shell("nft list ruleset").contains("redirect to :15001"));
    assert_eq!(node.host.pod_views()[0].state, "captured");
    assert_eq!(pod.shell("ss -Hltn | wc -l").trim(), "6");
}

#[tokio::test]
async fn the_death_of_the_proxy_ends_a_draining() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node, "a", &pod).await;
    node.fakes.hold_connections(true);
    release(&node.host, &names("a").uid).await.unwrap();
    node.fakes.proxy(1).await.dead.cancel();
    assert!(gone(&node, "a").await);
    let next = node.fakes.proxy(2).await;
    assert!(!next.listeners.lock().contains_key("a"));
}

#[tokio::test]
async fn a_deleted_pod_ends_its_draining() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node, "a", &pod).await;
    node.fakes.hold_connections(true);
    release(&node.host, &names("a").uid).await.unwrap();
    drop(pod);
    assert!(gone(&node, "a").await);
}

#[tokio::test]
async fn a_pod_whose_rules_cannot_be_changed_stays_captured() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node, "a", &pod).await;
    let fixed = pod.with_fixed_rules();
    let uid = names("a").uid;
    let refused = release(&node.host, &uid).await.unwrap_err();
    assert_eq!(refused.reason(), "rules_failed", "{refused}");
    assert_eq!(node.host.pod_views()[0].state, "captured");
    let proxy = node.fakes.proxy(1).await;
    assert!(!proxy.was_told(|told| matches!(told, ToProxy::Release(_))));
    let captured = |told: &ToControl| matches!(told, ToControl::Captured(_));
    let advertised = || node.fakes.told_control(captured) == 2;
    node.fakes.until(advertised).await;
    drop(fixed);
    assert_eq!(release(&node.host, &uid).await.unwrap(), PodState::Draining);
}

#[tokio::test]
async fn rules_that_cannot_be_removed_are_not_forgotten() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node, "a", &pod).await;
    node.fakes.hold_connections(true);
    release(&node.host, &names("a").uid).await.unwrap();
    let fixed = pod.with_fixed_rules();
    let proxy = node.fakes.proxy(1).await;
    node.fakes.hold_connections(false);
    let forgets = || {
        let told = proxy.told.lock();
        let forgets = told
            .iter()
            .filter(|told| matches!(told, ToProxy::Forget(_)));
        forgets.count()
    };
    node.fakes.until(|| forgets() == 2).await;
    assert_eq!(node.host.pod_views()[0].state, "draining");
    assert_eq!(node.host.kept.load().unwrap().0.len(), 1);
    drop(fixed);
    assert!(gone(&node, "a").await);
}
