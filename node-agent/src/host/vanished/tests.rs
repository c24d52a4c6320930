use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::host::testing::Namespace;

#[test]
fn mounted_namespaces_are_read_from_the_kernels_list() {
    let mounts = "22 1 0:20 / /proc rw - proc proc rw\n\
                  90 25 0:4 net:[4026532281] /run/netns/a rw - nsfs nsfs rw\n\
                  91 25 0:4 mnt:[4026532282] /run/x rw - nsfs nsfs rw\n\
                  92 25 0:4 net:[] /run/y rw - nsfs nsfs rw\nshort\n";
    assert_eq!(
        mounted(mounts).collect::<Vec<_>>(),
        [(4_026_532_281, "/run/netns/a")]
    );
}

#[tokio::test]
async fn a_namespace_is_gone_when_it_is_deleted_though_we_hold_it() {
    let namespace = Namespace::make("gone");
    let held = namespace.open();
    let id = NamespaceId::of(&held);
    let path = Some(namespace.path());
    assert!(!is_gone(id, path.clone()).await);
    assert!(
        !is_gone(id, None).await,
        "without a path it is found by its mount"
    );
    drop(namespace);
    assert!(is_gone(id, path).await);
    assert!(is_gone(id, None).await);
}

#[test]
fn a_namespace_that_only_the_node_has_mounted_exists() {
    let namespace = Namespace::make("afar");
    let (id, path) = (NamespaceId::of(&namespace.open()), namespace.path());
    let in_container = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        umount2(path.as_str(), MntFlags::MNT_DETACH).unwrap();
        assert_ne!(at_path(Path::new(&path)), Some(id), "still mounted here");
        existing().unwrap()
    });
    assert!(in_container.join().unwrap().contains(&id));
}
