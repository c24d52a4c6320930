use proptest::prelude::*;

use super::*;

#[test]
fn there_is_one_text_for_any_bytes() {
    for (text, bytes) in [
        ("", Some(&b""[..])),
        ("AA", Some(b"\0")),
        ("AB", None),
        ("A", None),
        ("AAA", Some(b"\0\0")),
        ("AAB", None),
        ("AAAA", Some(b"\0\0\0")),
        ("AAAAA", None),
        ("AA==", None),
        ("AAA=", None),
        ("-_-_", Some(&[0xfb, 0xff, 0xbf])),
        ("+/+/", None),
        ("A A", None),
        ("AA\n", None),
        ("ÄA", None),
    ] {
        assert_eq!(decode(text.as_bytes()).as_deref(), bytes, "{text}");
    }
}

#[test]
fn the_other_is_padded() {
    for (bytes, text) in [
        (&b""[..], ""),
        (b"a", "YQ=="),
        (b"ab", "YWI="),
        (b"abc", "YWJj"),
        (&[0xfb, 0xff, 0xbf], "+/+/"),
    ] {
        assert_eq!(padded(bytes), text);
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(bytes: Vec<u8>) {
        prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
    }

    #[test]
    fn what_is_decoded_was_encoded(text in "[A-Za-z0-9_=.-]{0,12}") {
        if let Some(bytes) = decode(text.as_bytes()) {
            prop_assert_eq!(encode(&bytes), text);
        }
    }
}
