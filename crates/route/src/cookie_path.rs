//! The path of a session's cookie, by which a browser keeps the sessions of different rules apart.
//!
//! It is what all paths of the match have in common, by whole segments, since browsers compare it
//! so: the path of an exact match or of segments, the folder of a prefix, the folder of the plain
//! beginning of an expression.

use ambit_model::PathMatch;

/// The path of a session's cookie: what the paths of a match have in common, by whole segments.
pub(crate) fn cookie_path(path: Option<&PathMatch>) -> String {
    let (common, whole) = match path {
        None => (String::new(), true),
        Some(PathMatch::Exact(path) | PathMatch::Segments(path)) => (path.to_string(), true),
        Some(PathMatch::Prefix(prefix)) => (prefix.to_string(), false),
        Some(PathMatch::Regex(pattern)) => (literal_prefix(&pattern.0), false),
    };
    let sendable = sendable(&common);
    if whole && sendable.len() == common.len() {
        return sendable.to_owned();
    }
    let parent = sendable.rsplit_once('/').map_or("", |(parent, _)| parent);
    if parent.starts_with('/') { parent } else { "/" }.to_owned()
}

/// What of a path can stand in a cookie; `/` if nothing of it.
pub(crate) fn sendable(path: &str) -> &str {
    let foreign = |c: char| c == ';' || !c.is_ascii_graphic();
    let sendable = path.split(foreign).next().unwrap_or_default();
    if sendable.starts_with('/') {
        sendable
    } else {
        "/"
    }
}

/// The characters with which every text that an expression matches begins; fewer if that is not
/// plain to see.
fn literal_prefix(pattern: &str) -> String {
    let mut literal = String::new();
    if pattern.contains('|') {
        return literal;
    }
    let mut chars = pattern.trim_start_matches('^').chars();
    while let Some(char) = chars.next() {
        match char {
            '*' | '?' | '{' => {
                literal.pop();
                break;
            }
            '\\' => match chars.next().filter(char::is_ascii_punctuation) {
                Some(escaped) => literal.push(escaped),
                None => break,
            },
            '.' | '+' | '(' | ')' | '[' | ']' | '}' | '$' | '^' => break,
            plain => literal.push(plain),
        }
    }
    literal
}

#[cfg(test)]
mod tests;
