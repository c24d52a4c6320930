use std::net::SocketAddr;

use ambit_wire::node::host_to_proxy::Kind as ToProxy;

use super::*;
use crate::host::testing::{Ground, Namespace, names};

async fn enrolled(host: &Arc<Host>, uid: &str, pod: &Namespace) -> Result<PodState, EnrolError> {
    let netns = NetNs::open(pod.path()).unwrap();
    enrol(host, names(uid), netns, Some(pod.path())).await
}

#[tokio::test]
async fn an_enrolled_pod_has_rules_listeners_and_a_proxy_and_the_control_role_knows() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    assert_eq!(
        enrolled(&node.host, "a", &pod).await.unwrap(),
        PodState::Captured
    );
    assert!(
        pod.shell("nft list table inet ambit")
            .contains("redirect to :15001")
    );
    assert_eq!(pod.shell("ss -Hltn | wc -l").trim(), "6");
    assert_eq!(pod.shell("cat /proc/sys/net/core/somaxconn").trim(), "4096");
    let proxy = node.fakes.proxy(1).await;
    assert_eq!(proxy.listeners.lock()["a"].len(), 6);
    node.fakes
        .until(|| {
            node.fakes
                .told_control(|t| matches!(t, ToControl::Captured(_)))
                == 1
        })
        .await;
    assert_eq!(
        node.fakes
            .told_control(|t| matches!(t, ToControl::Prepare(_))),
        1
    );
    let told = node.host.kept.load().unwrap().0;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].state, PodState::Captured);

    assert_eq!(
        enrolled(&node.host, "a", &pod).await.unwrap(),
        PodState::Captured
    );
    assert_eq!(
        node.host.counters.numbers()["enrolled"],
        1,
        "the second time changes nothing"
    );
}

#[tokio::test]
async fn the_node_itself_and_a_second_uid_are_refused_and_leave_no_trace() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node.host, "a", &pod).await.unwrap();
    let error = enrolled(&node.host, "b", &pod).await.unwrap_err();
    assert_eq!(error.reason(), "namespace_taken");
    let own = node.host.node.try_clone().unwrap();
    let error = enrol(&node.host, names("c"), own, None).await.unwrap_err();
    assert_eq!(error.reason(), "node_namespace");
    assert_eq!(node.host.pod_views().len(), 1);
    assert!(pod.shell("nft list tables").contains("ambit"));
}

#[tokio::test]
async fn an_enrolment_that_fails_leaves_the_namespace_as_it_was() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let hbone: SocketAddr = "0.0.0.0:15008".parse().unwrap();
    let taken = listeners::open(&pod.open(), &[hbone]).unwrap();
    let limit = pod.shell("cat /proc/sys/net/core/somaxconn");
    let error = enrolled(&node.host, "a", &pod).await.unwrap_err();
    assert_eq!(error.reason(), "listen_failed");
    assert!(error.to_string().contains("15008"), "{error}");
    assert!(node.host.pod_views().is_empty());
    assert_eq!(pod.shell("nft list tables"), "");
    assert_eq!(pod.shell("cat /proc/sys/net/core/somaxconn"), limit);
    assert!(node.host.kept.load().unwrap().0.is_empty());
    drop(taken);
    enrolled(&node.host, "a", &pod).await.unwrap();
}

#[tokio::test]
async fn without_a_proxy_nothing_is_redirected() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let fakes = crate::host::testing::fakes::Fakes::new(true);
    let mut host = ground.role(&fakes);
    Arc::get_mut(&mut host).unwrap().limits.attach_time = std::time::Duration::from_millis(50);
    let error = enrolled(&host, "a", &pod).await.unwrap_err();
    assert_eq!(error.reason(), "no_proxy");
    assert_eq!(pod.shell("nft list tables"), "");
    assert_eq!(pod.shell("ss -Hltn"), "");
}

#[tokio::test]
async fn a_pod_made_anew_under_its_old_uid_replaces_the_one_that_is_gone() {
    let (ground, old) = (Ground::make(), Namespace::make("old"));
    let node = ground.run(true);
    enrolled(&node.host, "a", &old).await.unwrap();
    let new = Namespace::make("new");
    let error = enrolled(&node.host, "a", &new).await.unwrap_err();
    assert_eq!(error.reason(), "uid_elsewhere");
    drop(old);
    enrolled(&node.host, "a", &new).await.unwrap();
    assert!(new.shell("nft list tables").contains("ambit"));
    let proxy = node.fakes.proxy(1).await;
    node.fakes
        .until(|| proxy.was_told(|told| matches!(told, ToProxy::Forget(_))))
        .await;
}

#[tokio::test]
async fn a_handshake_under_way_does_not_hold_an_enrolment_up_for_long() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    // A first packet that is never answered.
    pod.shell(
        "nft 'add table ip silence; \
              add chain ip silence in { type filter hook input priority 0; }; \
              add rule ip silence in tcp dport 9 drop'",
    );
    let connecting = pod.open().run(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
        socket.connect(&address.into()).unwrap_err();
        socket
    });
    assert!(firewall::has_half_open(&pod.open()).await.unwrap());
    enrolled(&node.host, "a", &pod).await.unwrap();
    assert!(
        pod.shell("nft list table inet ambit")
            .contains("redirect to :15001")
    );
    drop(connecting);
    // A process that another test starts at this moment may hold it until it runs its program.
    let closed = async {
        while firewall::has_half_open(&pod.open()).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    let closed = tokio::time::timeout(std::time::Duration::from_secs(5), closed).await;
    closed.unwrap();
}
