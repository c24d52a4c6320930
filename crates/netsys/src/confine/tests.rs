use std::os::unix::fs::MetadataExt as _;

use super::*;

// What confinement does is seen from outside, on processes that enter it: node-agent/tests.
// Here is only what must not happen to a process that is not ready for it.

#[test]
fn a_process_that_is_not_first_in_its_namespace_is_refused_unharmed() {
    // Other tests open and close descriptors meanwhile: this one is known.
    let open = tempfile::NamedTempFile::new().expect("a file");
    let confinement = Confinement {
        id: PROXY_ID,
        keep: &[],
        memory: 64 << 20,
        program: false,
    };
    let error = enter(&confinement).expect_err("must not confine the test runner");
    assert!(error.to_string().contains("pid namespace"), "{error}");
    let (still, named) = (open.as_file().metadata(), open.path().metadata());
    let inode = |file: io::Result<std::fs::Metadata>| file.expect("open").ino();
    assert_eq!(inode(still), inode(named), "its descriptors were closed");
}

#[test]
fn a_process_with_a_second_thread_is_refused_unharmed() {
    // The test runner's main thread is the second one.
    let error = drop_privileges(CONTROL_ID, &[], &[]).expect_err("two threads");
    assert!(error.to_string().contains("threads"), "{error}");
    assert!(!prctl::get_no_new_privs().expect("prctl"));
}

#[test]
fn a_directory_becomes_the_roles_own() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().expect("directory");
    let own = root.path().join("a/b");
    take_directory(&own, CONTROL_ID).expect("changing the owner needs root");
    let metadata = std::fs::metadata(&own).expect("metadata");
    assert_eq!(
        (metadata.uid(), metadata.mode() & 0o777),
        (CONTROL_ID, 0o700)
    );
    let parent = std::fs::metadata(root.path().join("a")).expect("metadata");
    assert_eq!(
        (parent.uid(), parent.mode() & 0o777),
        (0, 0o711),
        "the way to it"
    );
    take_directory(&own, CONTROL_ID).expect("again, as after a restart");
    let link = root.path().join("link");
    symlink("/etc", &link).expect("link");
    assert!(take_directory(&link, CONTROL_ID).is_err());
}
