use super::*;

fn made(pattern: &str, replacement: &str) -> Result<Substitution, Problem> {
    Substitution::new("rewrite path", &Pattern(pattern.into()), replacement)
}

#[test]
fn every_match_is_replaced_with_its_groups() {
    let table = [
        (
            "^/service/([^/]+)(/.*)$",
            r"\2/instance/\1",
            "/service/foo/v1/api",
            "/v1/api/instance/foo",
        ),
        ("one", "two", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"),
        (
            "^(.*?)one(.*)$",
            r"\1two\2",
            "/xxx/one/yyy/one/zzz",
            "/xxx/two/yyy/one/zzz",
        ),
        ("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb", "/aaa/yyy/bbb"),
        ("nothing", "x", "/a", "/a"),
        ("/a", r"\0\0", "/a", "/a/a"),
        (
            "(b)|a",
            r"<\1>".trim_matches(|c| "<>".contains(c)),
            "/ab",
            "/b",
        ),
        ("^/a", "", "/a/b", "/b"),
    ];
    for (pattern, replacement, path, expected) in table {
        let replaced = made(pattern, replacement).unwrap().apply(path).unwrap();
        assert_eq!(replaced, expected, "{pattern} {replacement}");
    }
}

#[test]
fn what_cannot_be_a_path_is_a_problem() {
    for (pattern, replacement) in [
        ("(", "/x"),
        ("(?x)a", "/x"),
        ("a", r"\1"),
        ("a", r"\x"),
        ("a", "\\"),
        ("a", "/x?y"),
        ("a", "/x y"),
        ("a", "#"),
    ] {
        assert!(
            made(pattern, replacement).is_err(),
            "{pattern} {replacement}"
        );
    }
}

#[test]
fn two_backslashes_are_one() {
    assert_eq!(parse(r"\\1"), Ok(vec![Part::Text(r"\1".into())]));
}

#[test]
fn a_cut_character_leaves_the_path_as_it_was() {
    let cut = made("\\xc3", "").unwrap();
    assert_eq!(cut.apply("/\u{e4}").as_deref(), Some("/\u{e4}"));
}

#[test]
fn no_path_grows_without_bound() {
    // One that is put in at every byte, and one that multiplies what it has matched.
    for (pattern, replacement) in [(".", "a".repeat(1024)), (".*", r"\0".repeat(512))] {
        let substitution = made(pattern, &replacement).unwrap();
        assert!(substitution.apply("/a").is_some());
        assert_eq!(substitution.apply(&"/".repeat(16 << 10)), None, "{pattern}");
    }
    assert!(made(".", &"a".repeat(1025)).is_err());
}
