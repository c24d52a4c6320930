use ambit_model::Pattern;

use super::*;

#[test]
fn a_cookie_is_for_what_the_paths_of_a_match_have_in_common() {
    let exact = |path: &str| Some(PathMatch::Exact(path.into()));
    let segments = |path: &str| Some(PathMatch::Segments(path.into()));
    let prefix = |path: &str| Some(PathMatch::Prefix(path.into()));
    let regex = |pattern: &str| Some(PathMatch::Regex(Pattern(pattern.into())));
    let table = [
        (None, "/"),
        (segments("/"), "/"),
        (segments("/foo"), "/foo"),
        (exact("/foo/bar"), "/foo/bar"),
        (exact("/foo/"), "/foo/"),
        (exact("/foo/a;b"), "/foo"),
        (exact("/foo;/b"), "/"),
        (exact("/foo/\u{e4}"), "/foo"),
        (exact("*"), "/"),
        (prefix("/foo"), "/"),
        (prefix("/foo/ba"), "/foo"),
        (prefix("/foo/"), "/foo"),
        (prefix(""), "/"),
        (regex("/p1/p2/[^/]+/p3"), "/p1/p2"),
        (regex("^/p1/p2/x*"), "/p1/p2"),
        (regex("/p1/?.*"), "/"),
        (regex("/p1/p2/?"), "/p1"),
        (regex(r"/v1\.0/.*"), "/v1.0"),
        (regex(r"/a/\d+"), "/a"),
        (regex("/a/b|/c"), "/"),
        (regex(".*"), "/"),
        (regex("(?i)/a/b/"), "/"),
        (regex("/a/b{0}/c"), "/a"),
        (regex("/a/b+{0}"), "/a"),
    ];
    for (path, expected) in table {
        assert_eq!(cookie_path(path.as_ref()), expected, "{path:?}");
    }
}
