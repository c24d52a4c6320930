//! One match of a route, ready to be compared with requests.
//!
//! - `Segments("/")` covers every path, also the `*` of `OPTIONS *` and the empty one of `CONNECT`.
//! - A test of the header `host` is about the authority that was asked for, in HTTP/2 too.
//! - Methods and paths are compared as they are, with their case.

use std::cell::OnceCell;
use std::sync::Arc;

use ambit_model::{FieldMatch, HttpMatch, PathMatch};
use http::header::{HOST, HeaderName};
use regex::bytes::Regex;

use crate::head::Head;
use crate::path::Covered;
use crate::pattern::{TextTest, whole};
use crate::problem::Problem;
use crate::query::{QueryNames, QueryValues};

/// A match: all of it must hold.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    pub(crate) path: PathTest,
    method: Option<TextTest>,
    headers: Vec<FieldTest<HeaderName>>,
    /// By slot of [`QueryNames`].
    query: Vec<FieldTest<usize>>,
}

/// A test of a path.
#[derive(Clone, Debug)]
pub(crate) enum PathTest {
    Any,
    Exact(Arc<str>),
    /// Never ends with a slash; empty for `/`.
    Segments(Arc<str>),
    Prefix(Arc<str>),
    Regex(Regex),
}

#[derive(Clone, Debug)]
struct FieldTest<N> {
    name: N,
    value: TextTest,
    invert: bool,
}

/// A request while it is compared with matches: its query is read when the first of them asks.
pub(crate) struct Asked<'h> {
    head: &'h Head<'h>,
    names: &'h QueryNames,
    query: OnceCell<QueryValues<'h>>,
}

impl<'h> Asked<'h> {
    pub(crate) fn new(head: &'h Head<'h>, names: &'h QueryNames) -> Self {
        Self {
            head,
            names,
            query: OnceCell::new(),
        }
    }

    fn parameter(&self, slot: usize) -> Option<&[u8]> {
        let read = || self.names.read(self.head.query.unwrap_or_default());
        self.query.get_or_init(read).get(slot)
    }
}

impl Matching {
    pub(crate) fn new(when: &HttpMatch, names: &mut QueryNames) -> Result<Self, Problem> {
        let header = |field: &FieldMatch| {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let name = name.ok().ok_or_else(|| {
                Problem::new("header of a match", &*field.name, "is not a header name")
            })?;
            FieldTest::new("value of a header of a match", name, field)
        };
        let mut parameter = |field: &FieldMatch| {
            let slot = names.slot(&field.name);
            FieldTest::new("value of a query parameter of a match", slot, field)
        };
        let method = when.method.as_ref();
        Ok(Self {
            path: PathTest::new(when.path.as_ref())?,
            method: method
                .map(|text| TextTest::new("method of a match", text))
                .transpose()?,
            headers: when.headers.iter().map(header).collect::<Result<_, _>>()?,
            query: when
                .query
                .iter()
                .map(&mut parameter)
                .collect::<Result<_, _>>()?,
        })
    }

    /// What of the path is covered, if the request matches.
    pub(crate) fn covers(&self, asked: &Asked<'_>) -> Option<Covered> {
        let head = asked.head;
        let covered = self.path.covers(head.path)?;
        let method = self.method.as_ref();
        let holds = method.is_none_or(|method| method.holds(head.method.as_str().as_bytes()))
            && self.headers.iter().all(|test| test.header_holds(head))
            && self.query.iter().all(|test| {
                let value = asked.parameter(test.name);
                value.is_some_and(|value| test.value.holds(value)) != test.invert
            });
        holds.then_some(covered)
    }
}

impl PathTest {
    fn new(path: Option<&PathMatch>) -> Result<Self, Problem> {
        Ok(match path {
            None => Self::Any,
            Some(PathMatch::Exact(path)) => Self::Exact(Arc::clone(path)),
            Some(PathMatch::Segments(path)) => Self::Segments(path.trim_end_matches('/').into()),
            Some(PathMatch::Prefix(path)) => Self::Prefix(Arc::clone(path)),
            Some(PathMatch::Regex(pattern)) => Self::Regex(whole("path of a match", pattern)?),
        })
    }

    fn covers(&self, path: &str) -> Option<Covered> {
        let (holds, covered) = match self {
            Self::Any => (true, Covered::Segments(0)),
            Self::Exact(exact) => (path == &**exact, Covered::Bytes(path.len())),
            Self::Segments(segments) => {
                let rest = path.strip_prefix(&**segments);
                let whole = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                let holds = whole || segments.is_empty();
                (holds, Covered::Segments(segments.len()))
            }
            Self::Prefix(prefix) => (path.starts_with(&**prefix), Covered::Bytes(prefix.len())),
            Self::Regex(regex) => (regex.is_match(path.as_bytes()), Covered::Bytes(path.len())),
        };
        holds.then_some(covered)
    }
}

impl<N> FieldTest<N> {
    fn new(what: &'static str, name: N, field: &FieldMatch) -> Result<Self, Problem> {
        Ok(Self {
            name,
            value: TextTest::new(what, &field.value)?,
            invert: field.invert,
        })
    }
}

impl FieldTest<HeaderName> {
    fn header_holds(&self, head: &Head<'_>) -> bool {
        self.value_holds(head) != self.invert
    }

    fn value_holds(&self, head: &Head<'_>) -> bool {
        if self.name == HOST {
            return head
                .authority
                .is_some_and(|host| self.value.holds(host.as_bytes()));
        }
        let lines = head.headers.get_all(&self.name);
        let mut values = lines.iter().map(|value| value.as_bytes());
        match (values.next(), values.next()) {
            (None, _) => false,
            (Some(only), None) => self.value.holds(only),
            (Some(_), Some(_)) => {
                let lines = lines.iter().map(|value| value.as_bytes());
                self.value.holds_joined(lines)
            }
        }
    }
}

#[cfg(test)]
mod tests;
