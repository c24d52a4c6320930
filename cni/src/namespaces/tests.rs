use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use super::*;

const NOW: u64 = 1_800_000_000;

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn list(enrolled: &[&str]) -> NamespaceList {
    NamespaceList::new(names(enrolled), names(&["kube-system"]), NOW)
}

fn text(written: u64) -> Vec<u8> {
    let list = NamespaceList {
        written_unix: written,
        ..list(&["shop"])
    };
    serde_json::to_vec(&list).unwrap()
}

#[test]
fn a_pod_waits_for_its_capture_only_if_its_namespace_is_enrolled() {
    let system = ["ambit-system".to_owned()];
    let list = Ok(list(&["shop", "kube-system", "ambit-system"]));
    for (namespace, expected) in [
        ("shop", Decision::AskFirmly),
        ("blog", Decision::AskLoosely),
        ("Shop", Decision::AskLoosely),
        ("shop ", Decision::AskLoosely),
        // Enrolled or not: by the list, and by the configuration.
        ("kube-system", Decision::Pass),
        ("ambit-system", Decision::Pass),
    ] {
        assert_eq!(decide(&list, namespace, &system), expected, "{namespace}");
    }
}

#[test]
fn without_a_list_only_system_pods_start() {
    let system = ["ambit-system".to_owned()];
    let away = || Err(io::Error::from(io::ErrorKind::NotFound).into());
    assert_eq!(decide(&away(), "ambit-system", &system), Decision::Pass);
    for namespace in ["shop", "kube-system", ""] {
        let Decision::Fail(why) = decide(&away(), namespace, &system) else {
            panic!("{namespace} started")
        };
        assert!(why.contains("list of enrolled namespaces"), "{why}");
    }
}

#[test]
fn a_list_is_relied_on_for_a_quarter_of_an_hour_of_either_clock() {
    let age = |seconds: u64| NamespaceList::parse(&text(NOW - seconds), NOW);
    assert!(age(0).is_ok());
    assert!(age(STALE_AFTER_SECONDS).is_ok());
    assert!(matches!(
        age(STALE_AFTER_SECONDS + 1),
        Err(ListError::Stale(901))
    ));
    let ahead = |seconds: u64| NamespaceList::parse(&text(NOW + seconds), NOW);
    assert!(ahead(STALE_AFTER_SECONDS).is_ok());
    assert!(matches!(ahead(3600), Err(ListError::Future(3600))));
}

#[test]
fn what_another_version_or_nobody_wrote_is_no_list() {
    let other = String::from_utf8(text(NOW)).unwrap();
    let other = other.replace("\"version\":1", "\"version\":2");
    let parsed = NamespaceList::parse(other.as_bytes(), NOW);
    assert!(matches!(parsed, Err(ListError::OtherVersion(2))));
    for damaged in [&b""[..], b"{}", b"null", b"[1,2]", &text(NOW)[..20]] {
        let parsed = NamespaceList::parse(damaged, NOW);
        assert!(matches!(parsed, Err(ListError::Damaged(_))), "{parsed:?}");
    }
}

#[test]
fn only_a_file_that_root_alone_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.json");
    let read = || NamespaceList::read(&path, NOW);
    assert!(matches!(read(), Err(ListError::Unreadable(_))));
    fs::write(&path, text(NOW)).unwrap();
    for (mode, is_read) in [(0o600, true), (0o644, true), (0o664, false), (0o646, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read().is_ok(), is_read, "{mode:o}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&path, Some(1000), None).unwrap();
    assert!(matches!(read(), Err(ListError::NotTrusted(_))));
    chown(&path, Some(0), None).unwrap();
    assert!(read().is_ok());
    let link = folder.path().join("link.json");
    symlink(&path, &link).unwrap();
    assert!(NamespaceList::read(&link, NOW).is_err());
    assert!(NamespaceList::read(folder.path(), NOW).is_err());
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(matches!(
        NamespaceList::read(&pipe, NOW),
        Err(ListError::NotTrusted(_))
    ));
}
