use super::*;

fn pod(uid: &str) -> KeptPod {
    let names = PodNames {
        uid: PodUid::parse(uid).unwrap(),
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        service_account: "web".to_owned(),
        ips: vec!["10.0.0.2".parse().unwrap()],
    };
    let namespace = NamespaceId {
        device: 4,
        inode: 4_026_532_000,
    };
    let settings = vec![("net/ipv4/fwmark_reflect".to_owned(), "0".to_owned())];
    KeptPod::new(
        names,
        namespace,
        Some("/run/netns/x".to_owned()),
        PodState::Captured,
        settings,
        BTreeSet::from([Rules::IptablesNft]),
    )
}

#[test]
fn pods_come_back_as_they_were_kept() {
    let dir = tempfile::tempdir().unwrap();
    let kept = KeptPods::open(dir.path()).unwrap();
    kept.save(&pod("a")).unwrap();
    kept.save(&KeptPod {
        state: PodState::Draining,
        ..pod("b")
    })
    .unwrap();
    kept.save(&KeptPod {
        state: PodState::Draining,
        ..pod("a")
    })
    .unwrap();
    kept.remove(&pod("b").names.uid).unwrap();
    kept.remove(&pod("b").names.uid).unwrap();
    let (pods, unreadable) = KeptPods::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(
        pods,
        [KeptPod {
            state: PodState::Draining,
            ..pod("a")
        }]
    );
    assert!(unreadable.is_empty());
}

#[test]
fn a_record_from_before_there_was_a_choice_tells_of_nft() {
    let mut record = serde_json::to_value(pod("a")).unwrap();
    record.as_object_mut().unwrap().remove("written").unwrap();
    let read = KeptPod::parse(record.to_string().as_bytes()).unwrap();
    assert_eq!(read.written, BTreeSet::from([Rules::Nft]));
}

#[test]
fn who_wrote_rules_is_known_for_that_namespace_alone() {
    let dir = tempfile::tempdir().unwrap();
    let kept = KeptPods::open(dir.path()).unwrap();
    let (uid, namespace) = (pod("a").names.uid, pod("a").namespace);
    assert_eq!(kept.written(&uid, namespace), BTreeSet::new());
    kept.save(&pod("a")).unwrap();
    assert_eq!(kept.written(&uid, namespace), pod("a").written);
    let other = NamespaceId {
        inode: 1,
        ..namespace
    };
    assert_eq!(kept.written(&uid, other), BTreeSet::new());
}

#[test]
fn a_damaged_file_is_named_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let kept = KeptPods::open(dir.path()).unwrap();
    kept.save(&pod("a")).unwrap();
    let other_version = serde_json::to_vec(&KeptPod {
        version: 99,
        ..pod("b")
    })
    .unwrap();
    fs::write(dir.path().join("host/pods/b.json"), other_version).unwrap();
    fs::write(dir.path().join("host/pods/c.json"), b"{").unwrap();
    fs::write(dir.path().join("host/pods/d.json.new"), b"half").unwrap();
    let (pods, unreadable) = kept.load().unwrap();
    assert_eq!(pods, [pod("a")]);
    assert_eq!(unreadable.len(), 2);
}

#[test]
fn a_folder_that_others_could_enter_is_closed_and_one_they_could_write_to_refused() {
    let dir = tempfile::tempdir().unwrap();
    KeptPods::open(dir.path()).unwrap();
    let folder = dir.path().join("host");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    KeptPods::open(dir.path()).unwrap();
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
    let error = KeptPods::open(dir.path()).unwrap_err();
    let refused = matches!(error, KeptError::NotPrivate { mode: 0o770, .. });
    assert!(refused, "{error}");
}

#[test]
fn no_bytes_of_a_kept_file_make_the_reader_panic() {
    for bytes in [&b""[..], b"null", b"[]", b"{\"version\":1}", &[0xff; 64]] {
        assert!(KeptPod::parse(bytes).is_none());
    }
}
