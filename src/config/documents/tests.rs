use proptest::prelude::*;
use serde_json::json;

use super::*;

fn cut(file: &str) -> Vec<(u32, u32, &str)> {
    let documents = split(file.as_bytes()).expect("cut");
    documents
        .into_iter()
        .map(|d| {
            (
                d.number,
                d.line,
                std::str::from_utf8(d.bytes).expect("text"),
            )
        })
        .collect()
}

#[test]
fn files_are_cut_on_lines_that_begin_with_three_dashes() {
    type Cut<'a> = (u32, u32, &'a str);
    let cases: &[(&str, &[Cut<'_>])] = &[
        ("", &[]),
        ("\n# nothing\n", &[]),
        ("---\n---\n...\n", &[]),
        ("a: 1", &[(1, 1, "a: 1")]),
        (
            "a: 1\n---\nb: 2\n",
            &[(1, 1, "a: 1\n"), (2, 2, "---\nb: 2\n")],
        ),
        (
            "# x\n---\na: 1\n---\n\n---\nb: 2",
            &[(1, 2, "---\na: 1\n"), (2, 6, "---\nb: 2")],
        ),
        (
            "--- {a: 1}\n---\tb\n",
            &[(1, 1, "--- {a: 1}\n"), (2, 2, "---\tb\n")],
        ),
        ("a: |\n  ---\n ---\n", &[(1, 1, "a: |\n  ---\n ---\n")]),
        ("a: ---x\n---x: 1\n", &[(1, 1, "a: ---x\n---x: 1\n")]),
        (
            "a: 1\r\n---\r\nb: 2\r\n",
            &[(1, 1, "a: 1\r\n"), (2, 2, "---\r\nb: 2\r\n")],
        ),
        ("\u{feff}a: 1\n", &[(1, 1, "a: 1\n")]),
        ("%YAML 1.2\n---\na: 1\n", &[(1, 2, "---\na: 1\n")]),
    ];
    for (file, documents) in cases {
        assert_eq!(cut(file), *documents, "{file:?}");
    }
}

#[test]
fn a_broken_document_loses_only_itself() {
    let file = b"a: 1\n---\nb: [\n---\nc: 3\n---\n\xff\xfe\n";
    let parsed = parse_documents(file).expect("cut");
    assert_eq!(parsed[0], Ok(json!({"a": 1})));
    assert!(
        matches!(&parsed[1], Err(ParseError::Yaml { line: 3.., .. })),
        "{:?}",
        parsed[1]
    );
    assert_eq!(parsed[2], Ok(json!({"c": 3})));
    assert_eq!(parsed[3], Err(ParseError::NotUtf8(4)));
}

#[test]
fn an_error_names_the_line_of_the_file() {
    let parsed = parse_documents(b"a: 1\n---\nb: 1\nc: 2\nb: 3\n").expect("cut");
    let error = parsed[1].as_ref().expect_err("a doubled key").to_string();
    assert!(error.starts_with("line 5: "), "{error}");
}

#[test]
fn growth_is_bounded() {
    let deep_flow = "[".repeat(5000);
    let deep_block: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let last = n - 1;
        let uses = vec![format!("*a{last}"); 9].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{uses}]\n"));
    }
    for hostile in [deep_flow, deep_block, bomb] {
        let parsed = parse_documents(hostile.as_bytes()).expect("cut");
        assert!(parsed[0].is_err());
    }
}

#[test]
fn sizes_are_bounded() {
    let large = vec![b'x'; MAX_DOCUMENT_BYTES + 1];
    let parsed = parse_documents(&large).expect("cut");
    assert_eq!(parsed, [Err(ParseError::TooLarge(MAX_DOCUMENT_BYTES + 1))]);
    let many = "---\na\n".repeat(MAX_DOCUMENTS + 1);
    assert_eq!(parse_documents(many.as_bytes()), Err(SplitError::TooMany));
}

#[test]
fn keys_that_look_like_numbers_are_texts() {
    let parsed = parse_documents(b"ports:\n  8080: {mode: STRICT}\n").expect("cut");
    assert_eq!(
        parsed[0],
        Ok(json!({"ports": {"8080": {"mode": "STRICT"}}}))
    );
}

#[test]
fn nothing_is_included_or_substituted() {
    let parsed = parse_documents(b"a: !include /etc/passwd\nb: ${HOME}\n").expect("cut");
    assert_eq!(parsed[0], Ok(json!({"a": "/etc/passwd", "b": "${HOME}"})));
}

proptest! {
    #[test]
    fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        drop(parse_documents(&bytes));
    }

    #[test]
    fn anything_that_looks_like_yaml_is_safe(
        pieces in proptest::collection::vec(
            prop::sample::select(vec![
                "---\n", "a:", " ", "\n", "- ", "&x", "*x", "[", "]", "{", "}", "|", ">", "\"", "'",
                "!!binary ", "!t ", "<<", ": ", "?", "#", "%YAML 1.2\n", "...\n", "\t", "0x1f",
                "~", ",", "é", "1e400", "items:", "kind: List\n",
            ]),
            0..60,
        )
    ) {
        drop(parse_documents(pieces.concat().as_bytes()));
    }

    #[test]
    fn cutting_loses_no_document(count in 1u32..20) {
        let file: String = (0..count).map(|n| format!("---\nn: {n}\n")).collect();
        let parsed = parse_documents(file.as_bytes()).expect("cut");
        let values: Vec<_> = parsed.into_iter().map(|value| value.expect("YAML")).collect();
        let wanted: Vec<_> = (0..count).map(|n| json!({"n": n})).collect();
        prop_assert_eq!(values, wanted);
    }
}
