//! What is written is what a reader of JSON finds.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn read(object: Object) -> Value {
    let line = object.into_line();
    let (end, text) = line.split_last().unwrap();
    assert_eq!(*end, b'\n');
    assert!(
        text.iter().all(|byte| *byte >= 0x20),
        "no control character"
    );
    serde_json::from_slice(text).expect("a line is JSON")
}

#[test]
fn a_long_text_is_cut_between_two_characters() {
    let long = format!("a{}", "é".repeat(LONGEST));
    let mut object = Object::new("level", "info");
    object.text("long", long.as_bytes());
    let object = read(object);
    let text = object["long"].as_str().unwrap();
    assert_eq!(text.len(), LONGEST - 1, "a whole character less");
    assert!(long.starts_with(text));
}

#[test]
fn what_is_not_known_has_no_field() {
    let mut object = Object::new("level", "info");
    object.known("reason", None);
    object.text("host", b"");
    object.ends(&Ends::default());
    assert_eq!(read(object), serde_json::json!({"level": "info"}));
}

proptest! {
    #[test]
    fn a_text_is_read_as_it_was(texts in proptest::collection::vec("(?s:.{1,80})", 1..4)) {
        for text in &texts {
            let mut object = Object::new("level", "info");
            object.text("text", text.as_bytes());
            prop_assert_eq!(&read(object)["text"], text);
        }
    }

    #[test]
    fn any_bytes_are_read_with_replacements(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
        let mut object = Object::new("level", "info");
        object.text("text", &bytes);
        prop_assert_eq!(&read(object)["text"], &*String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn numbers_addresses_and_times_are_written_as_everywhere() {
    let addresses = ["10.0.255.7:80", "[2001:db8::1]:65535", "0.0.0.0:0"];
    for text in addresses {
        let mut object = Object::new("level", "info");
        object.address("address", text.parse().unwrap());
        assert_eq!(read(object)["address"], text);
    }
    for (micros, millis, span) in [
        (0, 0.0, "0ms"),
        (1_007, 1.007, "1ms"),
        (65_123_450, 65_123.45, "65123ms"),
    ] {
        let value = Duration::from_micros(micros);
        let mut object = Object::new("level", "info");
        object.millis("millis", value);
        object.span("span", value);
        object.number("bytes", u64::MAX - micros);
        let object = read(object);
        assert_eq!(object["millis"], millis);
        assert_eq!(object["span"], span);
        assert_eq!(object["bytes"], u64::MAX - micros);
    }
}
