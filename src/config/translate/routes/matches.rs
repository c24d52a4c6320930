//! Matches of HTTPRoutes, and what matches of GRPCRoutes share with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::{FieldMatch, HttpMatch, PathMatch, TextMatch};

use super::compile::Wrong;
use super::expressions::Room;
use super::precedence::{PathRank, Rank};
use crate::config::objects::http_route::{HttpRouteMatch, PathMatch as GivenPath};

/// Methods that Gateway API knows.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// True if what a prefix covers is known: then it can be replaced.
pub(super) fn has_one_prefix(matches: &[HttpRouteMatch]) -> bool {
    let is_prefix = |path: Option<&GivenPath>| {
        let kind = path.and_then(|path| path.kind.as_deref());
        kind.unwrap_or("PathPrefix") == "PathPrefix"
    };
    match matches {
        [] => true,
        [only] => is_prefix(only.path.as_ref()),
        _ => false,
    }
}

pub(super) fn http_matches(
    room: &mut Room<'_>,
    rule: &str,
    matches: &[HttpRouteMatch],
) -> Result<Vec<(Rank, HttpMatch)>, Wrong> {
    let default = [HttpRouteMatch::default()];
    let matches = if matches.is_empty() {
        &default
    } else {
        matches
    };
    let each = matches.iter().enumerate();
    each.map(|(index, given)| http_match(room, &format!("{rule}.matches[{index}]"), given))
        .collect()
}

fn http_match(
    room: &mut Room<'_>,
    field: &str,
    given: &HttpRouteMatch,
) -> Result<(Rank, HttpMatch), Wrong> {
    let (rank, path) = path(room, &format!("{field}.path"), given.path.as_ref())?;
    let method = given.method.as_ref().map(|method| {
        if METHODS.contains(&&**method) {
            return Ok(TextMatch::Exact(Arc::clone(method)));
        }
        let what = format!("unknown method `{method}`");
        let field = format!("{field}.method");
        Err(Wrong::unsupported(
            field,
            what,
            format!("write one of {}", METHODS.join(", ")),
        ))
    });
    let headers = given.headers.iter().map(|header| {
        (
            header.name.lower_case(),
            header.kind.as_deref(),
            header.value.shared(),
        )
    });
    let query = given.query_params.iter().map(|parameter| {
        (
            parameter.name.shared(),
            parameter.kind.as_deref(),
            parameter.value.shared(),
        )
    });
    let when = HttpMatch {
        path: Some(path),
        method: method.transpose()?,
        headers: fields(room, &format!("{field}.headers"), headers)?,
        query: fields(room, &format!("{field}.queryParams"), query)?,
        ..HttpMatch::default()
    };
    let has_method = when.method.is_some();
    let rank = Rank::http(rank, has_method, when.headers.len(), when.query.len());
    Ok((rank, when))
}

fn path(
    room: &mut Room<'_>,
    field: &str,
    given: Option<&GivenPath>,
) -> Result<(PathRank, PathMatch), Wrong> {
    let value = given.and_then(|path| path.value.as_ref());
    let value = value.map_or_else(|| "/".into(), |value| value.shared());
    let kind = given
        .and_then(|path| path.kind.as_deref())
        .unwrap_or("PathPrefix");
    match kind {
        "Exact" => {
            check_path(field, &value)?;
            Ok((PathRank::Exact, PathMatch::Exact(value)))
        }
        "PathPrefix" => {
            check_path(field, &value)?;
            let segments = match value.strip_suffix('/') {
                Some("") | None => value,
                Some(segments) => segments.into(),
            };
            let length = segments.chars().count();
            Ok((PathRank::Prefix(length), PathMatch::Segments(segments)))
        }
        "RegularExpression" => {
            let length = value.chars().count();
            let pattern = room.pattern(field, &value)?;
            let path = pattern.map_or_else(any_path, PathMatch::Regex);
            Ok((PathRank::Regex(length), path))
        }
        kind => {
            let what = format!("unknown type `{kind}`");
            let advice = "write Exact, PathPrefix or RegularExpression";
            Err(Wrong::unsupported(format!("{field}.type"), what, advice))
        }
    }
}

/// In place of an expression that there are too many of.
pub(super) fn any_path() -> PathMatch {
    PathMatch::Prefix("".into())
}

/// What a path cannot be once a server has looked at it never matches.
fn check_path(field: &str, path: &str) -> Result<(), Wrong> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-/._~!$&'()*+,;=:@%".contains(c);
    let lower = path.to_ascii_lowercase();
    let within = ["//", "/./", "/../", "%2f"].into_iter();
    let found = within.clone().find(|part| lower.contains(part));
    let found = found.or_else(|| ["/..", "/."].into_iter().find(|end| path.ends_with(end)));
    let what = match found {
        Some(part) => format!("`{part}` in a path that never comes like that"),
        None if !path.starts_with('/') => "a path that does not begin with `/`".to_owned(),
        None if !path.chars().all(legal) => "a character that no path has".to_owned(),
        None => return Ok(()),
    };
    Err(Wrong::unsupported(
        format!("{field}.value"),
        what,
        "write it as servers see it",
    ))
}

/// Of several with one name the first counts.
pub(super) fn fields<'a>(
    room: &mut Room<'_>,
    field: &str,
    given: impl Iterator<Item = (Arc<str>, Option<&'a str>, Arc<str>)>,
) -> Result<Vec<FieldMatch>, Wrong> {
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for (index, (name, kind, value)) in given.enumerate() {
        if !names.insert(Arc::clone(&name)) {
            continue;
        }
        let field = format!("{field}[{index}]");
        let value = match kind.unwrap_or("Exact") {
            "Exact" => TextMatch::Exact(value),
            "RegularExpression" => {
                let pattern = room.pattern(&format!("{field}.value"), &value)?;
                pattern.map_or(TextMatch::Present, TextMatch::Regex)
            }
            kind => {
                let what = format!("unknown type `{kind}`");
                let advice = "write Exact or RegularExpression";
                return Err(Wrong::unsupported(format!("{field}.type"), what, advice));
            }
        };
        read.push(FieldMatch {
            name,
            value,
            invert: false,
        });
    }
    Ok(read)
}
