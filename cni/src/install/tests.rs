use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[test]
fn orders_are_read_from_the_command_line() {
    let with = vec![OsString::from("a"), OsString::from("b")];
    let order = Order::parse(words("install --with a --to /opt/cni/bin --with b")).unwrap();
    let to = PathBuf::from("/opt/cni/bin");
    assert_eq!(
        order,
        Order::Install {
            to: to.clone(),
            with
        }
    );
    let order = Order::parse(words("uninstall --from /opt/cni/bin")).unwrap();
    let with = Vec::new();
    assert_eq!(order, Order::Uninstall { from: to, with });
    assert_eq!(Order::parse(words("--help")).unwrap(), Order::Help);
    assert_eq!(Order::parse(words("version")).unwrap(), Order::Version);
}

#[test]
fn what_is_no_order_is_said_so() {
    for line in [
        "install",
        "install --to",
        "install /opt/cni/bin",
        "install --from /x",
        "install --to /x --with ../passwd",
        "install --to /x --with /etc/passwd",
        "install --to /x --with ..",
        "uninstall --to /x",
        "remove --from /x",
        "version --to /x",
    ] {
        let error = Order::parse(words(line)).expect_err(line);
        assert!(error.to_string().contains("--help"), "{line}: {error}");
    }
}

#[test]
fn a_program_is_copied_once_and_again_when_it_differs() {
    let folder = tempfile::tempdir().unwrap();
    let (image, node) = (folder.path().join("image"), folder.path().join("node"));
    fs::create_dir(&image).unwrap();
    fs::create_dir(&node).unwrap();
    fs::write(image.join("program"), "one").unwrap();
    fs::write(image.join("other"), "two").unwrap();
    let with = [OsString::from("other")];
    let copy = || install(&image.join("program"), &node, &with).unwrap();
    let target = node.join(PLUGIN);
    assert_eq!(copy(), [target.clone(), node.join("other")]);
    assert!(copy().is_empty());
    let inode = fs::metadata(&target).unwrap().ino();
    fs::write(image.join("program"), "one, newer").unwrap();
    assert_eq!(copy(), std::slice::from_ref(&target));
    assert_eq!(fs::read_to_string(&target).unwrap(), "one, newer");
    assert_ne!(fs::metadata(&target).unwrap().ino(), inode);
    fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(copy(), std::slice::from_ref(&target));
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, MODE);
    assert_eq!(fs::read_dir(&node).unwrap().count(), 2);
    assert_eq!(uninstall(&node, &with).unwrap().len(), 2);
    assert!(uninstall(&node, &with).unwrap().is_empty());
    assert_eq!(fs::read_dir(&node).unwrap().count(), 0);
}

#[test]
fn a_link_in_the_place_of_the_program_is_replaced_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (program, node) = (folder.path().join("program"), folder.path().join("node"));
    fs::create_dir(&node).unwrap();
    fs::write(&program, "one").unwrap();
    symlink(&program, node.join(PLUGIN)).unwrap();
    assert_eq!(install(&program, &node, &[]).unwrap().len(), 1);
    assert!(fs::symlink_metadata(node.join(PLUGIN)).unwrap().is_file());
    let nowhere = install(&program, &folder.path().join("nowhere"), &[]).unwrap_err();
    assert!(nowhere.to_string().contains("nowhere"), "{nowhere}");
}
