//! The path of a session's cookie, by which a browser keeps the sessions of different rules apart.
//!
//! It is what all paths of the match have in common, by whole segments, since browsers compare it
//! so: the path of an exact match or of segments, the folder of a prefix, the folder of the plain
//! beginning of an expression.

use ambit_model::PathMatch;

use crate::pattern::beginning;

/// The path of a session's cookie: what the paths of a match have in common, by whole segments.
pub(crate) fn cookie_path(path: Option<&PathMatch>) -> String {
    let (common, whole) = match path {
        None => (String::new(), true),
        Some(PathMatch::Exact(path) | PathMatch::Segments(path)) => (path.to_string(), true),
        Some(PathMatch::Prefix(prefix)) => (prefix.to_string(), false),
        Some(PathMatch::Regex(pattern)) => (beginning(&pattern.0), false),
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

#[cfg(test)]
mod tests;
