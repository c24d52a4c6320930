use ambit_model::PathChange;
use http::{HeaderMap, Method};

use super::*;
use crate::head::Source;

/// A redirect of which only the status is given.
fn plain() -> Redirect {
    Redirect {
        scheme: None,
        host: None,
        path: None,
        port: None,
        status: 302,
        as_asked: false,
    }
}

fn head<'a>(authority: Option<&'a str>, path: &'a str, headers: &'a HeaderMap) -> Head<'a> {
    Head {
        method: &Method::GET,
        path,
        query: Some("q=1"),
        authority,
        headers,
        scheme: None,
        source: Source::default(),
    }
}

/// Where a request for `/foo/bar?q=1` at `shop`, by plain HTTP, is sent; `/foo` was matched.
fn location(redirect: &Redirect, port: u16) -> String {
    let headers = HeaderMap::new();
    let head = head(Some("shop:1"), "/foo/bar", &headers);
    let redirection = Redirection::new(redirect).unwrap();
    let response = redirection.answer(&head, &Scheme::HTTP, port, Covered::Segments(4));
    assert_eq!(response.status().as_u16(), redirect.status);
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

#[test]
fn what_is_not_given_is_that_of_the_request() {
    let host = Redirect {
        host: Some("new".into()),
        ..plain()
    };
    assert_eq!(location(&host, 80), "http://new/foo/bar?q=1");
    assert_eq!(location(&host, 8080), "http://new:8080/foo/bar?q=1");
    let full = Redirect {
        path: Some(PathChange::Full("/xyz".into())),
        ..plain()
    };
    assert_eq!(location(&full, 80), "http://shop/xyz?q=1");
    let prefix = Redirect {
        path: Some(PathChange::Prefix("/xyz/".into())),
        ..plain()
    };
    assert_eq!(location(&prefix, 80), "http://shop/xyz/bar?q=1");
}

#[test]
fn ports_follow_the_scheme_and_are_left_out_where_they_are_known() {
    // Scheme and port of the redirect, port of the request, what comes out.
    let table = [
        (None, None, 80, "http://shop/foo/bar?q=1"),
        (None, None, 443, "http://shop:443/foo/bar?q=1"),
        (None, None, 8080, "http://shop:8080/foo/bar?q=1"),
        (None, Some(80), 8080, "http://shop/foo/bar?q=1"),
        (None, Some(8083), 80, "http://shop:8083/foo/bar?q=1"),
        (Some("http"), None, 8080, "http://shop/foo/bar?q=1"),
        (Some("http"), Some(443), 80, "http://shop:443/foo/bar?q=1"),
        (Some("https"), None, 8080, "https://shop/foo/bar?q=1"),
        (Some("https"), Some(443), 80, "https://shop/foo/bar?q=1"),
        (Some("https"), Some(80), 80, "https://shop:80/foo/bar?q=1"),
    ];
    for (scheme, port, came_to, expected) in table {
        let redirect = Redirect {
            scheme: scheme.map(Into::into),
            port,
            ..plain()
        };
        assert_eq!(location(&redirect, came_to), expected);
    }
}

#[test]
fn as_asked_the_port_of_the_authority_stays_with_its_host() {
    // Scheme, host and port of the redirect; authority and scheme of the request; what comes out.
    let table = [
        (None, None, None, "shop", None, "http://shop/a?q=1"),
        (
            None,
            None,
            None,
            "shop",
            Some("https"),
            "https://shop/a?q=1",
        ),
        (
            None,
            None,
            None,
            "shop:8443",
            Some("https"),
            "https://shop:8443/a?q=1",
        ),
        (None, None, None, "shop:80", None, "http://shop/a?q=1"),
        (
            None,
            None,
            None,
            "[fd00::1]:81",
            None,
            "http://[fd00::1]:81/a?q=1",
        ),
        (
            None,
            None,
            Some(81),
            "shop:82",
            Some("https"),
            "https://shop:81/a?q=1",
        ),
        (
            None,
            Some("new"),
            None,
            "shop:82",
            Some("https"),
            "https://new/a?q=1",
        ),
        (
            None,
            Some("new"),
            Some(81),
            "shop:82",
            None,
            "http://new:81/a?q=1",
        ),
        (
            Some("https"),
            None,
            None,
            "shop:80",
            None,
            "https://shop/a?q=1",
        ),
        (
            Some("https"),
            None,
            None,
            "shop:81",
            None,
            "https://shop:81/a?q=1",
        ),
        (
            Some("http"),
            None,
            None,
            "shop:443",
            Some("https"),
            "http://shop/a?q=1",
        ),
        (
            Some("https"),
            None,
            Some(8443),
            "shop:81",
            None,
            "https://shop:8443/a?q=1",
        ),
    ];
    for (scheme, host, port, authority, came_as, expected) in table {
        let redirect = Redirect {
            scheme: scheme.map(Into::into),
            host: host.map(Into::into),
            port,
            as_asked: true,
            ..plain()
        };
        let mut headers = HeaderMap::new();
        if let Some(scheme) = came_as {
            headers.insert("x-forwarded-proto", scheme.parse().unwrap());
        }
        let head = head(Some(authority), "/a", &headers);
        let redirection = Redirection::new(&redirect).unwrap();
        // The port that it came to is that of a Service, which no browser knows.
        let answer = redirection.answer(&head, &Scheme::HTTP, 8080, Covered::Bytes(2));
        assert_eq!(answer.headers()[LOCATION], expected, "{authority}");
    }
}

#[test]
fn every_status_of_a_redirect_is_given_as_it_is() {
    for status in [301, 302, 303, 307, 308] {
        // The helper compares the status.
        location(&Redirect { status, ..plain() }, 80);
    }
}

#[test]
fn hosts_are_taken_from_the_authority_whatever_its_form() {
    let table = [
        (Some("[fd00::1]:8080"), Some("http://[fd00::1]/foo?q=1")),
        (Some("user:pass@shop:80"), Some("http://shop/foo?q=1")),
        (Some("10.0.0.1:80"), Some("http://10.0.0.1/foo?q=1")),
        (Some("a b"), None),
        (Some("a([fd00::1]:80"), None),
        (Some("[fd00::x]"), None),
        (Some("<b>"), None),
        (Some(""), None),
        (None, None),
    ];
    let headers = HeaderMap::new();
    let redirection = Redirection::new(&plain()).unwrap();
    for (authority, expected) in table {
        let head = head(authority, "/foo", &headers);
        let response = redirection.answer(&head, &Scheme::HTTP, 80, Covered::Segments(0));
        let location = response.headers().get(LOCATION);
        assert_eq!(
            location.map(|l| l.to_str().unwrap()),
            expected,
            "{authority:?}"
        );
        let bad = response.status() == StatusCode::BAD_REQUEST;
        assert_eq!(bad, expected.is_none());
    }
}

#[test]
fn what_is_no_path_becomes_the_root() {
    let headers = HeaderMap::new();
    let redirection = Redirection::new(&plain()).unwrap();
    for path in ["*", ""] {
        let head = head(Some("shop"), path, &headers);
        let response = redirection.answer(&head, &Scheme::HTTP, 80, Covered::Bytes(path.len()));
        assert_eq!(response.headers()[LOCATION], "http://shop/?q=1");
    }
}

#[test]
fn what_cannot_stand_in_a_location_is_refused() {
    let bad = [
        (
            "redirect status",
            Redirect {
                status: 200,
                ..plain()
            },
        ),
        (
            "redirect scheme",
            Redirect {
                scheme: Some("ftp".into()),
                ..plain()
            },
        ),
        (
            "redirect host",
            Redirect {
                host: Some("new:80".into()),
                ..plain()
            },
        ),
        (
            "redirect host",
            Redirect {
                host: Some("a@b".into()),
                ..plain()
            },
        ),
        (
            "redirect host",
            Redirect {
                host: Some("a/b".into()),
                ..plain()
            },
        ),
        (
            "redirect path",
            Redirect {
                path: Some(PathChange::Full("a".into())),
                ..plain()
            },
        ),
    ];
    for (field, redirect) in bad {
        assert_eq!(Redirection::new(&redirect).unwrap_err().field, field);
    }
}
