use proptest::prelude::*;

use super::*;

fn value(query: &str, name: &str) -> Option<String> {
    let mut names = QueryNames::default();
    names.slot("other");
    let slot = names.slot(name);
    let values = names.read(query);
    values
        .get(slot)
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

#[test]
fn parameters_are_read_as_forms_write_them() {
    let table = [
        ("a=1", "a", Some("1")),
        ("a=1&b=2", "b", Some("2")),
        ("a=1&a=2", "a", Some("1")),
        ("%61=1&a=2", "a", Some("1")),
        ("a", "a", Some("")),
        ("a=", "a", Some("")),
        ("a=b=c", "a", Some("b=c")),
        ("a=x+y", "a", Some("x y")),
        ("a=x%2By", "a", Some("x+y")),
        ("a=%26%3d", "a", Some("&=")),
        ("a=100%", "a", Some("100%")),
        ("a=%zz%4", "a", Some("%zz%4")),
        ("a=%+1", "a", Some("% 1")),
        ("a=%C3%A4", "a", Some("\u{e4}")),
        ("a;b=1", "b", None),
        ("A=1", "a", None),
        ("ab=1", "a", None),
        ("", "a", None),
        ("&&", "", None),
        ("=1", "", Some("1")),
    ];
    for (query, name, expected) in table {
        assert_eq!(value(query, name).as_deref(), expected, "{name} of {query}");
    }
}

#[test]
fn what_needs_no_decoding_is_not_copied() {
    assert!(matches!(decode("plain"), Cow::Borrowed(b"plain")));
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        let encode = |byte: &u8| match byte {
            b' ' => "+".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte if byte % 2 == 0 => format!("%{byte:02x}"),
            byte => format!("%{byte:02X}"),
        };
        let encoded: String = bytes.iter().map(encode).collect();
        let decoded = decode(&encoded);
        prop_assert_eq!(decoded.as_ref(), bytes.as_slice());
    }
}
