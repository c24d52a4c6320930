use super::*;

const NODE: NamespaceId = NamespaceId {
    device: 4,
    inode: 1,
};

fn namespace(inode: u64) -> NamespaceId {
    NamespaceId { device: 4, inode }
}

fn names(uid: &str) -> PodNames {
    PodNames {
        uid: PodUid::parse(uid).unwrap(),
        namespace: "shop".to_owned(),
        name: format!("pod-{uid}"),
        service_account: "web".to_owned(),
        ips: vec!["10.0.0.2".parse().unwrap()],
    }
}

fn admit(pods: &mut Pods<()>, uid: &str, inode: u64) -> Result<Admitted, AdmitError> {
    pods.admit(&names(uid), namespace(inode), None, || ())
}

fn set(pods: &mut Pods<()>, uid: &str, state: PodState) -> u64 {
    let pod = pods.get_mut(&names(uid).uid).unwrap();
    pod.state = state;
    pod.epoch
}

#[test]
fn the_nodes_own_namespace_is_refused() {
    let mut pods = Pods::new(NODE);
    let error = admit(&mut pods, "a", NODE.inode).unwrap_err();
    assert_eq!(error.reason(), "node_namespace");
    assert_eq!(pods.iter().count(), 0);
}

#[test]
fn a_namespace_has_one_uid_and_a_uid_one_namespace() {
    let mut pods = Pods::new(NODE);
    assert_eq!(admit(&mut pods, "a", 7), Ok(Admitted::New));
    set(&mut pods, "a", PodState::Captured);
    assert_eq!(
        admit(&mut pods, "b", 7).unwrap_err().reason(),
        "namespace_taken"
    );
    assert_eq!(
        admit(&mut pods, "a", 8).unwrap_err().reason(),
        "uid_elsewhere"
    );
    assert_eq!(admit(&mut pods, "b", 8), Ok(Admitted::New));
}

#[test]
fn enrolling_twice_is_fine_and_a_request_under_way_is_not_disturbed() {
    let mut pods = Pods::new(NODE);
    admit(&mut pods, "a", 7).unwrap();
    assert_eq!(admit(&mut pods, "a", 7).unwrap_err().reason(), "busy");
    set(&mut pods, "a", PodState::Captured);
    assert_eq!(admit(&mut pods, "a", 7), Ok(Admitted::Captured));
    set(&mut pods, "a", PodState::Withdrawing);
    assert_eq!(admit(&mut pods, "a", 7).unwrap_err().reason(), "busy");
}

#[test]
fn the_end_of_an_old_draining_leaves_a_new_capture_alone() {
    let mut pods = Pods::new(NODE);
    admit(&mut pods, "a", 7).unwrap();
    let old = set(&mut pods, "a", PodState::Draining);
    assert_eq!(admit(&mut pods, "a", 7), Ok(Admitted::Draining));
    assert!(pods.remove(&names("a").uid, old).is_none());
    let new = set(&mut pods, "a", PodState::Draining);
    assert!(pods.remove(&names("a").uid, new).is_some());
    assert_eq!(admit(&mut pods, "b", 7), Ok(Admitted::New));
}

#[test]
fn a_node_cannot_have_endless_pods() {
    let mut pods = Pods::new(NODE);
    for n in 0..MOST_PODS {
        admit(&mut pods, &format!("u{n}"), 100 + n as u64).unwrap();
    }
    assert_eq!(
        admit(&mut pods, "more", 5).unwrap_err().reason(),
        "too_many_pods"
    );
}
