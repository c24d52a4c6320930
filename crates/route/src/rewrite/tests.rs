use ambit_model::PathChange;
use http::Request;
use http::header::HOST;

use super::*;

fn rewriting(host: Option<&str>, path: Option<PathChange>) -> Rewriting {
    let host = host.map(Into::into);
    Rewriting::new(&Rewrite { host, path }).unwrap()
}

fn parts(target: &str) -> Parts {
    Request::get(target).body(()).unwrap().into_parts().0
}

#[test]
fn a_path_is_rewritten_and_the_query_stays() {
    let prefix = rewriting(None, Some(PathChange::Prefix("/xyz".into())));
    let full = rewriting(None, Some(PathChange::Full("/xyz".into())));
    let table = [
        (&prefix, "/foo/bar?a=b?c", "/xyz/bar?a=b?c"),
        (&prefix, "/foo?", "/xyz?"),
        (&prefix, "http://shop:80/foo/", "http://shop:80/xyz/"),
        (&full, "/foo/bar?a=%20", "/xyz?a=%20"),
        (&full, "https://shop/foo", "https://shop/xyz"),
        // No paths.
        (&full, "*", "*"),
        (&full, "shop:443", "shop:443"),
    ];
    for (rewriting, target, expected) in table {
        let mut parts = parts(target);
        rewriting.apply(&mut parts, Covered::Segments(4)).unwrap();
        assert_eq!(parts.uri.to_string(), expected);
    }
}

#[test]
fn host_and_path_are_rewritten_together() {
    let both = rewriting(Some("new"), Some(PathChange::Full("/xyz".into())));
    let mut parts = parts("/foo");
    both.apply(&mut parts, Covered::Bytes(4)).unwrap();
    assert_eq!(parts.uri.to_string(), "/xyz");
    assert_eq!(parts.headers[HOST], "new");
}

#[test]
fn a_path_that_grows_too_long_leaves_the_request_as_it_was() {
    let long = rewriting(Some("new"), Some(PathChange::Prefix("/longer".into())));
    let target = format!("/{}", "a".repeat(65_530));
    let mut parts = parts(&target);
    assert_eq!(long.apply(&mut parts, Covered::Segments(0)), Err(TooLong));
    assert_eq!(parts.uri.to_string(), target);
    assert!(parts.headers.is_empty());
}
