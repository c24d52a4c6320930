use ambit_model::{Pattern, TextMatch};
use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::head::Head;

fn covers(when: &HttpMatch, head: &Head<'_>) -> Option<Covered> {
    let mut names = Names::default();
    let matching = Matching::new(when, &mut names, &mut Patterns::default()).unwrap();
    matching.covers(&Asked::new(head, &names))
}

fn field(name: &str, value: TextMatch, invert: bool) -> FieldMatch {
    FieldMatch {
        name: name.into(),
        value,
        invert,
    }
}

/// A request for `/cart?a=1` at `shop:80`.
fn head(headers: &HeaderMap) -> Head<'_> {
    Head {
        method: &Method::GET,
        path: "/cart",
        query: Some("a=1"),
        authority: Some("shop:80"),
        headers,
        scheme: None,
        source: Source::default(),
    }
}

#[test]
fn paths_cover_what_they_name() {
    use Covered::{Bytes, Segments};
    let table = [
        (PathMatch::Exact("/foo".into()), "/foo", Some(Bytes(4))),
        (PathMatch::Exact("/foo".into()), "/foo/", None),
        (PathMatch::Exact("/foo".into()), "/Foo", None),
        (
            PathMatch::Segments("/foo".into()),
            "/foo",
            Some(Segments(4)),
        ),
        (
            PathMatch::Segments("/foo".into()),
            "/foo/",
            Some(Segments(4)),
        ),
        (
            PathMatch::Segments("/foo".into()),
            "/foo/bar",
            Some(Segments(4)),
        ),
        (PathMatch::Segments("/foo".into()), "/foobar", None),
        (PathMatch::Segments("/foo".into()), "/x/foo", None),
        (
            PathMatch::Segments("/foo/".into()),
            "/foo",
            Some(Segments(4)),
        ),
        (PathMatch::Segments("/".into()), "/", Some(Segments(0))),
        (PathMatch::Segments("/".into()), "/foo", Some(Segments(0))),
        (PathMatch::Segments("/".into()), "*", Some(Segments(0))),
        (PathMatch::Segments("/".into()), "", Some(Segments(0))),
        (PathMatch::Prefix("/foo".into()), "/foobar", Some(Bytes(4))),
        (PathMatch::Prefix("/foo".into()), "/fo", None),
        (
            PathMatch::Regex(Pattern("/f.*".into())),
            "/foo",
            Some(Bytes(4)),
        ),
        (PathMatch::Regex(Pattern("/f.*".into())), "/x/foo", None),
    ];
    for (path, asked, expected) in table {
        let when = HttpMatch {
            path: Some(path.clone()),
            ..HttpMatch::default()
        };
        let headers = HeaderMap::new();
        let head = Head {
            path: asked,
            ..head(&headers)
        };
        assert_eq!(covers(&when, &head), expected, "{path:?} on {asked}");
    }
}

#[test]
fn headers_are_compared_by_all_their_lines() {
    let exact = |text: &str| TextMatch::Exact(text.into());
    let table = [
        (field("x-one", exact("1"), false), true),
        (field("x-one", exact("2"), false), false),
        (field("x-one", exact("2"), true), true),
        (field("x-two", exact("1"), false), false),
        (field("x-two", exact("1,2"), false), true),
        (field("x-two", TextMatch::Prefix("1,".into()), false), true),
        (
            field("x-two", TextMatch::Regex(Pattern("1.2".into())), false),
            true,
        ),
        (field("x-none", TextMatch::Present, false), false),
        (field("x-none", TextMatch::Present, true), true),
        (field("x-none", exact(""), false), false),
        (field("x-none", exact(""), true), false),
        (field("x-empty", exact(""), false), true),
        (field("x-empty", TextMatch::Present, true), false),
        (
            field("x-high", TextMatch::Regex(Pattern(".*".into())), false),
            true,
        ),
        (field("host", exact("shop:80"), false), true),
        (field("host", exact("other"), false), false),
    ];
    let mut headers = HeaderMap::new();
    let lines: [(&str, &[u8]); 6] = [
        ("x-one", b"1"),
        ("x-two", b"1"),
        ("x-two", b"2"),
        ("x-empty", b""),
        ("x-high", b"\xff"),
        ("host", b"other"),
    ];
    for (name, line) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(line).unwrap());
    }
    for (test, expected) in table {
        let when = HttpMatch {
            headers: vec![test],
            ..HttpMatch::default()
        };
        let covered = covers(&when, &head(&headers));
        assert_eq!(covered.is_some(), expected, "{:?}", when.headers);
    }
}

#[test]
fn a_name_that_no_header_can_have_is_refused() {
    let when = HttpMatch {
        headers: vec![field(":path", TextMatch::Present, false)],
        ..HttpMatch::default()
    };
    let problem =
        Matching::new(&when, &mut Names::default(), &mut Patterns::default()).unwrap_err();
    assert_eq!(
        problem.to_string(),
        r#"header of a match ":path": is not a header name"#
    );
}

#[test]
fn what_must_not_match_is_compared_with_nothing_there_as_with_an_empty_text() {
    let exact = |text: &str| TextMatch::Exact(text.into());
    let regex = |text: &str| TextMatch::Regex(Pattern(text.into()));
    let table = [
        (TextMatch::Present, true),
        (exact("a"), true),
        (exact(""), false),
        (TextMatch::Prefix("a".into()), true),
        (TextMatch::Prefix("".into()), false),
        (regex("a+"), true),
        (regex("a*"), false),
    ];
    for (value, expected) in table {
        let when = HttpMatch {
            headers: vec![field("x-absent", value.clone(), true)],
            ..HttpMatch::default()
        };
        let headers = HeaderMap::new();
        let holds = covers(&when, &head(&headers)).is_some();
        assert_eq!(holds, expected, "{value:?}");
    }
}

#[test]
fn the_case_of_a_path_matters_unless_a_match_says_otherwise() {
    use Covered::{Bytes, Segments};
    let table = [
        (PathMatch::Exact("/Foo".into()), "/fOO", Some(Bytes(4))),
        (PathMatch::Exact("/Foo".into()), "/fOO/", None),
        (PathMatch::Prefix("/Foo".into()), "/fooBar", Some(Bytes(4))),
        (PathMatch::Prefix("/Foo".into()), "/fo", None),
        (
            PathMatch::Segments("/Foo".into()),
            "/foo/bar",
            Some(Segments(4)),
        ),
        (PathMatch::Segments("/Foo".into()), "/foobar", None),
        (PathMatch::Segments("/".into()), "*", Some(Segments(0))),
        (PathMatch::Regex(Pattern("/Foo".into())), "/foo", None),
        // Not on a border between characters.
        (PathMatch::Prefix("/a".into()), "/\u{e4}", None),
    ];
    for (path, asked, expected) in table {
        let when = HttpMatch {
            path: Some(path.clone()),
            ignore_case: true,
            ..HttpMatch::default()
        };
        let headers = HeaderMap::new();
        let head = Head {
            path: asked,
            ..head(&headers)
        };
        assert_eq!(covers(&when, &head), expected, "{path:?} on {asked}");
    }
}

#[test]
fn scheme_authority_and_client_are_compared() {
    let exact = |text: &str| Some(TextMatch::Exact(text.into()));
    let labels: std::collections::BTreeMap<Arc<str>, Arc<str>> = [
        ("app".into(), "web".into()),
        ("version".into(), "v1".into()),
    ]
    .into();
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-proto", "https".parse().unwrap());
    let plain = HeaderMap::new();
    let by = |namespace: Option<&str>, labels: &[(&str, &str)]| HttpMatch {
        source: Some(SourceMatch {
            namespace: namespace.map(Into::into),
            labels: labels
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        }),
        ..HttpMatch::default()
    };
    let scheme = |scheme| HttpMatch {
        scheme: exact(scheme),
        ..HttpMatch::default()
    };
    let authority = |test| HttpMatch {
        authority: Some(test),
        ..HttpMatch::default()
    };
    let known = Source {
        namespace: Some("shop"),
        labels: Some(&labels),
    };
    let unknown = Source::default();
    let table = [
        (scheme("http"), &plain, unknown, true),
        (scheme("https"), &plain, unknown, false),
        (scheme("https"), &headers, unknown, true),
        (
            authority(TextMatch::Exact("shop:80".into())),
            &plain,
            unknown,
            true,
        ),
        (
            authority(TextMatch::Exact("shop".into())),
            &plain,
            unknown,
            false,
        ),
        (
            authority(TextMatch::Prefix("shop".into())),
            &plain,
            unknown,
            true,
        ),
        (by(Some("shop"), &[]), &plain, known, true),
        (by(Some("bank"), &[]), &plain, known, false),
        (by(Some("shop"), &[]), &plain, unknown, false),
        (by(None, &[("app", "web")]), &plain, known, true),
        (
            by(Some("shop"), &[("app", "web"), ("version", "v1")]),
            &plain,
            known,
            true,
        ),
        (
            by(None, &[("app", "web"), ("version", "v2")]),
            &plain,
            known,
            false,
        ),
        (by(None, &[("app", "web")]), &plain, unknown, false),
        (by(None, &[]), &plain, unknown, true),
    ];
    for (when, headers, source, expected) in table {
        let head = Head {
            source,
            ..head(headers)
        };
        assert_eq!(
            covers(&when, &head).is_some(),
            expected,
            "{when:?} {head:?}"
        );
    }
    let of_target = Head {
        scheme: Some("http"),
        ..head(&headers)
    };
    assert!(covers(&scheme("http"), &of_target).is_some());
    let nameless = Head {
        authority: None,
        ..head(&plain)
    };
    assert!(covers(&authority(TextMatch::Present), &nameless).is_none());
}
