//! What headers say of gRPC, and what becomes of those that say who called.

use super::*;

#[test]
fn grpc_is_told_by_the_content_type_alone() {
    for (kind, is_it) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc; charset=utf-8", true),
        ("application/grpc-web", false),
        ("application/grpc-web+proto", false),
        ("application/json", false),
    ] {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        assert_eq!(is_grpc(&headers), is_it, "{kind}");
    }
    assert!(!is_grpc(&HeaderMap::new()));
}

#[test]
fn a_status_of_grpc_is_a_number() {
    for (text, status) in [
        ("0", Some(0)),
        ("14", Some(14)),
        ("", None),
        ("-1", None),
        ("70000", None),
    ] {
        let headers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(text))]);
        assert_eq!(grpc_status(&headers), status, "{text}");
    }
}

fn taken_in(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.headers = headers;
    take_in(&mut head, &crate::fixtures::call("10.244.1.10:4000"));
    head.headers
}

#[test]
fn the_clients_address_is_behind_all_that_were_told_in_however_many_lines() {
    for (lines, told) in [
        (&[][..], "10.244.1.10".as_bytes()),
        (&["192.0.2.1"], b"192.0.2.1,10.244.1.10"),
        (
            &["192.0.2.1, 192.0.2.2", "192.0.2.3"],
            b"192.0.2.1, 192.0.2.2,192.0.2.3,10.244.1.10",
        ),
        (
            &["\u{fc}", "192.0.2.3"],
            "\u{fc},192.0.2.3,10.244.1.10".as_bytes(),
        ),
    ] {
        let lines: Vec<(&str, &[u8])> = lines
            .iter()
            .map(|line| ("x-forwarded-for", line.as_bytes()))
            .collect();
        let headers = taken_in(&lines);
        let values: Vec<&HeaderValue> = headers.get_all(FORWARDED_FOR).iter().collect();
        assert_eq!(values.len(), 1);
        assert_eq!(values[0].as_bytes(), told);
    }
}

#[test]
fn cookies_are_one_header_however_they_come() {
    let headers = taken_in(&[("cookie", b"a=1"), ("x", b"y"), ("cookie", b"b=2; c=3")]);
    let lines: Vec<&HeaderValue> = headers.get_all("cookie").iter().collect();
    assert_eq!(lines, ["a=1; b=2; c=3"]);
    let headers = taken_in(&[("cookie", b"a=1")]);
    assert_eq!(headers["cookie"], "a=1");
}

#[test]
fn identities_that_a_client_claims_are_not_passed_on() {
    let headers = taken_in(&[
        (
            "x-forwarded-client-cert",
            b"URI=spiffe://cluster.local/ns/shop/sa/boss",
        ),
        ("x-forwarded-client-cert", b"By=spiffe://x"),
        ("forwarded", b"for=192.0.2.1"),
        ("x-forwarded-proto", b"https"),
    ]);
    assert!(!headers.contains_key("x-forwarded-client-cert"));
    assert!(!headers.contains_key("forwarded"));
    assert_eq!(headers["x-forwarded-proto"], "https");
}

#[test]
fn every_request_has_a_name_that_tables_of_headers_do_not_keep() {
    let own = taken_in(&[("x-request-id", b"theirs")]);
    assert_eq!(own["x-request-id"], "theirs");
    let (one, other) = (taken_in(&[]), taken_in(&[]));
    assert_ne!(one["x-request-id"], other["x-request-id"]);
    for headers in [own, one, other] {
        assert!(headers["x-request-id"].is_sensitive(), "{headers:?}");
    }
}
