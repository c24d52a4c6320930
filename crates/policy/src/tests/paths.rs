use serde_json::json;

use super::asking::{Row, check, web};

/// Template or pattern, paths that it is met by, paths that it is not met by.
type Paths = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

fn check_paths(table: &[Paths]) {
    let mut rows: Vec<Row> = Vec::new();
    for (pattern, yes, no) in table {
        let paths = yes.iter().map(|path| (path, true));
        for (path, expected) in paths.chain(no.iter().map(|path| (path, false))) {
            let is = json!({"to": [{"operation": {"paths": [pattern]}}]});
            let is_not = json!({"to": [{"operation": {"notPaths": [pattern]}}]});
            rows.push((is, web().path(path), expected));
            rows.push((is_not, web().path(path), !expected));
        }
    }
    check(rows);
}

#[test]
fn one_star_in_braces_is_one_segment() {
    check_paths(&[
        (
            "/{*}",
            &["/a", "/a.b", "/a%2Fb"],
            &["/", "/a/", "/a/b", "", "//", "//a"],
        ),
        (
            "/a/{*}",
            &["/a/b", "/a/b=c", "/a/*", "/a/ä"],
            &["/a", "/a/", "/a/b/", "/a/b/c", "/ab/c"],
        ),
        (
            "/a/{*}/c",
            &["/a/b/c"],
            &["/a//c", "/a/b/", "/a/b/c/", "/a/b/b/c", "/a/b/cc", "/a/c"],
        ),
        ("/{*}/{*}", &["/a/b"], &["/a", "/a/", "//b", "/a/b/c"]),
        ("/a/{*}/", &["/a/b/"], &["/a/b", "/a//", "/a/b/c"]),
    ]);
}

#[test]
fn two_stars_in_braces_are_any_number_of_segments() {
    check_paths(&[
        ("/{**}", &["/", "/a", "/a/b", "//", "/a/"], &["", "*"]),
        (
            "/a/{**}",
            &["/a/", "/a/b", "/a/b/c", "/a//"],
            &["/a", "/ab", "/b/a/"],
        ),
        (
            "/a/{**}/",
            &["/a/b/", "/a/b/c/", "/a//"],
            &["/a/", "/a/b", "/a"],
        ),
        (
            "/a/{**}/z",
            &["/a//z", "/a/b/z", "/a/b/c/z", "/a/z/z"],
            &["/a/z", "/a/b", "/a/b/zz", "/a/b/yz", "/a/b/z/"],
        ),
        (
            "/a/{**}/y/z",
            &["/a/b/y/z", "/a/y/z/y/z"],
            &["/a/y/z", "/a/b/y//z", "/a/b/z"],
        ),
        (
            "/a/{*}/b/{**}",
            &["/a/x/b/", "/a/x/b/c/d"],
            &["/a/x/b", "/a//b/c", "/a/x/y/b/c"],
        ),
        ("/{**}/z", &["/a/z", "//z"], &["/z", "z"]),
    ]);
}

#[test]
fn an_escaped_slash_is_none() {
    check_paths(&[
        (
            "/admin/*",
            &["/admin/x", "/admin/%2F"],
            &["/admin%2Fx", "/admin%2fx", "/a/..%2Fadmin/x"],
        ),
        ("/admin/{*}", &["/admin/a%2Fb"], &["/admin%2Fa"]),
        ("/{*}/b", &["/a%2Fc/b"], &["/a/c/b", "/a%2Fb"]),
        ("/a%2Fb", &["/a%2Fb"], &["/a/b", "/a%2fb"]),
        ("/a%5Cb*", &["/a%5Cb"], &["/a/b", "/a\\b"]),
    ]);
}

#[test]
fn a_path_that_the_normaliser_left_is_taken_as_it_is() {
    check_paths(&[
        // Slashes that follow each other stay, and parameters belong to their segments.
        (
            "/admin",
            &["/admin"],
            &["//admin", "/admin/", "/admin;a=b", "/admin%00", "/admin%20"],
        ),
        ("/admin*", &["/admin;a=b", "/admin//"], &["//admin"]),
        ("*/admin", &["//admin", "/x/admin"], &["/admin/"]),
        // Dots within a segment are no step up.
        ("/a/{*}", &["/a/...", "/a/..b"], &[]),
        (
            "/shop.v1.Cart/{*}",
            &["/shop.v1.Cart/Add"],
            &["/shop.v1.Cart/", "/shopxv1xCart/Add"],
        ),
    ]);
}
