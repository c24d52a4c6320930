//! The scanner beside a reader that has all of the text at hand and is written from the words of
//! the definition: both let the same requests pass, and end at the same byte.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// The text from there on. All that is generated is ASCII, so that every byte is a boundary.
fn from(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// Bytes up to the end of the last whole request that is as it should be; and whether all of the
/// text is such requests.
fn naive(text: &str) -> (usize, bool) {
    let mut at = 0;
    while at < text.len() {
        if from(text, at).starts_with("\r\n") {
            at += 2;
            continue;
        }
        match request(from(text, at)) {
            Some(length) => at += length,
            None => return (at, false),
        }
    }
    (at, true)
}

/// Length of the request at the beginning.
fn request(text: &str) -> Option<usize> {
    let end = text.find("\r\n\r\n")? + 4;
    let head = text.get(..end - 2)?;
    let lines = lines(head)?;
    let (first, fields) = lines.split_first()?;
    let parts: Vec<_> = first.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return None;
    };
    let is_token = |text: &str| !text.is_empty() && text.chars().all(is_tchar);
    let visible = |c: char| !c.is_control() && c != ' ';
    if !is_token(method) || target.is_empty() || !target.chars().all(visible) {
        return None;
    }
    let scheme = target.split_once("://").map(|(scheme, _)| scheme);
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let is_whole = target.starts_with('/') || scheme.is_some_and(is_scheme);
    let is_known = method == "CONNECT" || is_whole || (method == "OPTIONS" && target == "*");
    if !is_known || target.contains('#') {
        return None;
    }
    let old = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return None,
    };
    let mut named: Vec<(String, &str)> = Vec::new();
    for line in fields {
        let (name, value) = line.split_once(':')?;
        if !is_token(name) || value.chars().any(|c| c.is_control() && c != '\t') {
            return None;
        }
        named.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])));
    }
    let of = |name: &str| -> Vec<&str> {
        let values = named.iter().filter(|(own, _)| own == name);
        values.map(|(_, value)| *value).collect()
    };
    match of("host")[..] {
        [] if old => {}
        [host] if !host.contains([' ', '@', '/', '\t']) => {}
        _ => return None,
    }
    let lengths = of("content-length");
    let codings = of("transfer-encoding");
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(end),
        ([length], []) => {
            let digits = !length.is_empty() && length.chars().all(|c| c.is_ascii_digit());
            let length: usize = length.parse().ok().filter(|_| digits)?;
            (text.len() >= end + length).then_some(end + length)
        }
        ([], [coding]) if !old && coding.eq_ignore_ascii_case("chunked") => {
            Some(end + chunks(text.get(end..)?)?)
        }
        _ => None,
    }
}

/// Lines that end with CRLF, and have neither otherwise.
fn lines(text: &str) -> Option<Vec<&str>> {
    let lines: Vec<_> = text.strip_suffix("\r\n")?.split("\r\n").collect();
    let clean = lines.iter().all(|line| !line.contains(['\r', '\n']));
    clean.then_some(lines)
}

fn chunks(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = from(text, at);
        let (line, _) = rest.split_once("\r\n")?;
        if line.contains(|c: char| c.is_control() && c != '\t') {
            return None;
        }
        let size = line.split(';').next()?;
        if size.is_empty() || !size.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line.len() + 2;
        if size == 0 {
            break;
        }
        if !text.get(at + size..)?.starts_with("\r\n") {
            return None;
        }
        at += size + 2;
    }
    // Trailers are not generated: what follows is the empty line.
    from(text, at).starts_with("\r\n").then_some(at + 2)
}

fn is_tchar(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// Mostly good requests of pieces that are good or bad.
fn text() -> impl Strategy<Value = String> {
    let first = select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET / HTTP/1.1\n",
    ]);
    let field = select(vec![
        "Host: a\r\n",
        "Host: a\r\n",
        "Host: a\r\n",
        "X: y\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: +3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "X : y\r\n",
        " X: y\r\n",
        "X: y\n",
        "X: \0\r\n",
    ]);
    let body = select(vec![
        "",
        "",
        "abc",
        "3\r\nabc\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "3;x\r\nabc\r\n0\r\n\r\n",
        "4\r\nabc\r\n0\r\n\r\n",
        "\r\n",
    ]);
    let one = (first, proptest::collection::vec(field, 0..4), body);
    let one = one.prop_map(|(first, fields, body)| format!("{first}{}\r\n{body}", fields.concat()));
    proptest::collection::vec(one, 1..4).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn what_passes_is_what_a_naive_reader_takes(text in text()) {
        let (whole, all) = naive(&text);
        let (passed, result) = scan(&text);
        let mut scanner = Scanner::new(LIMITS);
        let (_, _) = scanner.passable(text.as_bytes());
        // All of it is good to both, or to none of them.
        let complete = result.is_ok() && passed == text.len() && scanner.awaits() == Awaits::Head;
        prop_assert_eq!(complete, all, "{:?} {:?}", text, result);
        // A body may be under way when it turns out bad; its head was good, and all before it.
        prop_assert!(passed >= whole, "{:?}: {} and {}", text, passed, whole);
        if matches!(result, Err(fault) if !matches!(fault, Fault::Chunk | Fault::Trailer | Fault::LineEnd | Fault::Folded | Fault::Name | Fault::Value)) {
            prop_assert_eq!(passed, whole, "{:?} {:?}", text, result);
        }
        prop_assert_eq!(scan_slowly(&text), (passed, result));
    }
}
