use std::os::fd::AsFd;

use ambit_netsys::{NetNs, sockets};

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

async fn serves(node: &Node, number: u64) -> bool {
    node.host
        .wait_until(PATIENCE, || node.host.generations.lock().serves(number))
        .await
}

#[tokio::test]
async fn a_dead_proxy_is_replaced_and_the_listeners_live_on() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node, "a", &pod).await;
    let first = node.fakes.proxy(1).await;
    first.dead.cancel();
    assert!(serves(&node, 2).await);
    let second = node.fakes.proxy(2).await;
    node.fakes
        .until(|| second.listeners.lock().contains_key("a"))
        .await;
    assert!(
        second.listeners.lock()["a"]
            .iter()
            .all(|l| sockets::is_listening(l).unwrap())
    );
    assert!(second.was_told(|told| matches!(told, Kind::Pages(_))));
    assert_eq!(node.host.counters.numbers()["proxies_died"], 1);
}

#[tokio::test]
async fn a_replacement_serves_before_the_old_one_drains_and_the_two_are_linked() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(false);
    let first = node.fakes.proxy(1).await;
    first.says.send(ToHost::Ready).unwrap();
    assert!(serves(&node, 1).await);
    enrolled(&node, "a", &pod).await;
    assert_eq!(replace(&node.host).await.unwrap(), 2);
    assert_eq!(
        replace(&node.host).await.unwrap(),
        2,
        "one replacement at a time"
    );
    let second = node.fakes.proxy(2).await;
    node.fakes
        .until(|| second.listeners.lock().contains_key("a"))
        .await;
    assert!(!first.was_told(|told| matches!(told, Kind::Drain(_))));
    assert!(!second.was_told(|told| matches!(told, Kind::Pages(_))));

    second.says.send(ToHost::Ready).unwrap();
    node.fakes
        .until(|| first.was_told(|told| matches!(told, Kind::Drain(_))))
        .await;
    assert!(first.was_told(|told| matches!(told, Kind::Heir(Heir { generation: 2 }))));
    node.fakes
        .until(|| second.was_told(|told| matches!(told, Kind::Pages(_))))
        .await;
    let order = second
        .told
        .lock()
        .iter()
        .map(word)
        .collect::<Vec<_>>()
        .join(" ");
    assert!(order.ends_with("ancestor pages"), "{order}");
    let one_left = || node.host.generations.lock().numbers() == [2];
    assert!(node.host.wait_until(PATIENCE, one_left).await);
    assert_eq!(node.host.counters.numbers()["proxies_died"], 0);
}

fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Ancestor(_) => "ancestor",
        Kind::Pages(_) => "pages",
        _ => "other",
    }
}

#[tokio::test]
async fn a_proxy_that_asks_to_leave_is_replaced_first() {
    let ground = Ground::make();
    let node = ground.run(true);
    assert!(serves(&node, 1).await);
    node.fakes
        .proxy(1)
        .await
        .says
        .send(ToHost::Leaving)
        .unwrap();
    assert!(serves(&node, 2).await);
    let first = node.fakes.proxy(1).await;
    node.fakes
        .until(|| first.was_told(|told| matches!(told, Kind::Drain(_))))
        .await;
}

#[tokio::test]
async fn sockets_come_for_enrolled_pods_only() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node, "a", &pod).await;
    let proxy = node.fakes.proxy(1).await;
    let ask = |uid: &str, count| ToHost::NeedSockets {
        pod_uid: link::PodUid::new(uid).unwrap(),
        kind: SocketKind::App4,
        count,
    };
    proxy.says.send(ask("stranger", 8)).unwrap();
    proxy.says.send(ask("a", 8)).unwrap();
    node.fakes.until(|| proxy.sockets.lock().len() == 8).await;
    let sockets = proxy.sockets.lock();
    for socket in sockets.iter() {
        let mark = nix::sys::socket::getsockopt(&socket.as_fd(), nix::sys::socket::sockopt::Mark);
        assert_eq!(mark.unwrap(), sockets::APP_MARK);
    }
    assert_eq!(node.host.counters.numbers()["records_rejected"], 1);
}

#[tokio::test]
async fn a_new_control_role_is_told_everything_and_every_proxy_gets_a_new_feed() {
    use ambit_wire::node::host_to_control::Kind as ToControl;
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    enrolled(&node, "a", &pod).await;
    let captured = || {
        node.fakes
            .told_control(|told| matches!(told, ToControl::Captured(_)))
    };
    let feeds = || {
        node.fakes
            .told_control(|told| matches!(told, ToControl::Proxy(_)))
    };
    node.fakes.until(|| captured() == 1 && feeds() >= 1).await;
    let before = feeds();
    node.fakes.kill_control();
    node.fakes
        .until(|| captured() == 2 && feeds() == before + 1)
        .await;
    let proxy = node.fakes.proxy(1).await;
    node.fakes
        .until(|| proxy.was_told(|told| matches!(told, Kind::Feed(_))))
        .await;
}
