//! The one form of a path by which it is routed and sent on. A server that takes several forms for one
//! would otherwise be reached by a form that no route has.
//!
//! It is what Envoy calls a normal path, and Istio's `BASE` (RFC 3986, 6.2.2): a backslash is a slash,
//! escapes of characters that need none are resolved, and so are the segments `.` and `..`. Slashes
//! that follow each other stay, and so do `%2F` and `%5C`: they may mean something else than a slash.

use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;

/// Puts the path of a request into its normal form.
pub fn normalize(parts: &mut Parts) {
    let Some(mut target) = normal_path(parts.uri.path()) else {
        return;
    };
    if let Some(query) = parts.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut uri = parts.uri.clone().into_parts();
    // What is made of a path that was taken is no longer than that and has no other characters.
    uri.path_and_query = PathAndQuery::try_from(target).ok();
    if let Ok(uri) = Uri::from_parts(uri) {
        parts.uri = uri;
    }
}

/// The normal form of a path; `None` if it has that already.
fn normal_path(path: &str) -> Option<String> {
    let is_special = |byte: u8| matches!(byte, b'\\' | b'%');
    let may_differ = path.bytes().any(is_special) || path.contains("/.");
    if !may_differ || !path.starts_with('/') {
        return None;
    }
    let normal = without_dots(&unescaped(path));
    (normal != path).then_some(normal)
}

/// With slashes for backslashes, and without needless escapes.
fn unescaped(path: &str) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().replace('\\', "/");
    for part in parts {
        let needless = escaped(part).filter(|byte| is_unreserved(*byte) && !ends(&plain, *byte));
        let rest = match needless {
            Some(byte) => {
                plain.push(char::from(byte));
                part.get(2..).unwrap_or_default()
            }
            None => {
                plain.push('%');
                part
            }
        };
        plain.push_str(&rest.replace('\\', "/"));
    }
    plain
}

/// Whether this would end an escape that is none without it: `%%32e` does not become `%2e`.
fn ends(plain: &str, byte: u8) -> bool {
    let last = plain.as_bytes();
    let is_open =
        last.ends_with(b"%") || matches!(last, [.., b'%', digit] if digit.is_ascii_hexdigit());
    is_open && byte.is_ascii_hexdigit()
}

/// The byte that two digits stand for.
fn escaped(part: &str) -> Option<u8> {
    let digits = part.get(..2)?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Without the segments `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = rest.next() {
        let is_last = rest.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => {
                segments.push(segment);
                continue;
            }
        }
        if is_last {
            segments.push("");
        }
    }
    let mut normal = String::with_capacity(path.len());
    for segment in segments {
        normal.push('/');
        normal.push_str(segment);
    }
    normal
}

#[cfg(test)]
mod tests;
