use super::*;

fn pod(uid: &str, enrolled: bool, ips: &[&str]) -> NodePod {
    NodePod {
        uid: uid.to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        service_account: "web".to_owned(),
        ips: ips.iter().map(ToString::to_string).collect(),
        enrolled,
        probe_ports: vec![8080, 70_000],
        cut_existing: 0,
        no_dns_capture: false,
    }
}

fn snapshot(pods: Vec<NodePod>, enrolled: &[&str]) -> RosterUpdate {
    RosterUpdate {
        is_snapshot: true,
        pods,
        namespaces: Some(ambit_wire::node::Namespaces {
            enrolled: enrolled.iter().map(ToString::to_string).collect(),
            excluded: vec!["kube-system".to_owned()],
        }),
        ..RosterUpdate::default()
    }
}

fn uid(uid: &str) -> PodUid {
    PodUid::parse(uid).unwrap()
}

#[test]
fn a_pods_own_record_beats_its_namespace() {
    let roster = Roster::default();
    assert_eq!(roster.verdict(&uid("a"), "shop"), Verdict::Unknown);
    assert_eq!(*roster.namespaces().borrow(), None);
    roster.take(snapshot(
        vec![pod("a", true, &["10.0.0.1"]), pod("b", false, &[])],
        &["shop"],
    ));
    let as_web = Verdict::Capture {
        service_account: Some("web".to_owned()),
    };
    assert_eq!(roster.verdict(&uid("a"), "other"), as_web);
    assert_eq!(roster.verdict(&uid("b"), "shop"), Verdict::Leave);
    let as_nobody = Verdict::Capture {
        service_account: None,
    };
    assert_eq!(roster.verdict(&uid("c"), "shop"), as_nobody);
    assert_eq!(roster.verdict(&uid("c"), "other"), Verdict::Leave);
    assert_eq!(
        roster.record(&uid("a")).unwrap().probe_ports,
        BTreeSet::from([8080])
    );
}

#[test]
fn updates_add_and_take_away_and_a_snapshot_forgets() {
    let roster = Roster::default();
    roster.take(snapshot(vec![pod("a", true, &["10.0.0.1"])], &["shop"]));
    roster.take(RosterUpdate {
        pods: vec![pod("b", true, &["10.0.0.2"])],
        gone: vec!["a".to_owned()],
        ..RosterUpdate::default()
    });
    let uids = |roster: &Roster| -> Vec<String> {
        let records = roster.records();
        records.iter().map(|r| r.names.uid.to_string()).collect()
    };
    assert_eq!(uids(&roster), ["b"]);
    let known = roster.namespaces().borrow().clone().unwrap();
    assert!(known.enrolled.contains("shop"), "unchanged");
    roster.take(snapshot(vec![], &[]));
    assert!(uids(&roster).is_empty());
}

#[test]
fn what_cannot_be_a_pod_is_passed_over() {
    let roster = Roster::default();
    let bad_name = NodePod {
        name: "../web".to_owned(),
        ..pod("b", true, &["10.0.0.1"])
    };
    let pods = vec![
        pod("../a", true, &["10.0.0.1"]),
        bad_name,
        pod("c", true, &["10.0.0.256"]),
        pod("d", true, &["127.0.0.1"]),
        pod("e", true, &["fd00::1", "10.0.0.1"]),
    ];
    roster.take(snapshot(pods, &[]));
    assert_eq!(roster.records().len(), 1);
    assert_eq!(roster.records()[0].names.uid, uid("e"));
}

#[test]
fn what_a_former_role_knew_counts_until_the_control_plane_tells() {
    let roster = Roster::default();
    let of = |name: &str| Namespaces {
        enrolled: BTreeSet::from([name.to_owned()]),
        system: BTreeSet::new(),
    };
    roster.remember(of("shop"));
    let as_nobody = Verdict::Capture {
        service_account: None,
    };
    assert_eq!(roster.verdict(&uid("a"), "shop"), as_nobody);
    roster.take(snapshot(vec![], &["office"]));
    roster.remember(of("shop"));
    assert_eq!(roster.verdict(&uid("a"), "shop"), Verdict::Leave);
}
