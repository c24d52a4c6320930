use std::sync::Arc;

use ambit_netsys::NetNs;
use ambit_wire::node::{NodePod, RosterUpdate};

use super::*;
use crate::host::handover;
use crate::host::release;
use crate::host::testing::fakes::{Fakes, PATIENCE};
use crate::host::testing::{Ground, Namespace, Node, names, start_children};
use crate::host::{agent_socket, reconcile};

/// What the rules of the mesh in a pod say of port 15053.
fn is_redirected(pod: &Namespace) -> bool {
    let rules = pod.shell("nft list ruleset");
    assert_eq!(rules.contains("10.96.0.10"), rules.contains(":15053"));
    rules.contains("redirect to :15053")
}

fn role(ground: &Ground) -> Node {
    let fakes = Fakes::new(true);
    let host = ground.role_for_names(&fakes);
    start_children(&host);
    Node { host, fakes }
}

async fn enrolled(host: &Arc<Host>, pod: &Namespace) {
    let netns = NetNs::open(pod.path()).unwrap();
    enrol::enrol(host, names("a"), netns, Some(pod.path()))
        .await
        .unwrap();
}

fn told(host: &Host, no_dns_capture: bool) {
    let names = names("a");
    let pod = NodePod {
        uid: "a".to_owned(),
        namespace: names.namespace,
        name: names.name,
        service_account: names.service_account,
        ips: vec!["10.0.0.2".to_owned()],
        enrolled: true,
        no_dns_capture,
        ..NodePod::default()
    };
    host.roster.take(RosterUpdate {
        is_snapshot: true,
        pods: vec![pod],
        ..RosterUpdate::default()
    });
    host.note_change();
}

/// Waits until the rules were loaded so.
async fn until(host: &Host, dns: bool) {
    let is_so = || {
        let pods = host.pods.lock();
        pods.get(&names("a").uid)
            .is_some_and(|pod| pod.attachment.dns == Some(dns))
    };
    let start = tokio::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it does not become {dns}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_captured_pods_questions_are_redirected_until_it_is_released() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = role(&ground);
    enrolled(&node.host, &pod).await;
    assert!(is_redirected(&pod));
    let proxy = node.fakes.proxy(1).await;
    assert_eq!(proxy.listeners.lock()["a"].len(), 10);
    release::release(&node.host, &names("a").uid).await.unwrap();
    assert!(!is_redirected(&pod));
    let is_gone = || node.host.pod_views().is_empty();
    assert!(node.host.wait_until(PATIENCE, is_gone).await);
    assert_eq!(pod.shell("nft list ruleset; ss -Hlun; ss -Hltn"), "");
}

#[tokio::test]
async fn the_annotation_of_a_pod_leaves_its_questions_alone_also_later() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = role(&ground);
    told(&node.host, true);
    enrolled(&node.host, &pod).await;
    assert!(!is_redirected(&pod));
    let of_task = Arc::clone(&node.host);
    node.host.tasks.spawn("reconcile", reconcile::run(of_task));
    for no_dns in [false, true, false] {
        told(&node.host, no_dns);
        until(&node.host, !no_dns).await;
        assert_eq!(is_redirected(&pod), !no_dns);
    }
    let kept = |no_dns| {
        let (pods, _) = node.host.kept.load().unwrap();
        pods.iter().all(|kept| kept.no_dns == no_dns)
    };
    assert!(kept(false));
    told(&node.host, true);
    until(&node.host, false).await;
    let proxy = node.fakes.proxy(1).await;
    let has_all = || proxy.listeners.lock()["a"].len() == 10;
    node.fakes.until(has_all).await;
    let start = tokio::time::Instant::now();
    while !kept(true) {
        assert!(start.elapsed() < PATIENCE, "it is not kept");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_role_that_takes_over_redirects_once_it_has_and_has_told_the_proxy() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let old = ground.run(true);
    enrolled(&old.host, &pod).await;
    let socket = ground.folder.path().join("handover.sock");
    let listener = agent_socket::bind(&socket).unwrap();
    let host = Arc::clone(&old.host);
    let offering = tokio::spawn(async move {
        let phase = tokio::sync::watch::Sender::new(handover::Phase::Idle);
        handover::offer(&host, &listener, &phase).await
    });
    let fakes = Fakes::new(true);
    let host = ground.role_for_names(&fakes);
    let takeover = handover::begin(&host, &socket).await.unwrap().unwrap();
    told(&host, false);
    start_children(&host);
    host.tasks
        .spawn("reconcile", reconcile::run(Arc::clone(&host)));
    takeover.conclude(&host).await.unwrap();
    offering.await.unwrap();
    until(&host, true).await;
    assert!(is_redirected(&pod));

    // And from one that does to one that does as well, with the listeners that there are.
    let listener = agent_socket::bind(&socket).unwrap();
    let of_task = Arc::clone(&host);
    let offering = tokio::spawn(async move {
        let phase = tokio::sync::watch::Sender::new(handover::Phase::Idle);
        handover::offer(&of_task, &listener, &phase).await
    });
    let next = ground.role_for_names(&Fakes::new(true));
    let takeover = handover::begin(&next, &socket).await.unwrap().unwrap();
    let handed = next
        .pods
        .lock()
        .get(&names("a").uid)
        .unwrap()
        .attachment
        .listeners
        .clone();
    assert_eq!(handed.iter().filter(|ours| ours.is_for_names()).count(), 4);
    assert_eq!(handed.iter().filter(|ours| ours.place.datagrams).count(), 2);
    start_children(&next);
    takeover.conclude(&next).await.unwrap();
    offering.await.unwrap();
    assert!(is_redirected(&pod));
    until(&next, true).await;

    // And to one that knows no resolver.
    let listener = agent_socket::bind(&socket).unwrap();
    let of_task = Arc::clone(&next);
    let offering = tokio::spawn(async move {
        let phase = tokio::sync::watch::Sender::new(handover::Phase::Idle);
        handover::offer(&of_task, &listener, &phase).await
    });
    let last = ground.role(&Fakes::new(true));
    let takeover = handover::begin(&last, &socket).await.unwrap().unwrap();
    told(&last, false);
    start_children(&last);
    last.tasks
        .spawn("reconcile", reconcile::run(Arc::clone(&last)));
    takeover.conclude(&last).await.unwrap();
    offering.await.unwrap();
    until(&last, false).await;
    assert!(!is_redirected(&pod));
}

fn questioner(pod: &Namespace) -> std::net::UdpSocket {
    pod.shell(
        "ip link set lo up; ip link add v0 type veth peer name v1; ip addr add 10.0.0.2/24 dev v0; \
         ip link set v0 up; ip link set v1 up; ip route add default via 10.0.0.1 dev v0; \
         ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev v0",
    );
    let socket = pod.open().run(|| std::net::UdpSocket::bind("10.0.0.2:0"));
    let socket = socket.unwrap().unwrap();
    socket.connect("10.96.0.10:53").unwrap();
    socket
}

/// How many flows of questions the kernel follows that have been redirected.
fn redirected_flows(pod: &Namespace) -> usize {
    let flows = pod.shell("conntrack -L -p udp --dport 53 2>/dev/null || true");
    flows
        .lines()
        .filter(|line| line.contains("sport=15053"))
        .count()
}

/// A program asks by one socket for as long as it runs.
#[tokio::test]
async fn a_socket_that_stays_open_follows_the_annotation() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = role(&ground);
    let socket = questioner(&pod);
    let ask = || {
        // Whether anybody hears it is no matter here.
        socket.send(b"?").ok();
    };
    told(&node.host, true);
    enrolled(&node.host, &pod).await;
    let of_task = Arc::clone(&node.host);
    node.host.tasks.spawn("reconcile", reconcile::run(of_task));
    ask();
    assert_eq!(redirected_flows(&pod), 0);
    for no_dns in [false, true, false] {
        told(&node.host, no_dns);
        until(&node.host, !no_dns).await;
        let start = tokio::time::Instant::now();
        // The rules are noted before the flows are forgotten.
        while redirected_flows(&pod) != usize::from(!no_dns) {
            assert!(start.elapsed() < PATIENCE, "{no_dns}");
            ask();
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    release::release(&node.host, &names("a").uid).await.unwrap();
    ask();
    assert_eq!(redirected_flows(&pod), 0, "released");
}

#[tokio::test]
async fn a_pod_that_holds_the_port_for_names_is_captured_but_for_its_questions() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = role(&ground);
    pod.shell("ip link set lo up");
    let hold = || std::net::UdpSocket::bind("127.0.0.1:15053").unwrap();
    let held = pod.open().run(hold).unwrap();
    told(&node.host, false);
    enrolled(&node.host, &pod).await;
    let rules = pod.shell("nft list ruleset");
    assert!(rules.contains(":15001"), "{rules}");
    assert!(!is_redirected(&pod));
    assert_eq!(node.host.counters.numbers()["names_left_out"], 1);
    // Once it has let go, its questions are captured too.
    drop(held);
    let of_task = Arc::clone(&node.host);
    node.host.tasks.spawn("reconcile", reconcile::run(of_task));
    until(&node.host, true).await;
    assert!(is_redirected(&pod));
}
