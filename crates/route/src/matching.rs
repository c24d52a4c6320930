//! One match of a route, ready to be compared with requests.
//!
//! `Segments("/")` covers every path, also the `*` of `OPTIONS *` and the empty one of `CONNECT`.
//! Methods and paths are compared as they are, with their case.

use std::sync::Arc;

use ambit_model::{FieldMatch, HttpMatch, PathMatch};
use http::header::HeaderName;
use regex::bytes::Regex;

use crate::asked::{Asked, Names, Uses};
use crate::path::Covered;
use crate::pattern::{Patterns, TextTest, beginning};
use crate::problem::Problem;

/// A match: all of it must hold.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    pub(crate) path: PathTest,
    method: Option<TextTest>,
    headers: Vec<FieldTest>,
    query: Vec<FieldTest>,
}

/// A test of a path.
#[derive(Clone, Debug)]
pub(crate) enum PathTest {
    Exact(Arc<str>),
    /// Never ends with a slash; empty for `/`, and where nothing is said of the path.
    Segments(Arc<str>),
    Prefix(Arc<str>),
    Regex {
        /// What every path that matches begins with.
        begins: Arc<str>,
        regex: Arc<Regex>,
    },
}

#[derive(Clone, Debug)]
struct FieldTest {
    /// Of [`Names`].
    slot: usize,
    value: TextTest,
    invert: bool,
}

impl Matching {
    pub(crate) fn new(
        when: &HttpMatch,
        names: &mut Names,
        patterns: &mut Patterns,
    ) -> Result<Self, Problem> {
        let what = "header of a match";
        let header = |field: &FieldMatch| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok();
            let name =
                name.ok_or_else(|| Problem::new(what, &*field.name, "is not a header name"))?;
            let value = TextTest::new(what, &field.value, patterns)?;
            Ok((name, value))
        };
        let headers = when.headers.iter().map(header);
        let headers = headers.collect::<Result<Vec<_>, Problem>>()?;
        let what = "query parameter of a match";
        let values = when.query.iter();
        let values = values.map(|field| TextTest::new(what, &field.value, patterns));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let path = PathTest::new(when.path.as_ref(), patterns)?;
        let method = |text| TextTest::new("method of a match", text, patterns);
        let method = when.method.as_ref().map(method).transpose()?;
        // Only now: what cannot be used would have names read for nobody.
        let headers = when.headers.iter().zip(headers);
        let headers = headers.map(|(field, (name, value))| FieldTest {
            slot: names.header(name),
            value,
            invert: field.invert,
        });
        let headers = headers.collect();
        let query = when.query.iter().zip(values);
        let query = query.map(|(field, value)| FieldTest {
            slot: names.parameter(&field.name),
            value,
            invert: field.invert,
        });
        Ok(Self {
            path,
            method,
            headers,
            query: query.collect(),
        })
    }

    /// Its expressions.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Arc<Regex>> {
        let path = match &self.path {
            PathTest::Regex { regex, .. } => Some(regex),
            PathTest::Exact(_) | PathTest::Segments(_) | PathTest::Prefix(_) => None,
        };
        let fields = self.headers.iter().chain(&self.query);
        let texts = self.method.iter().chain(fields.map(|field| &field.value));
        path.into_iter()
            .chain(texts.filter_map(TextTest::expression))
    }

    /// Notes the names that it asks for.
    pub(crate) fn note_names(&self, uses: &mut Uses) {
        self.headers.iter().for_each(|test| uses.header(test.slot));
        self.query.iter().for_each(|test| uses.parameter(test.slot));
    }

    /// What of the path is covered, if the request matches.
    pub(crate) fn covers(&self, asked: &Asked<'_>) -> Option<Covered> {
        let head = asked.head;
        let covered = self.path.covers(head.path)?;
        let method = self.method.as_ref();
        let mut headers = self.headers.iter();
        let mut query = self.query.iter();
        let holds = method.is_none_or(|method| method.holds(head.method.as_str().as_bytes()))
            && headers.all(|test| test.holds(asked.header(test.slot)))
            && query.all(|test| test.holds(asked.parameter(test.slot)));
        holds.then_some(covered)
    }
}

impl PathTest {
    fn new(path: Option<&PathMatch>, patterns: &mut Patterns) -> Result<Self, Problem> {
        Ok(match path {
            None => Self::Segments("".into()),
            Some(PathMatch::Exact(path)) => Self::Exact(Arc::clone(path)),
            Some(PathMatch::Segments(path)) => Self::Segments(path.trim_end_matches('/').into()),
            Some(PathMatch::Prefix(path)) => Self::Prefix(Arc::clone(path)),
            Some(PathMatch::Regex(pattern)) => Self::Regex {
                begins: beginning(&pattern.0).into(),
                regex: patterns.whole("path of a match", pattern)?,
            },
        })
    }

    /// Whether an index finds it as it finds another one.
    pub(crate) fn is_found_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(text), Self::Exact(other)) => text == other,
            (Self::Exact(_), _) | (_, Self::Exact(_)) => false,
            _ => self.begins() == other.begins(),
        }
    }

    /// What every path that it covers begins with.
    pub(crate) fn begins(&self) -> &Arc<str> {
        let (Self::Exact(text)
        | Self::Segments(text)
        | Self::Prefix(text)
        | Self::Regex { begins: text, .. }) = self;
        text
    }

    fn covers(&self, path: &str) -> Option<Covered> {
        let (holds, covered) = match self {
            Self::Exact(exact) => (path == &**exact, Covered::Bytes(path.len())),
            Self::Segments(segments) => {
                let rest = path.strip_prefix(&**segments);
                let whole = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                let holds = whole || segments.is_empty();
                (holds, Covered::Segments(segments.len()))
            }
            Self::Prefix(prefix) => (path.starts_with(&**prefix), Covered::Bytes(prefix.len())),
            Self::Regex { regex, .. } => {
                (regex.is_match(path.as_bytes()), Covered::Bytes(path.len()))
            }
        };
        holds.then_some(covered)
    }
}

impl FieldTest {
    /// Whether the test holds for a value, or for its absence.
    fn holds(&self, value: Option<&[u8]>) -> bool {
        value.is_some_and(|value| self.value.holds(value)) != self.invert
    }
}

#[cfg(test)]
mod tests;
