use super::*;

fn edit(change: &PathChange) -> PathEdit {
    PathEdit::new("rewrite path", change).unwrap()
}

#[test]
fn a_prefix_of_segments_is_replaced_as_the_gateway_api_tells() {
    // The table of HTTPPathModifier, and what it leaves open.
    let table = [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/foo/bar", "/", "/xyz", "/xyz/foo/bar"),
        ("/", "/", "/xyz", "/xyz/"),
        ("/foo//bar", "/foo", "/xyz", "/xyz//bar"),
        ("/foo/%2Fbar", "/foo", "/a/b", "/a/b/%2Fbar"),
    ];
    for (path, prefix, replacement, expected) in table {
        let covered = Covered::Segments(prefix.trim_end_matches('/').len());
        let changed = edit(&PathChange::Prefix(replacement.into()))
            .apply(path, covered)
            .unwrap();
        assert_eq!(changed, expected, "{path}: {prefix} by {replacement:?}");
    }
}

#[test]
fn a_prefix_of_bytes_is_replaced_as_it_stands() {
    let table = [
        ("/foobar", "/foo", "/xyz", "/xyzbar"),
        ("/foo/bar", "/foo/", "/", "/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyzbar"),
        ("/foo", "/foo", "", "/"),
        ("/foobar", "/foo", "", "/bar"),
    ];
    for (path, prefix, replacement, expected) in table {
        let covered = Covered::Bytes(prefix.len());
        let changed = edit(&PathChange::Prefix(replacement.into()))
            .apply(path, covered)
            .unwrap();
        assert_eq!(changed, expected, "{path}: {prefix} by {replacement:?}");
    }
}

#[test]
fn a_full_path_replaces_all_of_it() {
    for (full, expected) in [("/xyz", "/xyz"), ("/xyz/", "/xyz/"), ("", "/")] {
        let changed = edit(&PathChange::Full(full.into()));
        let changed = changed.apply("/foo/bar", Covered::Segments(4));
        assert_eq!(changed.as_deref(), Some(expected));
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for path in ["foo", "/a b", "/a?b", "/a#b", "/a\r\nb", "//\u{7f}", "*"] {
        for change in [
            PathChange::Full(path.into()),
            PathChange::Prefix(path.into()),
        ] {
            let problem = PathEdit::new("rewrite path", &change).unwrap_err();
            assert_eq!((problem.field, &*problem.value), ("rewrite path", path));
        }
    }
}
