use super::*;

#[test]
fn parameters_are_decoded() {
    let read = |query| -> Vec<_> {
        let pairs = parameters(query);
        let text = |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).unwrap();
        pairs
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    };
    let expected = |pairs: &[(&str, &str)]| -> Vec<_> {
        let owned = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        owned.collect()
    };
    for (query, pairs) in [
        ("", &[][..]),
        ("&&", &[]),
        ("a", &[("a", "")]),
        ("a=b=c&a=", &[("a", "b=c"), ("a", "")]),
        ("%61%63=%2e%2E&x+y=%zz%4", &[("ac", ".."), ("x y", "%zz%4")]),
        ("=v", &[("", "v")]),
    ] {
        assert_eq!(read(query), expected(pairs), "{query}");
    }
}

#[test]
fn the_others_stay_as_they_are() {
    for (query, left) in [
        ("t=1", None),
        ("t", None),
        ("%74=1&t=2", None),
        ("a=%2f&t=1&b=+", Some("a=%2f&b=+")),
        ("tt=1&T=2", Some("tt=1&T=2")),
        ("a&&b", Some("a&&b")),
    ] {
        assert_eq!(without(query, &[b"t"]).as_deref(), left, "{query}");
    }
    assert_eq!(
        without("a=1&b=2&c=3", &[b"a", b"c"]).as_deref(),
        Some("b=2")
    );
}
