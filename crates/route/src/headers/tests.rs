use http::Request;
use http::header::HOST;

use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(Arc<str>, Arc<str>)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn changes(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderChanges {
    HeaderChanges {
        set: pairs(set),
        add: pairs(add),
        remove: remove.iter().map(|name| (*name).into()).collect(),
    }
}

/// The lines of a map, in order.
fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect()
}

#[test]
fn headers_are_set_added_and_removed() {
    let changes = changes(
        &[("my-header", "set"), ("X-New", "new")],
        &[("x-add", "b,c"), ("x-other", "d")],
        &["x-gone", "x-never"],
    );
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("my-header", "1"),
        ("my-header", "2"),
        ("x-add", "a"),
        ("x-gone", "1"),
        ("x-gone", "2"),
        ("x-stays", "1"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let edits = HeaderEdits::new("response header", &changes).unwrap();
    edits.apply(&mut headers);
    let mut lines = lines(&headers);
    lines.sort_unstable();
    let expected = [
        ("my-header", "set"),
        ("x-add", "a"),
        ("x-add", "b,c"),
        ("x-new", "new"),
        ("x-other", "d"),
        ("x-stays", "1"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn setting_the_host_of_a_request_replaces_its_authority() {
    let edits = RequestEdits::new(&changes(&[("Host", "new:80"), ("a", "b")], &[], &[])).unwrap();
    let one = Request::get("/a").header(HOST, "shop").body(()).unwrap();
    let two = Request::get("http://shop/a").body(()).unwrap();
    let mut parts = one.into_parts().0;
    edits.apply(&mut parts);
    assert_eq!(lines(&parts.headers), [("host", "new:80"), ("a", "b")]);
    let mut parts = two.into_parts().0;
    edits.apply(&mut parts);
    assert_eq!(parts.uri.to_string(), "http://new:80/a");
    assert_eq!(lines(&parts.headers), [("a", "b")]);
}

#[test]
fn a_host_is_not_added_removed_or_set_to_what_is_none() {
    for bad in [
        changes(&[], &[("host", "new")], &[]),
        changes(&[], &[], &["Host"]),
        changes(&[("host", "a b")], &[], &[]),
    ] {
        assert!(RequestEdits::new(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_is_not_for_routes_to_change_is_refused() {
    let names = [
        "connection",
        "Content-Length",
        "keep-alive",
        "proxy-connection",
        "TE",
        "trailer",
        "Transfer-Encoding",
        "upgrade",
        ":authority",
        "a b",
        "",
    ];
    for name in names {
        for bad in [
            changes(&[(name, "1")], &[], &[]),
            changes(&[], &[(name, "1")], &[]),
            changes(&[], &[], &[name]),
        ] {
            let problem = HeaderEdits::new("response header", &bad).unwrap_err();
            assert_eq!((problem.field, &*problem.value), ("response header", name));
            assert!(RequestEdits::new(&bad).is_err());
        }
    }
}

#[test]
fn a_value_that_would_end_the_line_is_refused() {
    let bad = changes(&[("x-a", "1\r\nx-b: 2")], &[], &[]);
    let problem = HeaderEdits::new("request header", &bad).unwrap_err();
    assert_eq!(
        problem.to_string(),
        r#"request header "x-a": cannot have the value "1\r\nx-b: 2": it is not printable ASCII"#
    );
}
