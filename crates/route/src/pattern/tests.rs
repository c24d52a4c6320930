use proptest::prelude::*;

use super::*;

fn regex(pattern: &str) -> Result<Regex, Problem> {
    whole("path", &Pattern(pattern.into()))
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
        ("(?:(?:a{1000}){1000}){1000}", "bytes of memory"),
    ];
    for (pattern, why) in table {
        let problem = regex(pattern).unwrap_err();
        assert!(problem.why.contains(why), "{pattern}: {problem}");
        assert!(!problem.to_string().contains('\n'), "{problem}");
        assert!(check_pattern(pattern).is_err());
    }
    assert_eq!(check_pattern("/a/.*"), Ok(()));
}

proptest! {
    #[test]
    fn lines_are_compared_as_if_they_were_joined(
        lines in prop::collection::vec("[a,]{0,3}", 1..4),
        expected in "[a,]{0,5}",
    ) {
        let tests = [
            TextMatch::Exact(expected.as_str().into()),
            TextMatch::Prefix(expected.as_str().into()),
            TextMatch::Regex(Pattern(expected.as_str().into())),
            TextMatch::Present,
        ];
        let joined = lines.join(",");
        for text in tests {
            let test = TextTest::new("header", &text).unwrap();
            let lines = lines.iter().map(|line| line.as_bytes());
            prop_assert_eq!(test.holds_joined(lines), test.holds(joined.as_bytes()), "{:?}", text);
        }
    }
}
