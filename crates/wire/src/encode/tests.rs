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

#[test]
fn a_credential_comes_back_as_it_was_and_is_shown_to_nobody() {
    let given = OutsideCredential {
        chain: "a chain".into(),
        key: "a secret".into(),
        roots: "".into(),
    };
    let (name, entry) = credential_entry("shop/c", &given);
    assert_eq!(&*name, "shop/c");
    let read = crate::decode::credential_from_bytes(&entry.body);
    assert_eq!(read.as_ref(), Ok(&given));
    let shown = format!("{entry:?} {read:?}");
    assert!(
        !shown.contains("secret") && !shown.contains("115, 101, 99"),
        "{shown}"
    );
    let damaged = [entry.body.as_ref(), b"\xffsecret"].concat();
    let why = crate::decode::credential_from_bytes(&damaged).unwrap_err();
    assert!(!why.to_string().contains("secret"), "{why}");
}
