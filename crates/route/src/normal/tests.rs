//! The normal form of paths.

use http::Request;

use super::*;

#[test]
fn a_path_has_one_form() {
    for (path, normal) in [
        ("/admin", "/admin"),
        ("/x/../admin", "/admin"),
        ("/x/./admin", "/x/admin"),
        ("/../../admin", "/admin"),
        ("/x/..", "/"),
        ("/x/.", "/x/"),
        ("/.", "/"),
        ("/..", "/"),
        ("/a/b/../", "/a/"),
        ("/%61dmin", "/admin"),
        ("/x/%2e%2E/admin", "/admin"),
        ("/x\\..\\admin", "/admin"),
        ("/~x/%7ex", "/~x/~x"),
        // With parameters.
        ("/x/..;/admin", "/admin"),
        ("/x/..;a=b/admin", "/admin"),
        ("/.;/admin", "/admin"),
        ("/x/%2e%2e;/admin", "/admin"),
        ("/x/..;", "/"),
        ("/x;y/../admin", "/admin"),
        ("/admin;x", "/admin;x"),
        ("/;/admin", "/;/admin"),
        ("/x/..%3b/admin", "/x/..%3b/admin"),
        // No dot segments, and nothing to resolve.
        ("/.well-known/x", "/.well-known/x"),
        ("/a/...", "/a/..."),
        ("/a/..b", "/a/..b"),
        ("//admin", "//admin"),
        ("/x//../admin", "/x/admin"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%5cb", "/a%5cb"),
        ("/%20/%c3%bc", "/%20/%c3%bc"),
        ("/caf\u{e9}", "/caf%C3%A9"),
        ("/x/../caf\u{e9}/%61", "/caf%C3%A9/a"),
        // What is resolved is not resolved again, nor what is no escape.
        ("/%252e%252e/admin", "/%252e%252e/admin"),
        ("/%%32e", "/%%32e"),
        ("/100%", "/100%"),
        ("/%2%65%61dmin", "/%2%65admin"),
        // Whatever else is no escape: a server may resolve the others.
        ("/100%/%61", "/100%/a"),
        ("/x/%2e%2e/%61dmin/%", "/admin/%"),
        ("/%zz/%2e%2e/admin", "/admin"),
        ("*", "*"),
        ("", ""),
    ] {
        let normal_path = |path| normal_path(path, Normalization::Base);
        let formed = normal_path(path);
        assert_eq!(formed.as_deref().unwrap_or(path), normal, "{path}");
        assert_eq!(formed.is_some(), path != normal, "{path}");
        assert_eq!(normal_path(normal), None, "{path}: {normal}");
    }
}

#[test]
fn the_query_and_the_host_stay() {
    let target = "http://shop.example/a/../b%2d?x=/../%61";
    let (mut parts, ()) = Request::get(target).body(()).unwrap().into_parts();
    normalize(&mut parts, Normalization::default()).unwrap();
    assert_eq!(parts.uri, "http://shop.example/b-?x=/../%61");
}

#[test]
fn what_is_too_long_when_it_is_escaped_stays_as_it_is_and_is_told() {
    let long = format!("/{}", "\u{e9}".repeat(20_000));
    let (mut parts, ()) = Request::get(&long).body(()).unwrap().into_parts();
    assert_eq!(
        normalize(&mut parts, Normalization::Base),
        Err(NoNormalForm)
    );
    assert_eq!(parts.uri.path(), long);
    assert_eq!(normalize(&mut parts, Normalization::None), Ok(()));
}

#[test]
fn slashes_are_merged_and_decoded_where_that_is_asked_for() {
    use Normalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
    for (path, base, merged, decoded) in [
        ("//admin", "//admin", "/admin", "/admin"),
        ("/a///b//", "/a///b//", "/a/b/", "/a/b/"),
        ("/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"),
        ("/a%2f%2Fb", "/a%2f%2Fb", "/a%2f%2Fb", "/a/b"),
        ("/a%5Cb%5c", "/a%5Cb%5c", "/a%5Cb%5c", "/a/b/"),
        (
            "/x%2F..%2Fadmin",
            "/x%2F..%2Fadmin",
            "/x%2F..%2Fadmin",
            "/admin",
        ),
        ("/x//../admin", "/x/admin", "/x/admin", "/x/admin"),
        ("/a%252Fb", "/a%252Fb", "/a%252Fb", "/a%252Fb"),
        ("/%2", "/%2", "/%2", "/%2"),
        ("/a\\/b", "/a//b", "/a/b", "/a/b"),
        ("*", "*", "*", "*"),
    ] {
        let of = |form| normal_path(path, form).unwrap_or_else(|| path.to_owned());
        let found = [None, Base, MergeSlashes, DecodeAndMergeSlashes].map(of);
        assert_eq!(found, [path, base, merged, decoded], "{path}");
        for form in [Base, MergeSlashes, DecodeAndMergeSlashes] {
            let again = normal_path(&of(form), form);
            assert_eq!(again, Option::None, "{path} {form:?} twice");
        }
    }
    assert_eq!("MERGE_SLASHES".parse(), Ok(MergeSlashes));
    assert!("merge_slashes".parse::<Normalization>().is_err());
}
