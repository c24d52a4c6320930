use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_are_replaced_as_a_whole_with_the_mode_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    assert!(read_secret(&path).unwrap().is_none());
    write_whole(&path, b"one", SECRET).unwrap();
    write_whole(&path, b"two", SECRET).unwrap();
    assert_eq!(read_secret(&path).unwrap().unwrap(), b"two");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_left_over_of_a_crash_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(beside(&path), b"half of someth").unwrap();
    write_whole(&path, b"whole", SECRET).unwrap();
    assert_eq!(read_secret(&path).unwrap().unwrap(), b"whole");
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn what_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("a/closed");
    private_directory(&closed).unwrap();
    private_directory(&closed).unwrap();
    assert_eq!(mode(&closed), 0o700);
    set_mode(&closed, 0o750);
    let refused = private_directory(&closed).unwrap_err();
    assert!(refused.to_string().contains("chmod go-rwx"), "{refused}");

    let secret = dir.path().join("secret");
    write_whole(&secret, b"x", PUBLIC).unwrap();
    assert!(matches!(read_secret(&secret), Err(FileError::Open { .. })));
}

#[test]
fn a_link_in_the_place_of_a_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target");
    private_directory(&target).unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(matches!(
        private_directory(&link),
        Err(FileError::NotADirectory(_))
    ));
}
