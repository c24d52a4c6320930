use super::*;
use crate::fixtures::{empty, full};

fn passes(text: &str) -> bool {
    let filter = Filter::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    filter.passes(&full())
}

#[test]
fn what_users_write_is_followed() {
    let code = full().code.unwrap();
    for (text, expected) in [
        (format!("response.code == {code}"), true),
        (format!("response.code != {code}"), false),
        (
            format!("response.code >= {code} && response.code < 600"),
            true,
        ),
        ("response.code >= 600 || connection.mtls".to_owned(), true),
        ("!connection.mtls".to_owned(), false),
        ("!(connection.mtls == false)".to_owned(), true),
        ("request.url_path == '/new'".to_owned(), true),
        (
            "request.path == \"/new?x=1\" && request.query == 'x=1'".to_owned(),
            true,
        ),
        ("request.url_path.startsWith('/n')".to_owned(), true),
        ("request.headers['x-a'].contains('rö')".to_owned(), true),
        ("request.headers['X-Request-Id'] == '5f3c'".to_owned(), true),
        ("request.method in ['GET', 'HEAD']".to_owned(), true),
        ("request.method in []".to_owned(), false),
        ("request.duration > duration('40ms')".to_owned(), true),
        ("request.duration > duration(\"1s\")".to_owned(), false),
        ("true".to_owned(), true),
        (
            "xds.cluster_name.endsWith('.cluster.local')".to_owned(),
            true,
        ),
        (
            "upstream.port == 8080 && request.size >= -1".to_owned(),
            true,
        ),
        // `&&` binds more tightly.
        ("true || false && false".to_owned(), true),
        ("(true || false) && false".to_owned(), false),
    ] {
        assert_eq!(passes(&text), expected, "{text}");
    }
}

#[test]
fn what_is_not_there_is_neither_true_nor_false() {
    let nothing = empty();
    for (text, expected) in [
        ("response.code >= 400", false),
        ("!(response.code >= 400)", false),
        ("request.headers['x'] == 'y' || true", true),
        ("request.headers['x'] == 'y' || false", false),
        ("!(request.headers['x'] == 'y' && false)", true),
        ("connection.mtls == false", true),
    ] {
        let filter = Filter::read(text).unwrap();
        assert_eq!(filter.passes(&nothing), expected, "{text}");
    }
}

#[test]
fn a_text_that_is_put_together_is_bounded() {
    let passes = |length: usize, parts: usize, or: &str| {
        let mut entry = full();
        entry.request.push(("x-long", vec![b'a'; length]));
        let joined = vec!["request.headers['x-long']"; parts].join(" + ");
        let filter = Filter::read(&format!("{joined} != 'b' || {or}")).unwrap();
        filter.passes(&entry)
    };
    assert!(passes(1024, 4, "false"));
    assert!(!passes(1024, 5, "false"));
    assert!(!passes(64 << 10, 140, "false"));
    assert!(passes(64 << 10, 140, "request.method == 'GET'"));
}

#[test]
fn headers_that_are_asked_for_are_kept() {
    let text = "request.headers['X-A'] == '' || response.headers['b'] == '' \
                || response.trailers['c'] == '' || request.useragent == ''";
    let filter = Filter::read(text).unwrap();
    let names = |names: &std::collections::BTreeSet<Box<str>>| {
        names
            .iter()
            .map(|name| name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&filter.needs().request_headers),
        ["user-agent", "x-a"]
    );
    assert_eq!(names(&filter.needs().response_headers), ["b"]);
    assert_eq!(names(&filter.needs().response_trailers), ["c"]);
    assert!(!filter.needs().server_name);
    for text in [
        "connection.mtls || connection.requested_server_name == 'x'",
        "has(connection.requested_server_name)",
    ] {
        assert!(Filter::read(text).unwrap().needs().server_name, "{text}");
    }
}

#[test]
fn what_cannot_be_followed_says_so() {
    for (text, said) in [
        ("", "at character 1: expected an attribute"),
        ("response.code", "no truth value"),
        ("response.code >=", "at character 17"),
        ("response.code >= 'a'", "cannot be compared"),
        ("response.code >= 400 extra", "at character 22"),
        ("response.kode >= 400", "`response.kode` is not known"),
        ("request.path.matches('a')", "`matches` is not supported"),
        ("size(request.path) > 1", "`size` is not known"),
        ("has('a')", "expected an attribute, such as has("),
        ("request.path + 1 == 'a'", "only texts can be put together"),
        ("response.code.startsWith('4')", "no text"),
        ("request.path == 'a", "a text that ends"),
        ("request.headers[x]", "in quotes"),
        ("metadata['x'] == 'a'", "`metadata[…]` is not known"),
        ("(true", "expected `)`"),
        ("request.duration > duration('soon')", "a span of time"),
        ("request.path && true", "request.path` is no truth value"),
        ("a ? b", "`a` is not known"),
        ("true # x", "at character 6"),
    ] {
        let error = Filter::read(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    let deep = format!("{}true{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(Filter::read(&deep), Err(FilterError::TooLong));
    let deep = format!("{}true{}", "(".repeat(100), ")".repeat(100));
    assert_eq!(Filter::read(&deep), Err(FilterError::TooDeep));
    assert_eq!(
        Filter::read(&format!("{}true", "!".repeat(100))),
        Err(FilterError::TooDeep)
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z.()!&|?:+='\"0-9\\[\\], <>\\\\-]{0,60}") {
        if let Ok(filter) = Filter::read(&text) {
            filter.passes(&full());
            filter.passes(&empty());
        }
        if let Ok(tag) = Tag::read(&text) {
            tag.text(&full());
            tag.text(&empty());
        }
    }
}
