//! What a waypoint writes is read back, and nothing else becomes an address.

use proptest::prelude::*;

use super::*;

#[test]
fn a_client_is_read_from_whatever_the_header_s_grammar_allows() {
    let cases = [
        (r#"for="10.0.0.9:40000""#, Some("10.0.0.9:40000")),
        (r#"for="[fd00::9]:40000""#, Some("[fd00::9]:40000")),
        (r#"For="10.0.0.9:1";host=web.shop"#, Some("10.0.0.9:1")),
        (r#"proto=tcp; for="10.0.0.9:1""#, Some("10.0.0.9:1")),
        ("for=10.0.0.9", Some("10.0.0.9:0")),
        (r#"for="[fd00::9]""#, Some("[fd00::9]:0")),
        (r#"for="10.0.0.9:1", for="10.0.0.8:2""#, Some("10.0.0.9:1")),
        (r#"for="[::ffff:10.0.0.9]:1""#, Some("10.0.0.9:1")),
        ("", None),
        ("for=", None),
        ("for=unknown", None),
        (r#"for="_hidden""#, None),
        (r#"for="10.0.0.9:1"#, None),
        (r#"for="10.0.0.9:99999""#, None),
        ("for=fd00::9", None),
        (r#"by="10.0.0.9:1""#, None),
        ("10.0.0.9:1", None),
    ];
    for (value, expected) in cases {
        let expected = expected.map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(client(value), expected, "{value}");
    }
}

#[test]
fn an_application_is_not_shown_an_address_that_no_client_has() {
    let none = [
        "127.0.0.1:1",
        "127.8.9.1:1",
        "0.0.0.0:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "169.254.1.1:1",
        "[::1]:1",
        "[::]:1",
        "[ff02::1]:1",
        "[fe80::1]:1",
        "[::ffff:127.0.0.1]:1",
    ];
    for address in none {
        assert_eq!(client(&format!("for=\"{address}\"")), None, "{address}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(high in 11..127_u8, rest: [u8; 3], segments: [u16; 7], port: u16) {
        let [a, b, c] = rest;
        let v4 = SocketAddr::from(([high, a, b, c], port));
        let [d, e, f, g, h, i, j] = segments;
        let v6 = SocketAddr::from(([0xfd00, d, e, f, g, h, i, j], port));
        for address in [v4, v6] {
            prop_assert_eq!(client(&of(address)), Some(address));
        }
    }

    #[test]
    fn any_text_is_an_address_or_nothing(text in "(for=)?\"?[\\[\\]0-9a-f.:;,=\" ]{0,40}") {
        if let Some(read) = client(&text) {
            prop_assert!(is_a_clients(read.ip()));
        }
    }
}
