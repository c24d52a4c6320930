use std::fs::File;
use std::net::TcpListener;

use super::*;
use crate::process::unshare_network;

/// A namespace that lives as long as its handle: made on a thread that ends.
fn fresh() -> NetNs {
    thread::spawn(|| {
        unshare_network().expect("making a network namespace needs root");
        NetNs::current().expect("own namespace")
    })
    .join()
    .expect("thread")
}

#[test]
fn a_namespace_is_entered_for_one_call_only() {
    let here = NetNs::current().expect("own namespace").inode();
    let other = fresh();
    assert_ne!(other.inode(), here);
    let inside = other
        .run(|| NetNs::current().map(|n| n.inode()))
        .expect("run")
        .expect("inode");
    assert_eq!(inside, other.inode());
    assert_eq!(NetNs::current().expect("own namespace").inode(), here);
}

#[test]
fn a_listener_made_inside_belongs_to_the_namespace() {
    let other = fresh();
    let listener = other
        .run(|| TcpListener::bind("[::]:0"))
        .expect("run")
        .expect("bind");
    let port = listener.local_addr().expect("address").port();
    // The port is free here, because the listener is elsewhere.
    TcpListener::bind(("::", port)).expect("the same port is free in this namespace");
}

#[test]
fn clones_name_the_same_namespace() {
    let one = fresh();
    let two = one.try_clone().expect("clone");
    assert_eq!(one.inode(), two.inode());
    assert_ne!(one.inode(), fresh().inode());
}

#[test]
fn other_descriptors_are_refused() {
    for path in ["/proc/self/ns/mnt", "/proc/self/ns/user", "/dev/null", "/"] {
        let fd = OwnedFd::from(File::open(path).expect("open"));
        let error = NetNs::from_fd(fd).expect_err(path);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
    }
    let (a, _b) = std::os::unix::net::UnixStream::pair().expect("pair");
    assert!(NetNs::from_fd(a.into()).is_err());
}

#[test]
fn a_panic_inside_is_an_error_outside() {
    let error = fresh()
        .run(|| panic!("expected by the test"))
        .expect_err("must not pass");
    assert!(error.to_string().contains("panic"));
}
