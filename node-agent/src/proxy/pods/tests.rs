//! Which record of the mesh is a pod's own, and what outlives an attachment.

use ambit_model::Change;
use tokio::sync::mpsc;

use super::*;

const UID: &str = "5b1e0000-0000-4000-8000-000000000001";

fn place() -> Place {
    Place {
        node: "n1".into(),
        cluster: "Kubernetes".into(),
        trust_domain: "cluster.local".into(),
    }
}

fn enrolled() -> LocalPod {
    attached_as("web")
}

fn attached_as(account: &str) -> LocalPod {
    let pod = Pod {
        uid: UID.into(),
        namespace: "shop".into(),
        name: "web-0".into(),
        service_account: account.into(),
        ips: vec!["10.0.0.1".into()],
    };
    let attached = PodAttached {
        pod: Some(pod),
        node_ips: vec!["10.244.1.1".into()],
        ..PodAttached::default()
    };
    let caps = Caps {
        connections: 2,
        handshakes: 2,
    };
    let stock = Stock::new(UID.into(), mpsc::channel(1).0);
    LocalPod::new(&attached, &place(), caps, stock, CancellationToken::new()).unwrap()
}

/// The record that the control plane would send of the pod, changed.
fn record(change: impl FnOnce(&mut Workload)) -> Mesh {
    let mut workload = (*enrolled().enrolled).clone();
    change(&mut workload);
    let mut mesh = Mesh::default();
    mesh.apply(Change::PutWorkload(Arc::new(workload)));
    mesh
}

#[test]
fn its_own_record_has_its_uid_or_none_and_its_name() {
    let pod = enrolled();
    assert!(pod.workload(&record(|_| {})).is_some());
    assert!(pod.workload(&record(|w| w.pod_uid = None)).is_some());
}

#[test]
fn the_record_of_another_pod_is_not_its_own() {
    let pod = enrolled();
    let recreated = record(|w| w.pod_uid = Some("another".into()));
    assert!(
        pod.workload(&recreated).is_none(),
        "an earlier pod of that name"
    );
    let copied = record(|w| w.namespace = "evil".into());
    assert!(pod.workload(&copied).is_none(), "a copied uid");
    let other = record(|w| w.service_account = "admin".into());
    assert!(pod.workload(&other).is_none(), "another identity");
}

#[test]
fn connections_of_an_earlier_attachment_keep_a_pod_busy() {
    let (before, mut now) = (enrolled(), enrolled());
    let held = Arc::clone(&before.connections).try_acquire_owned().unwrap();
    now.take_over(&before);
    assert!(now.is_busy());
    drop(held);
    assert!(!now.is_busy());
}

#[test]
fn one_client_cannot_take_every_handshake_of_a_pod() {
    let pod = enrolled();
    let [one, other, third] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 1, last]));
    let held = pod.handshake(one).unwrap();
    let refusal = pod.handshake(one).unwrap_err();
    assert!(refusal.to_string().contains("this client"), "{refusal}");
    let _other = pod.handshake(other).unwrap();
    let refusal = pod.handshake(third).unwrap_err();
    assert!(refusal.to_string().contains("all clients"), "{refusal}");
    drop(held);
    assert!(pod.handshake(one).is_ok());
}

#[tokio::test]
async fn a_pod_of_unknown_account_is_waited_for_and_refused_with_a_reason() {
    let patience = Duration::from_secs(60);
    let known = Arc::new(enrolled());
    assert!(Arc::clone(&known).identified(patience).await.is_ok());
    let unknown = Arc::new(attached_as(""));
    let waiting = tokio::spawn(Arc::clone(&unknown).identified(patience));
    unknown.replaced_by(Arc::clone(&known));
    assert!(Arc::ptr_eq(&waiting.await.unwrap().unwrap(), &known));
    let never = Arc::new(attached_as("")).identified(Duration::ZERO).await;
    assert_eq!(never.unwrap_err().reason, Reason::NotSynced);
    let released = Arc::new(attached_as(""));
    released.released.cancel();
    assert!(released.identified(patience).await.is_err());
}
