use ambit_netsys::NetNs;
use ambit_wire::node::{NodePod, RosterUpdate};

use super::*;
use crate::host::testing::{Ground, Namespace, names};

fn told(uid: &str, enrolled: bool) -> RosterUpdate {
    let names = names(uid);
    RosterUpdate {
        is_snapshot: true,
        pods: vec![NodePod {
            uid: uid.to_owned(),
            namespace: names.namespace,
            name: names.name,
            service_account: names.service_account,
            ips: vec!["10.0.0.2".to_owned()],
            enrolled,
            probe_ports: Vec::new(),
            cut_existing: 0,
            no_dns_capture: false,
        }],
        ..RosterUpdate::default()
    }
}

async fn captured(host: &Arc<Host>, names: PodNames, pod: &Namespace) {
    let netns = NetNs::open(pod.path()).unwrap();
    let state = enrol::enrol(host, names, netns, Some(pod.path())).await;
    assert_eq!(state.unwrap(), PodState::Captured);
}

#[tokio::test]
async fn a_captured_pod_that_is_to_be_left_alone_is_released() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    captured(&node.host, names("a"), &pod).await;
    node.host
        .tasks
        .spawn("reconcile", run(Arc::clone(&node.host)));
    node.host.roster.take(told("a", true));
    node.host.note_change();
    node.host.roster.take(told("a", false));
    node.host.note_change();
    let released = || node.host.counters.numbers()["released"] == 1;
    assert!(
        node.host
            .wait_until(Duration::from_secs(20), released)
            .await
    );
}

#[tokio::test]
async fn a_pod_that_nobody_knew_gets_its_identity_and_is_told_of_only_then() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let unknown = PodNames {
        service_account: String::new(),
        ..names("a")
    };
    captured(&node.host, unknown, &pod).await;
    let told_control = || {
        node.fakes
            .told_control(|told| matches!(told, ToControl::Captured(_)))
    };
    assert_eq!(told_control(), 0);
    node.host
        .tasks
        .spawn("reconcile", run(Arc::clone(&node.host)));
    node.host.roster.take(told("a", true));
    node.host.note_change();
    node.fakes.until(|| told_control() == 1).await;
    let uid = names("a").uid;
    assert_eq!(node.host.pods.lock().get(&uid).unwrap().names, names("a"));
}

#[tokio::test]
async fn a_pod_that_is_not_found_is_tried_again_ever_more_rarely() {
    let (ground, uid) = (Ground::make(), names("a").uid);
    let node = ground.run(true);
    node.host.roster.take(told("a", true));
    let mut failures = HashMap::new();
    let due = |failures: &_| due(jobs(&node.host), failures, clock::now()).len();
    assert_eq!(due(&failures), 1);
    do_all(&node.host, jobs(&node.host), &mut failures).await;
    assert_eq!(due(&failures), 0, "not before a pause");
    let pause = failures[&uid].pause;
    note(&node.host, &mut failures, &uid, Err(NOT_FOUND.to_owned()));
    assert_eq!(failures[&uid].pause, pause * 2);
    assert_eq!(failures[&uid].told, None, "it may just be starting");
    note(&node.host, &mut failures, &uid, Err("no room".to_owned()));
    assert_eq!(failures[&uid].told.as_deref(), Some("no room"));
    note(&node.host, &mut failures, &uid, Ok(()));
    assert!(failures.is_empty());
}

#[tokio::test]
async fn a_failure_is_over_when_nothing_is_wanted_of_the_pod_any_more() {
    let (ground, other) = (Ground::make(), Namespace::make("other"));
    let (node, uid) = (ground.run(true), names("a").uid);
    captured(&node.host, names("b"), &other).await;
    let mut failures = HashMap::new();
    node.host.roster.take(told("a", true));
    note(&node.host, &mut failures, &uid, Err("no room".to_owned()));
    forget_others(&node.host, &mut failures, &jobs(&node.host));
    assert_eq!(failures.len(), 1);
    node.host.roster.take(told("a", false));
    forget_others(&node.host, &mut failures, &jobs(&node.host));
    assert!(failures.is_empty());
    let is_over =
        |told: &ToControl| matches!(told, ToControl::Failed(why) if why.message.is_empty());
    let told = || node.fakes.told_control(is_over) == 1;
    node.fakes.until(told).await;
}
