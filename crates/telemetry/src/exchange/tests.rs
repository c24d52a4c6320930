//! A line is one line of JSON, whatever clients send, and keeps their secrets.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::fixtures;
use crate::object::LONGEST;

/// The line as a reader of the log takes it.
fn read(exchange: &Exchange<'_>, with_query: bool) -> Value {
    let line = exchange.to_line(with_query.then_some(<[u8]>::to_vec));
    let (end, text) = line.split_last().unwrap();
    assert_eq!(*end, b'\n');
    assert!(!text.contains(&b'\n') && !text.contains(&b'\r'));
    serde_json::from_slice(text).expect("a line is JSON")
}

#[test]
fn a_line_says_who_asked_whom_for_what_and_how_it_went() {
    let ends = fixtures::ends();
    let mut line = read(&fixtures::exchange(&ends), false);
    let time = line.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z'));
    let expected = serde_json::json!({
        "level": "info",
        "scope": "access",
        "message": "access",
        "request_id": "5f3c",
        "method": "GET",
        "path": "/carts/7",
        "host": "cart",
        "protocol": "HTTP/1.1",
        "user_agent": "curl/8",
        "status": 200,
        "response_flags": "-",
        "route": "shop/cart",
        "src.addr": "10.0.0.1:40000",
        "src.workload": "web-0",
        "src.namespace": "shop",
        "src.identity": "spiffe://cluster.local/ns/shop/sa/web",
        "dst.addr": "10.96.0.10:80",
        "dst.service": "cart.shop.svc.cluster.local",
        "dst.workload": "cart-0",
        "dst.namespace": "shop",
        "dst.identity": "spiffe://cluster.local/ns/shop/sa/cart",
        "upstream": "10.0.0.2:8080",
        "bytes_sent": 120,
        "bytes_recv": 4000,
        "duration_ms": 1.3,
        "tries": 1,
    });
    assert_eq!(line, expected);
}

#[test]
fn a_refusal_says_why_and_by_whom() {
    let ends = Ends::default();
    let policy = PolicyName::new("shop", "no-carts");
    let line = read(
        &Exchange {
            status: Some(403),
            flags: "DENY",
            reason: Some("policy_denied"),
            policy: Some(&policy),
            error: Some("said no"),
            upstream: None,
            ..fixtures::exchange(&ends)
        },
        false,
    );
    assert_eq!(line["level"], "error");
    assert_eq!(line["reason"], "policy_denied");
    assert_eq!(line["policy"], "shop/no-carts");
    assert_eq!(line["error"], "said no");
    assert_eq!(line["response_flags"], "DENY");
    assert!(line.get("upstream").is_none());
}

#[test]
fn the_query_is_told_only_to_those_who_ask() {
    let ends = fixtures::ends();
    let exchange = fixtures::exchange(&ends);
    assert_eq!(read(&exchange, false)["path"], "/carts/7");
    assert_eq!(read(&exchange, true)["path"], "/carts/7?token=secret");
}

#[test]
fn a_request_is_mutual_tls_unless_the_client_is_unproved_or_it_went_on_in_the_clear() {
    let (proved, unproved) = (fixtures::ends(), Ends::default());
    for (ends, onward, expected) in [
        (&proved, Onward::MutualTls, true),
        (&proved, Onward::Nothing, true),
        (&proved, Onward::Clear, false),
        (&unproved, Onward::MutualTls, false),
        (&unproved, Onward::Nothing, false),
    ] {
        let exchange = Exchange {
            onward,
            ..fixtures::exchange(ends)
        };
        assert_eq!(exchange.is_mutual_tls(), expected, "{onward:?}");
    }
}

/// Bytes as they may come from a client, more often unpleasant than not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        any::<String>().prop_map(String::into_bytes),
        vec(any::<u8>(), LONGEST - 10..LONGEST + 10),
        vec(0x80_u8..0xC0, LONGEST - 10..LONGEST + 10),
    ]
}

proptest! {
    #[test]
    fn any_bytes_make_one_line_of_json(
        texts in [bytes(), bytes(), bytes(), bytes(), bytes()],
        (error, route) in any::<(String, String)>(),
        with_query in any::<bool>(),
    ) {
        let ends = fixtures::ends();
        let [method, path, host, request_id, user_agent] = &texts;
        let exchange = Exchange {
            method,
            path,
            host,
            request_id,
            user_agent,
            error: Some(&error),
            route: Some(&route),
            ..fixtures::exchange(&ends)
        };
        let line = read(&exchange, with_query);
        // What is not UTF-8 grows threefold at most.
        for field in ["method", "path", "host", "request_id", "user_agent"] {
            let length = line[field].as_str().map_or(0, str::len);
            prop_assert!(length <= 3 * LONGEST, "{field}: {length}");
        }
        if let Ok(host) = std::str::from_utf8(host)
            && (1..=LONGEST).contains(&host.len())
        {
            prop_assert_eq!(&line["host"], host);
        }
    }
}

#[test]
fn what_is_told_of_a_query_has_no_secrets_in_it() {
    let ends = fixtures::ends();
    let exchange = Exchange {
        path: b"/carts/7?token=abc",
        ..fixtures::exchange(&ends)
    };
    let told = |queries| {
        let line = exchange.to_line(queries);
        serde_json::from_slice::<Value>(&line).unwrap()["path"].clone()
    };
    assert_eq!(told(None), "/carts/7");
    assert_eq!(
        told(Some(|_| b"/carts/7?token=-".to_vec())),
        "/carts/7?token=-"
    );
}
