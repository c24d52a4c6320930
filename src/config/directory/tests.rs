use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::store::ObjectEvent;
use crate::config::{Configuration, Settings};

mod watching;

const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: NAME, namespace: shop}\nstatus: {podIP: IP}\n";
const DENY: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
                    metadata: {name: deny, namespace: shop}\nspec: {action: DENY, rules: [{}]}\n";

fn pod(name: &str, ip: &str) -> String {
    POD.replace("NAME", name).replace("IP}", &format!("{ip}}}"))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &TempDir, file: &str, text: &str) {
    let path = folder.path().join(file);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("a file");
}

fn keep_all(scanner: &mut Scanner) {
    while scanner.keep_last_good().expect("kept") {}
}

fn keys(batch: &Batch) -> Vec<String> {
    let sign = |event: &ObjectEvent| match event {
        ObjectEvent::Put { object, .. } => format!("+{}", object.key()),
        ObjectEvent::Remove { key, .. } => format!("-{key}"),
    };
    batch.events.iter().map(sign).collect()
}

#[test]
fn a_scan_reads_what_changed_only() {
    let folder = folder();
    write(&folder, "a.yaml", &pod("a", "10.0.0.1"));
    write(&folder, "deeper/b.yml", &pod("b", "10.0.0.2"));
    write(&folder, ".hidden.yaml", &pod("c", "10.0.0.3"));
    write(&folder, ".git/d.yaml", &pod("d", "10.0.0.4"));
    write(&folder, "notes.txt", "not YAML: [");
    let mut scanner = Scanner::new(folder.path(), None);
    assert_eq!(keys(&scanner.scan()), ["+Pod shop/a", "+Pod shop/b"]);
    assert!(keys(&scanner.scan()).is_empty());
    write(&folder, "a.yaml", &pod("a", "10.0.0.11"));
    fs::remove_dir_all(folder.path().join("deeper")).expect("removed");
    assert_eq!(keys(&scanner.scan()), ["-Pod shop/b", "+Pod shop/a"]);
}

#[test]
fn a_single_file_is_read_whatever_its_name() {
    let folder = folder();
    write(&folder, "objects.txt", &pod("a", "10.0.0.1"));
    let mut scanner = Scanner::new(&folder.path().join("objects.txt"), None);
    assert_eq!(keys(&scanner.scan()), ["+Pod shop/a"]);
}

#[test]
fn a_folder_that_vanishes_as_a_whole_takes_nothing_along() {
    let folder = folder();
    write(&folder, "root/a.yaml", DENY);
    let mut scanner = Scanner::new(&folder.path().join("root"), None);
    assert_eq!(scanner.scan().events.len(), 1);
    fs::rename(folder.path().join("root"), folder.path().join("away")).expect("moved");
    let batch = scanner.scan();
    assert!(batch.events.is_empty(), "{:?}", batch.events);
    assert_eq!(
        batch
            .problems
            .iter()
            .flat_map(|(_, problems)| problems)
            .count(),
        1
    );
    fs::rename(folder.path().join("away"), folder.path().join("root")).expect("moved back");
    let batch = scanner.scan();
    assert!(batch.events.is_empty());
    assert!(
        batch
            .problems
            .iter()
            .all(|(_, problems)| problems.is_empty())
    );
}

#[test]
fn a_folder_that_was_never_listed_may_hold_policies() {
    let (folder, state) = (folder(), folder());
    let deep = vec!["d"; MAX_DEPTH + 1].join("/");
    write(&folder, "a.yaml", &pod("a", "10.0.0.1"));
    write(&folder, &format!("{deep}/b.yaml"), DENY);
    let mut scanner = Scanner::new(folder.path(), None);
    for _ in 0..2 {
        let mut configuration = Configuration::new(Settings::default());
        configuration.apply(scanner.scan());
        let refused = scanner
            .files
            .values()
            .flat_map(|known| known.state.good_objects())
            .count();
        assert_eq!(refused, 1, "the pod only");
    }
    let policies = |batch: &Batch| {
        keys(batch)
            .iter()
            .filter(|key| key.contains("Policy"))
            .count()
    };
    assert_eq!(
        policies(&Scanner::new(folder.path(), None).scan()),
        1,
        "one that refuses all"
    );
    // What was once kept of files below stands in.
    let last_good = LastGood::open(state.path()).expect("a state folder");
    let kept = FileState::default()
        .read(&"b".into(), Ok(DENY.as_bytes()), Vec::new)
        .state;
    let relative = PathBuf::from(&deep).join("b.yaml");
    last_good
        .keep(&relative, kept.good_objects())
        .expect("kept");
    let mut scanner = Scanner::new(folder.path(), Some(last_good));
    assert!(keys(&scanner.scan()).contains(&"+AuthorizationPolicy shop/deny".to_owned()));
    scanner.forget_last_good_of_others();
    let last_good = LastGood::open(state.path()).expect("a state folder");
    assert_eq!(last_good.load(&relative).len(), 1, "not forgotten");
    // Once the folder is gone, so is what stood for it.
    fs::remove_dir_all(folder.path().join("d")).expect("removed");
    assert_eq!(keys(&scanner.scan()), ["-AuthorizationPolicy shop/deny"]);
}

#[test]
fn links_to_files_are_followed_and_pipes_and_circles_are_not() {
    let folder = folder();
    write(&folder, "..data/a", &pod("a", "10.0.0.1"));
    std::os::unix::fs::symlink("..data/a", folder.path().join("a.yaml")).expect("a link");
    std::os::unix::fs::symlink(".", folder.path().join("circle")).expect("a link");
    std::os::unix::fs::symlink("missing", folder.path().join("dangling.yaml")).expect("a link");
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero.yaml")).expect("a link");
    let mut scanner = Scanner::new(folder.path(), None);
    assert_eq!(keys(&scanner.scan()), ["+Pod shop/a"]);
    assert!(
        scanner
            .read_files([folder.path().join("zero.yaml")])
            .events
            .is_empty()
    );
}

#[test]
fn a_file_that_is_too_large_keeps_what_it_held() {
    let folder = folder();
    write(&folder, "a.yaml", DENY);
    let mut scanner = Scanner::new(folder.path(), None);
    scanner.scan();
    let file = File::options()
        .write(true)
        .open(folder.path().join("a.yaml"))
        .expect("opened");
    file.set_len(MAX_FILE_BYTES as u64 + 1).expect("made large");
    let batch = scanner.scan();
    assert!(batch.events.is_empty(), "{:?}", batch.events);
    assert_eq!(batch.problems[0].1[0].cause, Cause::UnreadableFile);
}

#[test]
fn a_broken_policy_stays_denied_or_last_good_across_a_restart() {
    let (folder, state) = (folder(), folder());
    write(
        &folder,
        "shop.yaml",
        &format!("{}---\n{DENY}", pod("a", "10.0.0.1")),
    );
    let start = || {
        let last_good = LastGood::open(state.path()).expect("a state folder");
        let mut scanner = Scanner::new(folder.path(), Some(last_good));
        let mut configuration = Configuration::new(Settings::default());
        configuration.apply(scanner.scan());
        scanner.forget_last_good_of_others();
        keep_all(&mut scanner);
        configuration
    };
    let policy = ObjectKey::new(Kind::AuthorizationPolicy, "shop", "deny");
    let good = start().objects().get(&policy).cloned().expect("a policy");
    for broken in [
        "kind: [",
        "\0",
        "kind: AuthorizationPolicy\n",
        &DENY.replace("DENY", "DENI"),
    ] {
        write(
            &folder,
            "shop.yaml",
            &format!("{}---\n{broken}", pod("a", "10.0.0.2")),
        );
        for _ in 0..2 {
            let configuration = start();
            assert_eq!(
                configuration.objects().get(&policy),
                Some(&good),
                "{broken:?}"
            );
            assert_eq!(configuration.problems().len(), 1, "{broken:?}");
            let address = "10.0.0.2".parse().expect("an address");
            assert_eq!(
                configuration.mesh().workloads_at(address).count(),
                1,
                "{broken:?}"
            );
        }
    }
    write(&folder, "shop.yaml", "---\n");
    assert!(start().objects().is_empty());
    write(&folder, "shop.yaml", &DENY.replace("DENY", "DENI"));
    let refused = start().objects().get(&policy).cloned().expect("a refusal");
    assert_ne!(refused, good);
}

#[test]
fn last_good_objects_are_private_and_go_with_their_file() {
    let (folder, state) = (folder(), folder());
    write(&folder, "a.yaml", DENY);
    write(&folder, "b.yaml", &pod("a", "10.0.0.1"));
    let kept = || {
        let entries = fs::read_dir(state.path().join("last-good")).expect("a folder");
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect::<Vec<_>>()
    };
    let last_good = LastGood::open(state.path()).expect("a state folder");
    let mut scanner = Scanner::new(folder.path(), Some(last_good));
    scanner.scan();
    keep_all(&mut scanner);
    assert_eq!(kept().len(), 2);
    for path in kept() {
        let mode = fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let mode = fs::metadata(state.path().join("last-good"))
        .expect("metadata")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    fs::remove_file(folder.path().join("a.yaml")).expect("removed");
    scanner.scan();
    keep_all(&mut scanner);
    assert_eq!(kept().len(), 1);
    fs::remove_file(folder.path().join("b.yaml")).expect("removed");
    let last_good = LastGood::open(state.path()).expect("a state folder");
    let mut scanner = Scanner::new(folder.path(), Some(last_good));
    scanner.scan();
    scanner.forget_last_good_of_others();
    assert!(kept().is_empty());
}
