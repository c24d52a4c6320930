use std::io::{ErrorKind, Read as _};
use std::net::{TcpListener, TcpStream};

use ambit_wire::node::{NodePod, RosterUpdate};

use super::*;
use crate::host::enrol;
use crate::host::names::PodNames;
use crate::host::testing::fakes::PATIENCE;
use crate::host::testing::{Ground, Namespace, Node, names};

/// A pod and the world, with a link between them; a connection from the pod to the world.
struct Place {
    pod: Namespace,
    _world: Namespace,
    client: TcpStream,
    _server: TcpStream,
}

impl Place {
    fn make() -> Self {
        let (pod, world) = (Namespace::make("pod"), Namespace::make("world"));
        let target = world.path().replace("/run/netns/", "");
        pod.shell(&format!(
            "ip link add e0 type veth peer name e1 netns {target} && ip link set e0 up && \
             ip addr add 10.0.0.2/24 dev e0"
        ));
        world.shell("ip link set e1 up && ip addr add 10.0.0.1/24 dev e1");
        let bind = || TcpListener::bind("10.0.0.1:0");
        let listener = world.open().run(bind).unwrap().unwrap();
        let to = listener.local_addr().unwrap();
        let client = pod.open().run(|| TcpStream::connect(to)).unwrap().unwrap();
        let server = listener.accept().unwrap().0;
        Self {
            pod,
            _world: world,
            client,
            _server: server,
        }
    }
}

async fn captured(node: &Node, pod: &Namespace) {
    let netns = NetNs::open(pod.path()).unwrap();
    let enrolled = enrol::enrol(&node.host, names("a"), netns, Some(pod.path())).await;
    assert_eq!(enrolled.unwrap(), PodState::Captured);
}

fn wish(at: u64) -> RosterUpdate {
    let names = names("a");
    RosterUpdate {
        pods: vec![NodePod {
            uid: "a".to_owned(),
            namespace: names.namespace,
            name: names.name,
            service_account: names.service_account,
            enrolled: true,
            cut_existing: at,
            no_dns_capture: false,
            ..NodePod::default()
        }],
        ..RosterUpdate::default()
    }
}

#[tokio::test]
async fn connections_older_than_the_capture_are_counted_and_cut_when_asked_for() {
    let (ground, mut place) = (Ground::make(), Place::make());
    let node = ground.run(true);
    node.host.tasks.spawn("older", run(Arc::clone(&node.host)));
    captured(&node, &place.pod).await;
    let told = |count: u32| move |told: &ToControl| matches!(told, ToControl::Older(older) if older.count == count);
    node.fakes
        .until(|| node.fakes.told_control(told(1)) == 1)
        .await;
    assert_eq!(node.host.older.counts().len(), 1);
    // A wish of long ago was for another capture.
    node.host.roster.take(wish(1));
    node.host.note_change();
    let now = clock::unix_seconds(clock::wall());
    node.host.roster.take(wish(now));
    node.host.note_change();
    node.fakes
        .until(|| node.fakes.told_control(told(0)) == 1)
        .await;
    place.client.set_read_timeout(Some(PATIENCE)).unwrap();
    let aborted = place.client.read(&mut [0]).unwrap_err();
    assert_eq!(aborted.kind(), ErrorKind::ConnectionAborted);
    assert!(node.host.older.counts().is_empty());
}

#[tokio::test]
async fn those_of_a_pod_that_is_identified_later_are_told_again() {
    let (ground, place) = (Ground::make(), Place::make());
    let node = ground.run(true);
    node.host.tasks.spawn("older", run(Arc::clone(&node.host)));
    let unknown = PodNames {
        service_account: String::new(),
        ..names("a")
    };
    let netns = NetNs::open(place.pod.path()).unwrap();
    enrol::enrol(&node.host, unknown, netns, Some(place.pod.path()))
        .await
        .unwrap();
    let older = |told: &ToControl| matches!(told, ToControl::Older(_));
    let told = || node.fakes.told_control(older);
    node.fakes.until(|| told() == 1).await;
    enrol::identify(&node.host, names("a")).await.unwrap();
    node.fakes.until(|| told() == 2).await;
}

#[tokio::test]
async fn a_connection_within_the_pod_and_one_that_was_redirected_are_none() {
    let (ground, place) = (Ground::make(), Place::make());
    let node = ground.run(true);
    let own = || {
        let listener = TcpListener::bind("10.0.0.2:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0, listener)
    };
    let _own = place.pod.open().run(own).unwrap();
    captured(&node, &place.pod).await;
    let namespace = place.pod.open();
    let look = || among(&table::connections().unwrap()).len();
    assert_eq!(namespace.run(look).unwrap(), 1, "the one that is older");
    // The queue of the listener on 15001 accepts it, though nobody is there to serve it.
    let redirected = || TcpStream::connect("10.0.0.1:9").unwrap();
    let _redirected = namespace.run(redirected).unwrap();
    assert_eq!(namespace.run(look).unwrap(), 1);
}

#[test]
fn a_wish_is_followed_whichever_clock_is_ahead_but_not_for_long() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
    for (wish, fresh) in [
        (100_000, true),
        (99_500, true),
        (100_500, true),
        (99_000, false),
    ] {
        assert_eq!(is_fresh(wish, now), fresh, "{wish}");
    }
}
