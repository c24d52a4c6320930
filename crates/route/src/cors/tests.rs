use super::*;
use crate::head::Source;

const FOO: &str = "https://www.foo.com";

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

/// A filter for some origins that names one method and two headers.
fn cors(origins: &[&str]) -> Cors {
    Cors {
        allow_origins: names(origins),
        allow_methods: names(&["PUT"]),
        allow_headers: names(&["x-a", "x-b"]),
        ..Cors::default()
    }
}

fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn judge(cors: &Cors, method: &Method, headers: &HeaderMap) -> CorsVerdict {
    let head = Head {
        method,
        path: "/",
        query: None,
        authority: None,
        headers,
        scheme: None,
        source: Source::default(),
    };
    CorsPolicy::new(cors).unwrap().judge(&head)
}

/// The answer to a preflight of an origin for `DELETE` with `x-c` and `authorization`.
fn preflight(cors: &Cors, origin: &str) -> Response<()> {
    let headers = map(&[
        ("origin", origin),
        ("access-control-request-method", "DELETE"),
        ("access-control-request-headers", "x-c"),
        ("access-control-request-headers", "authorization"),
    ]);
    match judge(cors, &Method::OPTIONS, &headers) {
        CorsVerdict::Preflight(response) => response,
        CorsVerdict::Actual(_) => panic!("a preflight went on"),
    }
}

/// What stands on the answer to a request of an origin, when the application says `said`.
fn actual(cors: &Cors, origin: Option<&str>, said: &[(&'static str, &str)]) -> HeaderMap {
    let headers = origin.map_or_else(HeaderMap::new, |origin| map(&[("origin", origin)]));
    let CorsVerdict::Actual(verdict) = judge(cors, &Method::GET, &headers) else {
        panic!("a plain request was taken for a preflight");
    };
    let mut answer = map(said);
    verdict.apply(&mut answer);
    answer
}

fn line<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    assert!(headers.get_all(name).iter().count() < 2, "{name}");
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn origins_are_compared_by_scheme_host_and_port() {
    let table = [
        ("https://www.foo.com", "https://www.foo.com", true),
        ("https://www.foo.com", "https://WWW.foo.com", true),
        ("https://www.foo.com", "http://www.foo.com", false),
        ("https://www.foo.com", "https://foo.com", false),
        ("https://www.foo.com", "https://www.foo.com:443", true),
        ("https://www.foo.com:443", "https://www.foo.com", true),
        ("http://www.foo.com", "http://www.foo.com:80", true),
        ("https://www.foo.com", "https://www.foo.com:8443", false),
        ("https://*.bar.com", "https://www.bar.com", true),
        ("https://*.bar.com", "https://xpto.www.bar.com", true),
        ("https://*.bar.com", "https://bar.com", false),
        ("https://*.bar.com", "https://evilbar.com", false),
        ("https://*.bar.com", "https://www.bar.com.evil", false),
        ("https://*.bar.com:12345", "https://www.bar.com:12345", true),
        ("https://*.bar.com:12345", "https://www.bar.com", false),
        ("http://*", "http://any.where", true),
        ("http://*", "https://any.where", false),
        ("http://*", "http://any.where:81", false),
        ("http://[fd00::1]:81", "http://[fd00::1]:81", true),
        ("*", "null", true),
        ("http://*", "null", false),
        ("http://null", "null", false),
        ("http://*", "http://a b", false),
        ("http://*", "http://", false),
    ];
    for (pattern, origin, allowed) in table {
        let answer = preflight(&cors(&[pattern]), origin);
        let expected = if allowed { 200 } else { 403 };
        assert_eq!(answer.status().as_u16(), expected, "{pattern}, {origin}");
        let allow = line(answer.headers(), "access-control-allow-origin");
        assert_eq!(allow.is_some(), allowed);
    }
}

#[test]
fn a_preflight_is_told_what_is_allowed() {
    let cors = Cors {
        allow_credentials: true,
        expose_headers: names(&["x-d", "x-e"]),
        max_age: Some(Duration::from_secs(3600)),
        allow_methods: names(&["GET", "OPTIONS"]),
        ..cors(&["https://other.com", FOO])
    };
    let answer = preflight(&cors, FOO);
    let line = |name| line(answer.headers(), name);
    assert_eq!(line("access-control-allow-origin"), Some(FOO));
    assert_eq!(line("access-control-allow-credentials"), Some("true"));
    assert_eq!(line("access-control-allow-methods"), Some("GET, OPTIONS"));
    assert_eq!(line("access-control-allow-headers"), Some("x-a, x-b"));
    assert_eq!(line("access-control-expose-headers"), Some("x-d, x-e"));
    assert_eq!(line("access-control-max-age"), Some("3600"));
    assert!(line("vary").unwrap().starts_with("origin"));
}

#[test]
fn what_is_not_configured_is_not_said() {
    let nothing = Cors {
        allow_origins: names(&[FOO]),
        ..Cors::default()
    };
    let answer = preflight(&nothing, FOO);
    let mut said: Vec<&str> = answer.headers().keys().map(HeaderName::as_str).collect();
    said.sort_unstable();
    let expected = [
        "access-control-allow-origin",
        "access-control-max-age",
        "vary",
    ];
    assert_eq!(said, expected);
    assert_eq!(line(answer.headers(), "access-control-max-age"), Some("5"));
}

#[test]
fn a_wildcard_with_credentials_becomes_what_was_asked_for() {
    let everything = |allow_credentials| Cors {
        allow_credentials,
        allow_methods: names(&["*"]),
        allow_headers: names(&["*"]),
        expose_headers: names(&["x-d", "*"]),
        ..cors(&["*"])
    };
    let with = preflight(&everything(true), FOO);
    let said = |name| line(with.headers(), name);
    assert_eq!(said("access-control-allow-origin"), Some(FOO));
    assert_eq!(said("access-control-allow-methods"), Some("DELETE"));
    assert_eq!(
        said("access-control-allow-headers"),
        Some("x-c,authorization")
    );
    assert_eq!(said("access-control-expose-headers"), Some("x-d"));
    let without = preflight(&everything(false), FOO);
    let said = |name| line(without.headers(), name);
    assert_eq!(said("access-control-allow-origin"), Some("*"));
    assert_eq!(said("access-control-allow-credentials"), None);
    assert_eq!(
        said("access-control-allow-headers"),
        Some("x-c,authorization")
    );
    assert_eq!(said("access-control-expose-headers"), Some("*"));
}

#[test]
fn a_wildcard_for_headers_is_left_out_if_none_is_asked_for_with_credentials() {
    let headers = map(&[("origin", FOO), ("access-control-request-method", "PUT")]);
    for (allow_credentials, expected) in [(true, None), (false, Some("*"))] {
        let cors = Cors {
            allow_credentials,
            allow_headers: names(&["*"]),
            ..cors(&[FOO])
        };
        let CorsVerdict::Preflight(answer) = judge(&cors, &Method::OPTIONS, &headers) else {
            panic!("a preflight went on");
        };
        let said = line(answer.headers(), "access-control-allow-headers");
        assert_eq!(said, expected);
    }
}

#[test]
fn a_preflight_has_an_origin_a_method_and_options() {
    let origin = ("origin", FOO);
    let asks = ("access-control-request-method", "PUT");
    let table = [
        (Method::OPTIONS, vec![origin, asks], true),
        (Method::OPTIONS, vec![origin], false),
        (Method::OPTIONS, vec![asks], false),
        (Method::GET, vec![origin, asks], false),
    ];
    for (method, lines, expected) in table {
        let verdict = judge(&cors(&[FOO]), &method, &map(&lines));
        let is_preflight = matches!(verdict, CorsVerdict::Preflight(_));
        assert_eq!(is_preflight, expected, "{method} {lines:?}");
    }
}

#[test]
fn an_answer_says_only_what_the_filter_does() {
    let said = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "x-secret"),
        ("content-type", "text/plain"),
    ];
    let answer = actual(&cors(&[FOO]), Some("https://evil.com"), &said);
    assert_eq!(answer, map(&[said[3], ("vary", "origin")]));
    let answer = actual(&cors(&[FOO]), Some(FOO), &said);
    let allow = ("access-control-allow-origin", FOO);
    assert_eq!(answer, map(&[said[3], allow, ("vary", "origin")]));
    // Not a request of another origin: the filter has nothing to say.
    let answer = actual(&cors(&[FOO]), None, &said[..2]);
    assert_eq!(answer, map(&[said[0], said[1], ("vary", "origin")]));
}

#[test]
fn an_answer_varies_by_origin_where_it_depends_on_it() {
    let vary = |cors: &Cors, said: &str| {
        let answer = actual(cors, Some(FOO), &[("vary", said)]);
        let lines = answer.get_all("vary").iter();
        let lines: Vec<_> = lines
            .map(|line| line.to_str().unwrap().to_owned())
            .collect();
        lines.join(";")
    };
    assert_eq!(vary(&cors(&[FOO]), "accept"), "accept;origin");
    assert_eq!(vary(&cors(&[FOO]), "accept, Origin"), "accept, Origin");
    assert_eq!(vary(&cors(&[FOO]), "*"), "*");
    assert_eq!(vary(&cors(&["*"]), "accept"), "accept");
    let with = Cors {
        allow_credentials: true,
        ..cors(&["*"])
    };
    assert_eq!(vary(&with, "accept"), "accept;origin");
}

#[test]
fn of_several_origins_none_is_believed() {
    let headers = map(&[("origin", FOO), ("origin", "https://evil.com")]);
    let CorsVerdict::Actual(verdict) = judge(&cors(&[FOO]), &Method::GET, &headers) else {
        panic!("a plain request was taken for a preflight");
    };
    let mut answer = HeaderMap::new();
    verdict.apply(&mut answer);
    assert_eq!(answer, map(&[("vary", "origin")]));
}

#[test]
fn what_is_no_origin_or_name_is_refused() {
    let origins = [
        "",
        "foo.com",
        "ftp://foo.com",
        "https://",
        "https://foo.com/",
        "https://f*o.com",
        "https://*foo.com",
        "https://www.*.com",
        "https://foo.com:0",
        "https://foo.com:70000",
        "https://foo.com:+80",
        "https://a,b",
    ];
    for origin in origins {
        let problem = CorsPolicy::new(&cors(&[origin])).unwrap_err();
        assert_eq!((problem.field, &*problem.value), ("CORS origin", origin));
    }
    let methods = Cors {
        allow_methods: names(&["GET, PUT"]),
        ..cors(&[FOO])
    };
    assert_eq!(CorsPolicy::new(&methods).unwrap_err().field, "CORS method");
}

#[test]
fn origins_are_compared_as_texts_too_and_what_is_of_others_may_go_on() {
    use ambit_model::{Pattern, TextMatch};
    let cors = Cors {
        origin_matches: vec![
            TextMatch::Prefix("https://www.".into()),
            TextMatch::Regex(Pattern("http://[a-z]+.bar.com".into())),
        ],
        passes_others: true,
        ..cors(&[])
    };
    for (origin, allowed) in [
        (FOO, true),
        ("http://x.bar.com", true),
        ("http://x.bar.com.evil", false),
        ("https://foo.com", false),
    ] {
        let headers = map(&[("origin", origin), ("access-control-request-method", "PUT")]);
        match judge(&cors, &Method::OPTIONS, &headers) {
            CorsVerdict::Preflight(answer) => {
                assert!(allowed, "{origin}");
                assert_eq!(answer.headers()["access-control-allow-origin"], origin);
            }
            CorsVerdict::Actual(headers) => {
                assert!(!allowed, "{origin}");
                let mut answer = map(&[("access-control-allow-origin", "of the application")]);
                headers.apply(&mut answer);
                assert_eq!(answer["access-control-allow-origin"], "of the application");
            }
        }
    }
    let bad = Cors {
        origin_matches: vec![TextMatch::Regex(Pattern("(".into()))],
        ..Cors::default()
    };
    assert!(CorsPolicy::new(&bad).is_err());
}
