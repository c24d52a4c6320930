//! What is asked for, by headers.

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    pairs.collect()
}

#[test]
fn an_upgrade_is_one_that_both_headers_ask_for_and_that_is_not_http2() {
    for (pairs, expected) in [
        (&[("connection", "Upgrade"), ("upgrade", "websocket")], true),
        (
            &[("connection", "keep-alive, upgrade"), ("upgrade", "tcp/1")],
            true,
        ),
        (&[("connection", "close"), ("upgrade", "websocket")], false),
        (&[("connection", "upgrade"), ("te", "trailers")], false),
        (&[("connection", "upgrade"), ("upgrade", "h2c")], false),
        (&[("connection", "upgrade"), ("upgrade", "a, H2C")], false),
    ] {
        assert_eq!(upgrade(&headers(pairs)).is_some(), expected, "{pairs:?}");
    }
}

#[test]
fn a_key_is_sixteen_bytes_in_base64() {
    let (one, other) = (key(), key());
    assert_ne!(one, other);
    assert_eq!(one.len(), 24);
    assert!(one.ends_with("=="));
    assert!(matches!(one.as_bytes()[21], b'A' | b'Q' | b'g' | b'w'));
}
