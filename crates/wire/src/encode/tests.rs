//! Versions and names.

use super::*;

#[test]
fn a_version_is_the_start_of_the_sha_256_of_the_content() {
    assert_eq!(content_version(b""), "e3b0c44298fc1c149afbf4c8996fb924");
    assert_ne!(content_version(b"a"), content_version(b"b"));
}

#[test]
fn an_alias_is_network_slash_address() {
    assert_eq!(&*alias("", "10.0.0.1".parse().unwrap()), "/10.0.0.1");
    assert_eq!(&*alias("net", "fd00::1".parse().unwrap()), "net/fd00::1");
}
