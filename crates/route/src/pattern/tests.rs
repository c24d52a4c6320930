use proptest::prelude::*;

use super::*;

fn regex(pattern: &str) -> Result<Arc<Regex>, Problem> {
    Patterns::default().whole("path", &Pattern(pattern.into()))
}

#[test]
fn an_expression_matches_the_whole_text() {
    let table = [
        ("a|ab", "ab", true),
        ("a|ab", "abc", false),
        ("/v[0-9]+/.*", "/v12/x", true),
        ("/v[0-9]+/.*", "x/v12/x", false),
        ("^/a$", "/a", true),
        ("(?i)get", "GeT", true),
        ("(?P<name>a)(?<other>b)", "ab", true),
        ("(?:a|b)c", "bc", true),
        (r"\(?x\)", "(x)", true),
        ("[(?x]", "?", true),
        (r"\d", "7", true),
        (r"\d", "\u{663}", false),
        (r"\w", "\u{e4}", false),
        ("\u{e4}.", "\u{e4}b", true),
        ("", "", true),
        ("", "a", false),
        ("a", "a\n", false),
    ];
    for (pattern, text, expected) in table {
        let regex = regex(pattern).unwrap();
        assert_eq!(
            regex.is_match(text.as_bytes()),
            expected,
            "{pattern} on {text:?}"
        );
    }
}

#[test]
fn what_is_no_expression_of_ours_is_refused_in_one_line() {
    let table = [
        ("a)(b", "unopened group"),
        ("(", "unclosed group"),
        ("(?x)a # b", "RE2 has no flag `x`"),
        ("(?i-u:a)", "RE2 has no flag `u`"),
        ("a(?R)b", "RE2 has no flag `R`"),
        ("(?=a)", "RE2 has no flag `=`"),
        (r"\p{Greek}", "Unicode"),
        (r"(a)\1", "backreferences"),
        (
            "(?:(?:a{1000}){1000}){1000}",
            "more than 65536 bytes of memory",
        ),
    ];
    for (pattern, why) in table {
        let problem = regex(pattern).unwrap_err();
        assert!(problem.why.contains(why), "{pattern}: {problem}");
        assert!(!problem.to_string().contains('\n'), "{problem}");
        assert!(check_pattern(pattern).is_err());
    }
    assert_eq!(check_pattern("/a/.*"), Ok(()));
}

#[test]
fn an_expression_is_made_once() {
    let mut patterns = Patterns::default();
    let mut whole = |text: &str| patterns.whole("path", &Pattern(text.into()));
    let made = whole("/a/.*").unwrap();
    assert!(Arc::ptr_eq(&made, &whole("/a/.*").unwrap()));
    assert_eq!(whole("(").unwrap_err(), whole("(").unwrap_err());
}

/// Pieces of expressions, put together at random.
const PIECES: [&str; 16] = [
    "/", "a", "b", ".", "*", "+", "?", "{0}", "{2}", "^", "$", r"\.", r"\<", "(a)", "[ab]", "|",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_an_expression_matches_begins_as_it_does(
        pieces in prop::collection::vec(prop::sample::select(&PIECES), 1..6),
        texts in prop::collection::vec("[/ab.]{0,4}", 1..20),
    ) {
        let pattern = pieces.concat();
        let begins = beginning(&pattern);
        if let Ok(regex) = regex(&pattern) {
            for text in texts.iter().filter(|text| regex.is_match(text.as_bytes())) {
                prop_assert!(text.starts_with(&begins), "{pattern} matches {text}");
            }
        }
    }
}
