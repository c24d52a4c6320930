use ambit_wire::node::host_to_proxy::Kind;

use super::*;
use crate::host::testing::fakes::{Fakes, PATIENCE};
use crate::host::testing::{Ground, Namespace, Node, names, start_children};
use crate::host::{agent_socket, enrol};

async fn enrolled(node: &Node, uid: &str, pod: &Namespace) {
    let netns = NetNs::open(pod.path()).unwrap();
    enrol::enrol(&node.host, names(uid), netns, Some(pod.path()))
        .await
        .unwrap();
}

/// Offers handovers of a role in a task; the answer resolves when one has succeeded.
fn offering(ground: &Ground, node: &Node) -> tokio::task::JoinHandle<Frames> {
    let listener = agent_socket::bind(&ground.folder.path().join("handover.sock")).unwrap();
    let host = Arc::clone(&node.host);
    tokio::spawn(async move { offer(&host, &listener, &watch::Sender::new(Phase::Idle)).await })
}

#[tokio::test]
async fn the_next_role_gets_pods_listeners_and_pages_and_the_old_one_touches_nothing_more() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let old = ground.run(true);
    enrolled(&old, "a", &pod).await;
    let offering = offering(&ground, &old);

    let fakes = Fakes::new(false);
    let new = Node {
        host: ground.role(&fakes),
        fakes,
    };
    let socket = ground.folder.path().join("handover.sock");
    let takeover = begin(&new.host, &socket).await.unwrap().unwrap();
    assert_eq!(new.host.pod_views(), old.host.pod_views());
    assert_eq!(new.host.pages.lock().len(), 5);
    start_children(&new.host);
    let proxy = new.fakes.proxy(2).await;
    new.fakes
        .until(|| proxy.listeners.lock().contains_key("a"))
        .await;
    assert!(
        !proxy.was_told(|told| matches!(told, Kind::Pages(_))),
        "the old one answers them"
    );

    proxy.says.send(crate::link::ToHost::Ready).unwrap();
    takeover.conclude(&new.host).await.unwrap();
    let frames = offering.await.unwrap();
    let former = old.fakes.proxy(1).await;
    old.fakes
        .until(|| former.was_told(|told| matches!(told, Kind::Drain(_))))
        .await;
    assert!(former.was_told(|told| matches!(told, Kind::Heir(_))));
    new.fakes
        .until(|| proxy.was_told(|told| matches!(told, Kind::Pages(_))))
        .await;
    assert!(proxy.was_told(|told| matches!(told, Kind::Ancestor(_))));
    let released = release::release(&old.host, &names("a").uid)
        .await
        .unwrap_err();
    assert_eq!(released.reason(), "retired");
    assert!(pod.shell("nft list ruleset").contains("redirect to :15001"));

    assert!(new.host.has_ancestor());
    drop(frames);
    assert!(
        new.host
            .wait_until(PATIENCE, || !new.host.has_ancestor())
            .await
    );
    release::release(&new.host, &names("a").uid).await.unwrap();
    assert!(
        new.host
            .wait_until(PATIENCE, || new.host.pod_views().is_empty())
            .await
    );
}

#[tokio::test]
async fn a_pod_that_drains_goes_on_until_the_old_role_has_ended() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let old = ground.run(true);
    enrolled(&old, "a", &pod).await;
    old.fakes.hold_connections(true);
    release::release(&old.host, &names("a").uid).await.unwrap();
    let offering = offering(&ground, &old);

    let fakes = Fakes::new(true);
    let new = Node {
        host: ground.role(&fakes),
        fakes,
    };
    let socket = ground.folder.path().join("handover.sock");
    let takeover = begin(&new.host, &socket).await.unwrap().unwrap();
    start_children(&new.host);
    takeover.conclude(&new.host).await.unwrap();
    let frames = offering.await.unwrap();
    assert_eq!(new.host.pod_views()[0].state, "draining");
    assert!(pod.shell("nft list ruleset").contains("ct state invalid"));
    drop(frames);
    assert!(
        new.host
            .wait_until(PATIENCE, || new.host.pod_views().is_empty())
            .await
    );
    assert_eq!(pod.shell("nft list ruleset"), "");
}

#[tokio::test]
async fn a_role_that_does_not_serve_makes_way_at_once() {
    let ground = Ground::make();
    let old = ground.run(false);
    old.fakes.proxy(1).await;
    let offering = offering(&ground, &old);
    let fakes = Fakes::new(false);
    let host = ground.role(&fakes);
    let socket = ground.folder.path().join("handover.sock");
    let takeover = begin(&host, &socket).await.unwrap().unwrap();
    takeover.conclude(&host).await.unwrap();
    offering.await.unwrap();
}

#[tokio::test]
async fn a_successor_that_fails_changes_nothing() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let old = ground.run(true);
    let _offering = offering(&ground, &old);
    let socket = ground.folder.path().join("handover.sock");
    let failed = ground.role(&Fakes::new(false));
    drop(begin(&failed, &socket).await.unwrap().unwrap());
    enrolled(&old, "a", &pod).await;
    assert_eq!(old.host.pod_views()[0].state, "captured");

    let stranger = UnixStream::connect(&socket).await.unwrap();
    let mut frames = Frames::new(stranger);
    frames
        .send(
            &Word::Hello {
                version: 99,
                names: true,
            },
            &[],
        )
        .await
        .unwrap();
    assert!(
        frames.recv().await.unwrap().is_none(),
        "another version is not served"
    );
    assert!(!old.host.retired.is_cancelled());
}

#[tokio::test]
async fn without_a_former_role_there_is_nothing_to_take_over() {
    let ground = Ground::make();
    let host = ground.role(&Fakes::new(true));
    let socket = ground.folder.path().join("handover.sock");
    assert!(begin(&host, &socket).await.unwrap().is_none());
    drop(agent_socket::bind(&socket).unwrap());
    assert!(
        begin(&host, &socket).await.unwrap().is_none(),
        "a socket that was left behind"
    );
}
