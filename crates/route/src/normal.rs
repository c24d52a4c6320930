//! The one form of a path by which it is routed and sent on. A server that takes several forms for one
//! would otherwise be reached by a form that no route has.
//!
//! If nothing else is asked for, it is what Envoy calls a normal path, and Istio's `BASE` (RFC 3986, 6.2.2):
//! a backslash is a slash, escapes of characters that need none are resolved, what is no ASCII is escaped, and so are the segments `.`
//! and `..`, also with parameters (`..;a`), of which some servers know nothing and others everything. Slashes that follow each other stay, and so do `%2F` and `%5C`: they may mean something else
//! than a slash. [`Normalization`] has the other forms.

use std::str::FromStr;

use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;

/// The form that paths are put into, by Istio's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Normalization {
    /// As they come. Policies about paths are then of little use.
    None,
    /// The normal form.
    #[default]
    Base,
    /// The same, then with one slash for several.
    MergeSlashes,
    /// The same, after `%2F` and `%5C` have become slashes.
    DecodeAndMergeSlashes,
}

impl Normalization {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Base => "BASE",
            Self::MergeSlashes => "MERGE_SLASHES",
            Self::DecodeAndMergeSlashes => "DECODE_AND_MERGE_SLASHES",
        }
    }
}

impl FromStr for Normalization {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [
            Self::None,
            Self::Base,
            Self::MergeSlashes,
            Self::DecodeAndMergeSlashes,
        ];
        let named = all.into_iter().find(|one| one.word() == text);
        named.ok_or_else(|| format!("`{text}` is not one of {}", all.map(Self::word).join(", ")))
    }
}

/// A path that is too long when what has to be escaped is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path is too long in its normal form, where what is no ASCII is escaped")]
pub struct NoNormalForm;

/// Puts the path of a request into its normal form.
///
/// # Errors
///
/// If that is too long for a request.
pub fn normalize(parts: &mut Parts, form: Normalization) -> Result<(), NoNormalForm> {
    let Some(mut target) = normal_path(parts.uri.path(), form) else {
        return Ok(());
    };
    if let Some(query) = parts.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut uri = parts.uri.clone().into_parts();
    let target = PathAndQuery::try_from(target);
    uri.path_and_query = Some(target.map_err(|_too_long| NoNormalForm)?);
    parts.uri = Uri::from_parts(uri).map_err(|_too_long| NoNormalForm)?;
    Ok(())
}

/// The [`Normalization::Base`] form of a path; `None` if it has that already.
pub fn normal_form(path: &str) -> Option<String> {
    normal_path(path, Normalization::Base)
}

/// A form of a path; `None` if it has that already.
fn normal_path(path: &str, form: Normalization) -> Option<String> {
    let merges = form >= Normalization::MergeSlashes;
    let is_special = |byte: u8| matches!(byte, b'\\' | b'%' | 0x80..);
    let may_differ =
        path.bytes().any(is_special) || path.contains("/.") || (merges && path.contains("//"));
    if form == Normalization::None || !may_differ || !path.starts_with('/') {
        return None;
    }
    let decodes = form == Normalization::DecodeAndMergeSlashes;
    let mut normal = without_dots(&unescaped(path, decodes));
    if merges {
        let mut last = '-';
        normal.retain(|next| std::mem::replace(&mut last, next) != '/' || next != '/');
    }
    if !normal.is_ascii() {
        normal = escaped_where_foreign(&normal);
    }
    (normal != path).then_some(normal)
}

/// With escapes for what is no ASCII.
fn escaped_where_foreign(path: &str) -> String {
    let escape = |byte: u8| match byte {
        0x80.. => format!("%{byte:02X}"),
        _ => char::from(byte).to_string(),
    };
    path.bytes().map(escape).collect()
}

/// With slashes for backslashes, and perhaps for escaped ones, and without needless escapes.
fn unescaped(path: &str, decodes: bool) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().replace('\\', "/");
    for part in parts {
        let needless = escaped(part).filter(|byte| is_unreserved(*byte) && !ends(&plain, *byte));
        let slash = escaped(part).filter(|byte| decodes && matches!(byte, b'/' | b'\\'));
        let rest = match needless.or(slash) {
            Some(b'/' | b'\\') => {
                plain.push('/');
                part.get(2..).unwrap_or_default()
            }
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
        let name = segment.split(';').next().unwrap_or_default();
        match name {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => {
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
