use proptest::prelude::*;

use super::*;

#[test]
fn durations_are_those_of_gateway_api() {
    let cases = [
        ("0s", Some(0)),
        ("1ms", Some(1)),
        ("10s", Some(10_000)),
        ("1m", Some(60_000)),
        ("1h30m10s500ms", Some(5_410_500)),
        ("1s1s1s1s", Some(4_000)),
        ("99999h", Some(359_996_400_000)),
        ("", None),
        ("s", None),
        ("10", None),
        ("1.5s", None),
        ("-1s", None),
        ("1d", None),
        ("1us", None),
        ("100000s", None),
        ("1s1s1s1s1s", None),
        (" 1s", None),
        ("1s ", None),
    ];
    for (text, millis) in cases {
        let read = RouteDuration::new(text)
            .ok()
            .map(|d| d.length().as_millis());
        assert_eq!(read, millis, "{text}");
    }
}

#[test]
fn names_and_values_of_headers_are_those_that_can_be_sent() {
    for (name, good) in [
        ("X-A", true),
        ("a_b~1", true),
        ("", false),
        ("a b", false),
        ("a:", false),
        ("ä", false),
    ] {
        assert_eq!(FieldName::new(name).is_ok(), good, "{name}");
    }
    let values = [
        ("a", true),
        ("a b\tc", true),
        ("a  b", false),
        (" a", false),
        ("a ", false),
        ("a\nb", false),
        ("", false),
        ("ä", false),
    ];
    for (value, good) in values {
        assert_eq!(FieldContent::new(value).is_ok(), good, "{value:?}");
    }
    assert!(FieldName::new(&"a".repeat(257)).is_err());
    assert!(FieldContent::new(&"a".repeat(4097)).is_err());
    assert_eq!(
        &*FieldName::new("X-Set").expect("a name").lower_case(),
        "x-set"
    );
}

proptest! {
    #[test]
    fn a_duration_is_read_back(millis in 0_u64..359_996_400_000) {
        let duration = RouteDuration(Duration::from_millis(millis));
        prop_assert_eq!(RouteDuration::new(&duration.to_string()), Ok(duration));
    }
}
