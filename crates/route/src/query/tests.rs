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
fn parameters_are_read_as_they_stand() {
    let table = [
        ("a=1", "a", Some("1")),
        ("a=1&b=2", "b", Some("2")),
        ("a=1&a=2", "a", Some("1")),
        ("%61=1&a=2", "a", Some("2")),
        ("%61=1&a=2", "%61", Some("1")),
        ("a", "a", Some("")),
        ("a=", "a", Some("")),
        ("a=b=c", "a", Some("b=c")),
        ("a=x+y", "a", Some("x+y")),
        ("a=x%2By", "a", Some("x%2By")),
        ("a=%26%3d", "a", Some("%26%3d")),
        ("a=100%", "a", Some("100%")),
        ("a=%zz%4", "a", Some("%zz%4")),
        ("a=%C3%A4", "a", Some("%C3%A4")),
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
