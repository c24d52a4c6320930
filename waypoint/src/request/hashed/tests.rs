use http::Request;

use super::*;

fn head(uri: &str, cookies: &[&str]) -> Parts {
    let mut request = Request::get(uri);
    for cookie in cookies {
        request = request.header(COOKIE, *cookie);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn the_first_parameter_of_that_name_is_hashed() {
    let of = |uri: &str| of_query(&head(uri, &[]).uri, "user");
    assert_eq!(of("/?user=a"), of("/other?x=1&user=a&user=b"));
    assert_ne!(of("/?user=a"), of("/?user=b"));
    assert!(of("/?user").is_some());
    for without in ["/", "/?", "/?users=a", "/?x=user"] {
        assert_eq!(of(without), None, "{without}");
    }
}

#[test]
fn a_cookie_is_found_among_others() {
    for (lines, expected) in [
        (vec!["user=a"], Some("a")),
        (vec!["x=y; user=\"a\"; user=b"], Some("a")),
        (vec!["x=y", "user=a"], Some("a")),
        (vec!["users=a"], None),
        (vec!["user="], None),
        (vec![], None),
    ] {
        let head = head("/", &lines);
        assert_eq!(cookie(&head.headers, "user"), expected, "{lines:?}");
    }
}

#[test]
fn a_cookie_of_zero_seconds_lasts_as_long_as_the_client() {
    let hashed = given("user", "", Duration::ZERO, &[]);
    let cookie = hashed.cookie.unwrap();
    let text = cookie.to_str().unwrap();
    assert!(
        text.starts_with("user=\"") && text.ends_with("\"; HttpOnly"),
        "{text}"
    );
}

#[test]
fn what_is_no_header_of_http1_is_found_by_envoy_s_name() {
    let of = |uri: &str, name: &str| of_header(&head(uri, &[]), name);
    assert_eq!(
        of("http://a/x", ":authority"),
        of("http://a/y", ":authority")
    );
    assert_ne!(
        of("http://a/x", ":authority"),
        of("http://b/x", ":authority")
    );
    assert_ne!(of("http://a/x", ":path"), of("http://a/x?y", ":path"));
    assert_eq!(of("http://a/x", ":method"), of("http://b/y", ":method"));
    assert_eq!(of("/x", ":authority"), None);
    assert_eq!(of("/x", "not a name"), None);
}
