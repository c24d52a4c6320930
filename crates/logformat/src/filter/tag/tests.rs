use super::*;
use crate::fixtures::{empty, full};

fn text(expression: &str) -> Option<String> {
    let tag = Tag::read(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    tag.text(&full())
}

#[test]
fn what_users_write_comes_to_a_text() {
    for (expression, expected) in [
        ("request.host", "shop:80"),
        ("request.method", "GET"),
        ("request.url_path", "/new"),
        ("response.code", "200"),
        ("string(response.code)", "200"),
        ("'code ' + string(response.code)", "code 200"),
        ("\"eu\"", "eu"),
        ("7", "7"),
        ("1.5", "1.5"),
        ("connection.mtls", "true"),
        (
            "request.duration > duration('1s') ? 'slow' : 'fast'",
            "fast",
        ),
        (
            "response.code >= 500 ? '5xx' : response.code >= 400 ? '4xx' : 'ok'",
            "ok",
        ),
        (
            "has(request.headers['x-a']) ? request.headers['x-a'] : 'none'",
            "größe",
        ),
        (
            "has(request.headers['x-b']) ? request.headers['x-b'] : 'none'",
            "none",
        ),
        ("(true ? 'a' : 'b') + 'c'", "ac"),
        (
            "has(request.headers['x-b']) || has(request.headers['x-a']) ? 'yes' : 'no'",
            "yes",
        ),
    ] {
        assert_eq!(text(expression).as_deref(), Some(expected), "{expression}");
    }
    let nothing = empty();
    for absent in [
        "request.headers['x']",
        "'a' + request.host",
        "string(response.code)",
    ] {
        assert_eq!(Tag::read(absent).unwrap().text(&nothing), None, "{absent}");
    }
}

#[test]
fn what_may_hold_a_secret_is_refused() {
    for wrong in [
        "request.headers['Authorization']",
        "'a' + request.headers['cookie']",
        "request.headers['x-api-key'] == 'a' ? 'b' : 'c'",
        "has(request.headers['authorization']) ? 'a' : 'b'",
        "request.headers['referer']",
        "request.headers[':path']",
        "string(request.query)",
        "request.path",
    ] {
        let error = Tag::read(wrong).unwrap_err();
        let is_withheld = matches!(error, FilterError::Secret(_) | FilterError::Query(_));
        assert!(is_withheld, "{wrong}: {error}");
    }
}

#[test]
fn what_cannot_be_followed_is_an_error() {
    for wrong in [
        "",
        "request.hots",
        "'a' +",
        "'a' + 1",
        "request.method ? 'a' : 'b'",
        "true ? 'a' : 1",
        "true ? 'a'",
        "has('a')",
        "source.labels['app']",
    ] {
        assert!(Tag::read(wrong).is_err(), "{wrong}");
    }
    let deep = format!("{}'a'{}", "(".repeat(40), ")".repeat(40));
    assert_eq!(Tag::read(&deep), Err(FilterError::TooDeep));
    let chain = "true ? 'a' : ".repeat(40) + "'b'";
    assert_eq!(Tag::read(&chain), Err(FilterError::TooDeep));
}

#[test]
fn values_have_a_bound_and_stay_text() {
    let long = format!("'{}é'", "a".repeat(LONGEST - 1));
    assert_eq!(text(&long).map(|text| text.len()), Some(LONGEST - 1));
}

#[test]
fn of_a_text_that_is_put_together_no_more_is_made_than_is_kept() {
    let mut long = full();
    let value = "é".repeat(32 << 10);
    long.request.push(("x-long", value.into()));
    let part = "request.headers['x-long']";
    let joined = |before: &str| {
        let parts = vec![part; 100].join(" + ");
        format!("'{before}' + (true ? string({parts}) : 'b') + {part}")
    };
    for (before, expected) in [("", LONGEST), ("a", LONGEST - 1)] {
        let tag = Tag::read(&joined(before)).unwrap();
        let made = tag.root.beginning(&long, LONGEST).unwrap();
        assert!(
            (LONGEST..LONGEST + 4).contains(&made.len()),
            "{}",
            made.len()
        );
        let text = tag.text(&long).unwrap();
        assert_eq!(text.len(), expected);
        assert!(text.starts_with(&format!("{before}éé")) && text.ends_with('é'));
    }
    // Nothing comes behind what was cut, and what is absent there is still absent.
    let text = |expression: &str| Tag::read(expression).unwrap().text(&long);
    let cut = format!("'a' + {part} + 'b'");
    assert!(text(&cut).unwrap().ends_with('é'));
    assert_eq!(text(&format!("{part} + request.headers['x-none']")), None);
    // What is compared is whole, or not known.
    assert_eq!(text(&format!("{part} + 'b' == 'a' ? 'yes' : 'no'")), None);
    assert_eq!(
        text("'a' + 'b' == 'ab' ? 'yes' : 'no'").as_deref(),
        Some("yes")
    );
}
