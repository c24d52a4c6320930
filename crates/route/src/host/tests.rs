use http::Request;

use super::*;

#[test]
fn the_host_is_replaced_wherever_the_request_has_it() {
    // Target and `Host`, before and after.
    let table = [
        (("/a?b", Some("shop")), ("/a?b", Some("new:8080"))),
        (("/a", None), ("/a", Some("new:8080"))),
        (("http://shop/a?b", None), ("http://new:8080/a?b", None)),
        (
            ("http://shop/a", Some("shop")),
            ("http://new:8080/a", Some("new:8080")),
        ),
        (("*", Some("shop")), ("*", Some("new:8080"))),
        (("shop:443", Some("shop")), ("shop:443", Some("shop"))),
    ];
    let new = NewHost::new("rewrite host", "new:8080").unwrap();
    for ((target, host), (new_target, new_host)) in table {
        let mut request = Request::get(target);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        new.put(&mut parts);
        assert_eq!(parts.uri.to_string(), new_target);
        let value = parts.headers.get(HOST).map(|value| value.to_str().unwrap());
        assert_eq!(value, new_host, "{target}");
    }
}

#[test]
fn what_is_no_host_is_refused() {
    for host in [
        "",
        "a b",
        "a/b",
        "user@host",
        "a\r\nb",
        "\u{e4}.example",
        ":80",
        "[]",
        "a,b",
    ] {
        let problem = NewHost::new("rewrite host", host).unwrap_err();
        assert_eq!((problem.field, &*problem.value), ("rewrite host", host));
    }
}
