//! Bytes of clients in both styles.

use proptest::prelude::*;

use super::*;

fn written(value: &[u8], style: Style, room: usize) -> String {
    let mut line = Vec::new();
    Sink::of(&mut line, style, value, room).put(value);
    String::from_utf8(line).expect("a line is UTF-8")
}

/// Value, as text, as JSON. Where Envoy 1.40 writes JSON otherwise it means the same.
const TABLE: &[(&[u8], &str, &str)] = &[
    (b"", "", ""),
    (b"a\"b\\c/d<e>&'", "a\"b\\c/d<e>&'", "a\\\"b\\\\c/d<e>&'"),
    (b"a\tb", "a\\x09b", "a\\u0009b"),
    (
        b"a\r\nb\0\x7f",
        "a\\x0d\\x0ab\\x00\\x7f",
        "a\\u000d\\u000ab\\u0000\\u007f",
    ),
    ("aé€😀".as_bytes(), "aé€😀", "aé€😀"),
    (
        "\u{2028}\u{2029}".as_bytes(),
        "\\u2028\\u2029",
        "\\u2028\\u2029",
    ),
    (
        "\u{85}\u{9b}1m".as_bytes(),
        "\\x85\\x9b1m",
        "\\u0085\\u009b1m",
    ),
    (
        "\u{200b}\u{feff}".as_bytes(),
        "\u{200b}\u{feff}",
        "\u{200b}\u{feff}",
    ),
    (
        b"a\xff\xc3(\xe2\x82|\x80\xfe\"\\",
        "a\\xff\\xc3(\\xe2\\x82|\\x80\\xfe\"\\",
        "a\\u00ff\\u00c3(\\u00e2\\u0082|\\u0080\\u00fe\\\"\\\\",
    ),
    // One byte that is none makes Latin-1 of all.
    (b"\xc3\xa9\xff", "\\xc3\\xa9\\xff", "\\u00c3\\u00a9\\u00ff"),
    (b"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\u00ed\\u00a0\\u0080"),
];

#[test]
fn what_would_break_a_line_or_its_quotes_is_escaped() {
    for (value, plain, json) in TABLE {
        assert_eq!(written(value, Style::Plain, LONGEST), *plain);
        assert_eq!(written(value, Style::Json, LONGEST), *json);
    }
}

#[test]
fn a_value_is_cut_between_two_characters() {
    let value = "aé€😀".as_bytes();
    let expected = [
        "",
        "a",
        "a",
        "aé",
        "aé",
        "aé",
        "aé€",
        "aé€",
        "aé€",
        "aé€",
        "aé€😀",
        "aé€😀",
    ];
    for (room, expected) in expected.into_iter().enumerate() {
        assert_eq!(written(value, Style::Json, room), expected, "{room}");
    }
    assert_eq!(written(b"\xff\xfe", Style::Plain, 1), "\\xff");
}

#[test]
fn pieces_share_the_room_of_their_value() {
    let mut line = Vec::new();
    let mut sink = Sink::of(&mut line, Style::Plain, b"", 5);
    for piece in ["ab", "", "€", "c"] {
        sink.put(piece.as_bytes());
    }
    assert_eq!(line, "ab€".as_bytes());
    let mut line = Vec::new();
    let mut sink = Sink::of(&mut line, Style::Plain, b"", 4);
    for piece in ["ab", "€", "c"] {
        sink.put(piece.as_bytes());
    }
    assert_eq!(line, b"ab", "nothing comes after what was cut");
}

proptest! {
    #[test]
    fn json_reads_utf_8_as_it_was_and_all_else_as_latin_1(value in any::<Vec<u8>>()) {
        let text = written(&value, Style::Json, usize::MAX);
        let read: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
        let latin_1 = || value.iter().copied().map(char::from).collect();
        let expected = String::from_utf8(value.clone()).unwrap_or_else(|_| latin_1());
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn a_line_stays_a_line(value in any::<Vec<u8>>(), room in 0_usize..20) {
        for style in [Style::Plain, Style::Json] {
            let text = written(&value, style, room);
            let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            let is_line = !text.chars().any(breaks);
            prop_assert!(is_line, "{}", text);
        }
    }
}
