use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

const KUBE: &str =
    r#"{ "cniVersion": "0.4.0", "name": "kube", "plugins": [ { "type": "bridge" } ] }"#;
const SINGLE: &str = "{\"cniVersion\":\"0.3.1\",\"name\":\"old\",\"type\":\"bridge\"}\n";

struct Node {
    folder: TempDir,
    keeper: Keeper,
}

impl Node {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(folder.path(), Entry::default());
        let node = Self { folder, keeper };
        for (name, text) in files {
            fs::write(node.path(name), text).unwrap();
        }
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn holds_us(&self, name: &str) -> bool {
        conflist::is_present(&self.text(name))
    }

    fn names(&self) -> Vec<String> {
        let files = self.keeper.files().unwrap();
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        files.iter().map(name).collect()
    }
}

#[test]
fn the_first_configuration_gets_the_entry_and_keeps_its_mode_and_owner() {
    let node = Node::with(&[
        ("20-late.conflist", KUBE),
        ("10-kube.conflist", KUBE),
        ("00-note.txt", ""),
    ]);
    fs::create_dir(node.path("05-folder.conflist")).unwrap();
    let path = node.path("10-kube.conflist");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    std::os::unix::fs::chown(&path, Some(7), Some(8)).unwrap();
    assert_eq!(node.keeper.keep().unwrap(), Kept::Inserted(path.clone()));
    assert_eq!(node.keeper.keep().unwrap(), Kept::Unchanged);
    assert!(node.holds_us("10-kube.conflist") && !node.holds_us("20-late.conflist"));
    let found = fs::metadata(&path).unwrap();
    assert_eq!(
        (found.mode() & 0o7777, found.uid(), found.gid()),
        (0o604, 7, 8)
    );
    assert_eq!(
        node.names(),
        ["00-note.txt", "10-kube.conflist", "20-late.conflist"]
    );
}

#[test]
fn whoever_rewrites_the_file_or_comes_first_finds_us_again() {
    let node = Node::with(&[("10-kube.conflist", KUBE)]);
    node.keeper.keep().unwrap();
    fs::write(node.path("10-kube.conflist"), KUBE).unwrap();
    assert!(matches!(node.keeper.keep().unwrap(), Kept::Inserted(_)));
    assert!(node.holds_us("10-kube.conflist"));
    fs::write(node.path("05-new.conflist"), KUBE).unwrap();
    assert_eq!(
        node.keeper.keep().unwrap(),
        Kept::Inserted(node.path("05-new.conflist"))
    );
    assert_eq!(node.keeper.remove().unwrap(), 2);
    assert_eq!(node.text("05-new.conflist"), KUBE);
    assert_eq!(node.text("10-kube.conflist"), KUBE);
    assert_eq!(node.keeper.remove().unwrap(), 0);
}

#[test]
fn without_a_configuration_there_is_nothing_to_do() {
    let node = Node::with(&[("README", "")]);
    assert_eq!(node.keeper.keep().unwrap(), Kept::NoConfiguration);
    let nowhere = Keeper::new(node.path("nowhere"), Entry::default());
    assert_eq!(nowhere.keep().unwrap(), Kept::NoConfiguration);
    assert_eq!(nowhere.remove().unwrap(), 0);
    assert_eq!(node.names(), ["README"]);
}

#[test]
fn a_single_plugin_becomes_a_list_and_comes_back() {
    for single in ["10-old.conf", "10-old.json"] {
        let node = Node::with(&[(single, SINGLE), ("20-kube.conflist", KUBE)]);
        let inserted = node.keeper.keep().unwrap();
        assert_eq!(inserted, Kept::Inserted(node.path("10-old.conflist")));
        assert_eq!(node.names(), ["10-old.conflist", "20-kube.conflist"]);
        assert_eq!(node.keeper.keep().unwrap(), Kept::Unchanged);
        // Its owner writes it again, and it comes first again.
        let newer = SINGLE.replace("old", "newer");
        fs::write(node.path("10-old.conf"), &newer).unwrap();
        assert!(matches!(node.keeper.keep().unwrap(), Kept::Inserted(_)));
        assert!(node.text("10-old.conflist").contains("newer"));
        assert_eq!(node.keeper.remove().unwrap(), 1);
        assert_eq!(node.names(), ["10-old.conf", "20-kube.conflist"]);
        assert_eq!(node.text("10-old.conf"), newer);
    }
}

#[test]
fn a_list_of_somebody_else_is_not_overwritten_by_ours() {
    let node = Node::with(&[("10-old.conf", SINGLE), ("10-old.conflist", KUBE)]);
    assert!(matches!(
        node.keeper.keep(),
        Err(KeepError::InTheWay { .. })
    ));
    assert_eq!(
        (node.text("10-old.conf"), node.text("10-old.conflist")),
        (SINGLE.into(), KUBE.into())
    );
}

#[test]
fn a_file_that_cannot_be_understood_is_reported_and_left_alone() {
    let half = KUBE.trim_end_matches(" ] }");
    let old = KUBE.replace("0.4.0", "0.2.0");
    for (name, text) in [
        ("10-kube.conflist", half),
        ("10-kube.conflist", "ambit-cni"),
        ("10-kube.conflist", &old),
        ("10-kube.conf", KUBE),
        ("10-kube.conflist", SINGLE),
    ] {
        let node = Node::with(&[(name, text), ("20-kube.conflist", KUBE)]);
        let error = node.keeper.keep().unwrap_err();
        assert!(matches!(error, KeepError::Configuration { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(node.text(name), text);
        assert_eq!(node.names(), [name, "20-kube.conflist"]);
    }
}

#[test]
fn removing_goes_on_after_a_file_that_cannot_be_understood() {
    let node = Node::with(&[("10-kube.conflist", KUBE)]);
    node.keeper.keep().unwrap();
    fs::write(node.path("05-half.conflist"), "{ \"type\": \"ambit-cni\"").unwrap();
    fs::write(node.path("06-foreign.conflist"), "{").unwrap();
    assert!(node.keeper.remove().is_err());
    assert_eq!(node.text("10-kube.conflist"), KUBE);
    fs::remove_file(node.path("05-half.conflist")).unwrap();
    assert_eq!(node.keeper.remove().unwrap(), 0);
}

#[test]
fn what_a_killed_keeper_left_is_swept_up() {
    let node = Node::with(&[
        ("10-kube.conflist", KUBE),
        (".10-kube.conflist.ambit-new", "{"),
    ]);
    node.keeper.keep().unwrap();
    assert_eq!(node.names(), ["10-kube.conflist"]);
    fs::write(node.path(".x.ambit-new"), "").unwrap();
    node.keeper.remove().unwrap();
    assert_eq!(node.names(), ["10-kube.conflist"]);
}

#[test]
fn a_link_stays_a_link() {
    let node = Node::with(&[]);
    let other = tempfile::tempdir().unwrap();
    let real = other.path().join("real.conflist");
    fs::write(&real, KUBE).unwrap();
    symlink(&real, node.path("10-kube.conflist")).unwrap();
    node.keeper.keep().unwrap();
    assert!(
        fs::symlink_metadata(node.path("10-kube.conflist"))
            .unwrap()
            .is_symlink()
    );
    assert!(conflist::is_present(&fs::read_to_string(&real).unwrap()));
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    node.keeper.remove().unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), KUBE);
}

#[test]
fn a_failed_write_leaves_the_file_and_nothing_else() {
    let node = Node::with(&[("10-kube.conflist", KUBE)]);
    // The name of the unfinished file is taken by a folder: it can neither go nor be written.
    let taken = node.path(".10-kube.conflist.ambit-new");
    fs::create_dir(&taken).unwrap();
    assert!(matches!(node.keeper.keep(), Err(KeepError::Io { .. })));
    fs::remove_dir(&taken).unwrap();
    assert_eq!(node.text("10-kube.conflist"), KUBE);
    assert_eq!(node.names(), ["10-kube.conflist"]);
}

#[test]
fn a_change_in_the_middle_of_ours_wins() {
    let node = Node::with(&[("10-kube.conflist", KUBE)]);
    let path = node.path("10-kube.conflist");
    let put = put(&path, (&path, "what was read before"), "ours");
    assert!(matches!(put, Err(KeepError::Changed(_))));
    assert_eq!(node.text("10-kube.conflist"), KUBE);
}

#[test]
fn readers_see_a_whole_file_while_keepers_and_its_owner_write() {
    let node = Node::with(&[("10-kube.conflist", KUBE)]);
    let path = node.path("10-kube.conflist");
    thread::scope(|scope| {
        let keepers = [(); 2].map(|()| {
            scope.spawn(|| {
                for _ in 0..50 {
                    // Its owner may be faster now and then.
                    drop(node.keeper.keep());
                    node.keeper.remove().ok();
                }
            })
        });
        while keepers.iter().any(|keeper| !keeper.is_finished()) {
            let text = fs::read_to_string(&path).unwrap();
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    });
    node.keeper.remove().unwrap();
    assert_eq!(node.text("10-kube.conflist"), KUBE);
    assert_eq!(node.names(), ["10-kube.conflist"]);
}
