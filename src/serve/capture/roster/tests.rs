use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn pod(uid: &str, enrolled: bool) -> PodOnNode {
    PodOnNode {
        uid: uid.into(),
        namespace: "shop".into(),
        name: uid.into(),
        service_account: "web".into(),
        ips: vec!["10.0.0.1".parse().unwrap()],
        probe_ports: BTreeSet::from([80]),
        cut_existing: None,
        keeps_its_resolver: false,
        host_network: false,
        enrolled,
    }
}

fn roster(pods: &[PodOnNode], enrolled: &[&str]) -> Roster {
    Roster {
        pods: pods
            .iter()
            .map(|pod| (Arc::clone(&pod.uid), pod.clone()))
            .collect::<BTreeMap<_, _>>(),
        enrolled: Arc::new(enrolled.iter().map(|&name| name.into()).collect()),
        excluded: vec!["kube-system".into()],
    }
}

#[test]
fn the_first_update_is_everything() {
    let update = difference(None, &roster(&[pod("a", true)], &["shop"]));
    assert!(update.is_snapshot);
    assert_eq!(update.pods, [to_wire(&pod("a", true))]);
    let namespaces = update.namespaces.unwrap();
    assert_eq!(
        (namespaces.enrolled, namespaces.excluded),
        (vec!["shop".to_owned()], vec!["kube-system".to_owned()])
    );
}

#[test]
fn later_ones_hold_what_changed_only() {
    let before = roster(&[pod("a", true), pod("b", true), pod("c", true)], &["shop"]);
    let after = roster(
        &[pod("a", true), pod("b", false), pod("d", true)],
        &["shop"],
    );
    let update = difference(Some(&before), &after);
    assert!(!update.is_snapshot && update.namespaces.is_none());
    let changed: Vec<_> = update.pods.iter().map(|pod| pod.uid.as_str()).collect();
    assert_eq!(
        (changed, update.gone),
        (vec!["b", "d"], vec!["c".to_owned()])
    );
    assert_eq!(difference(Some(&after), &after), RosterUpdate::default());
    let relabelled = difference(
        Some(&after),
        &Roster {
            enrolled: Arc::default(),
            ..after.clone()
        },
    );
    assert!(relabelled.namespaces.unwrap().enrolled.is_empty());
}

#[tokio::test]
async fn a_stream_follows_and_ends_with_its_client() {
    let sender = watch::Sender::new(Arc::new(roster(&[], &[])));
    let (updates, mut receiver) = mpsc::channel(1);
    let task = tokio::spawn(stream(sender.subscribe(), None, updates));
    assert!(receiver.recv().await.unwrap().unwrap().is_snapshot);
    sender.send_replace(Arc::new(roster(&[pod("a", true)], &[])));
    assert_eq!(receiver.recv().await.unwrap().unwrap().pods.len(), 1);
    drop(receiver);
    task.await.unwrap();
}

#[tokio::test]
async fn that_the_mesh_leaves_is_told_once_whenever_it_is_asked_for() {
    let (asks, asked) = watch::channel(false);
    let (left, _nodes) = mpsc::channel(1);
    let (changes, of_node) = watch::channel(Arc::new(roster(&[], &[])));
    let (updates, mut told) = mpsc::channel(8);
    let leaving = Some(Leaving { asked, left });
    let streaming = tokio::spawn(stream(of_node, leaving, updates));
    let first = told.recv().await.unwrap().unwrap();
    assert!(first.is_snapshot && first.leave.is_none());
    asks.send_replace(true);
    assert!(told.recv().await.unwrap().unwrap().leave.is_some());
    asks.send_replace(true);
    changes.send_replace(Arc::new(roster(&[pod("a", true)], &[])));
    let next = told.recv().await.unwrap().unwrap();
    assert!(next.pods.len() == 1 && next.leave.is_none());
    streaming.abort();
}
