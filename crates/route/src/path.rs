//! What of a path a match covered, and how that part or all of the path is replaced.

use std::sync::Arc;

use ambit_model::PathChange;
use http::uri::PathAndQuery;

use crate::problem::Problem;
use crate::substitution::Substitution;

/// What of a path a match covered, from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// Whole segments: so many bytes, after which the path ends or goes on with a slash.
    Segments(usize),
    /// So many bytes. All of the path, if it was matched exactly or by an expression.
    Bytes(usize),
}

/// A checked change of a path.
#[derive(Clone, Debug)]
pub(crate) enum PathEdit {
    Full(Arc<str>),
    Prefix(Arc<str>),
    Regex(Substitution),
}

impl PathEdit {
    pub(crate) fn new(field: &'static str, change: &PathChange) -> Result<Self, Problem> {
        if let PathChange::Full(text) | PathChange::Prefix(text) = change
            && !text.is_empty()
        {
            check(text).map_err(|why| Problem::new(field, &**text, why))?;
        }
        Ok(match change {
            PathChange::Full(path) => Self::Full(Arc::clone(path)),
            PathChange::Prefix(prefix) => Self::Prefix(Arc::clone(prefix)),
            PathChange::Regex {
                pattern,
                replacement,
            } => Self::Regex(Substitution::new(field, pattern, replacement)?),
        })
    }

    /// The changed path; what is not covered stays. Never empty. `None` if it would be too long.
    ///
    /// Between covered segments and the rest stands one slash, whether the replacement ends with one
    /// or not; covered bytes are replaced as they are.
    pub(crate) fn apply(&self, path: &str, covered: Covered) -> Option<String> {
        let mut changed = match (self, covered) {
            (Self::Full(full), _) => full.to_string(),
            (Self::Prefix(prefix), Covered::Segments(length)) => {
                let rest = path.get(length..).unwrap_or_default();
                [prefix.trim_end_matches('/'), rest].concat()
            }
            (Self::Prefix(prefix), Covered::Bytes(length)) => {
                [&**prefix, path.get(length..).unwrap_or_default()].concat()
            }
            (Self::Regex(substitution), _) => substitution.apply(path)?,
        };
        if !changed.starts_with('/') {
            changed.insert(0, '/');
        }
        Some(changed)
    }
}

pub(crate) fn check(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("a path begins with a slash");
    }
    match PathAndQuery::try_from(path) {
        // A fragment is dropped by the parser.
        Ok(parsed) if parsed.query().is_none() && parsed.as_str() == path => Ok(()),
        Ok(_) => Err("a path has neither `?` nor `#`; write them as %3F and %23"),
        Err(_) => Err("has characters that a path must not have; percent-encode them"),
    }
}

#[cfg(test)]
mod tests;
