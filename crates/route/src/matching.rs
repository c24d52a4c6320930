//! One match of a route, ready to be compared with requests.
//!
//! `Segments("/")` covers every path, also the `*` of `OPTIONS *` and the empty one of `CONNECT`.
//! Methods and paths are compared as they are, with their case, unless a match says otherwise: such a
//! path is compared with all requests, as the index knows nothing of case.

use std::sync::Arc;

use ambit_model::{FieldMatch, HttpMatch, PathMatch, SourceMatch, TextMatch};
use http::header::HeaderName;
use regex::bytes::Regex;

use crate::asked::{Asked, Names, Uses};
use crate::head::Source;
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
    scheme: Option<TextTest>,
    authority: Option<TextTest>,
    source: Option<SourceMatch>,
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
    /// Whatever the case of its letters (ASCII).
    Folded {
        /// Empty: in no case it is known what a path begins with.
        begins: Arc<str>,
        text: Arc<str>,
        fold: Fold,
    },
}

/// How a path is compared of which the case does not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fold {
    Exact,
    Segments,
    Prefix,
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
        let mut path = PathTest::new(when.path.as_ref(), patterns)?;
        if when.ignore_case {
            path = path.folded();
        }
        let mut text = |field, given: Option<&TextMatch>| {
            let test = given.map(|text| TextTest::new(field, text, patterns));
            test.transpose()
        };
        let method = text("method of a match", when.method.as_ref())?;
        let scheme = text("scheme of a match", when.scheme.as_ref())?;
        let authority = text("authority of a match", when.authority.as_ref())?;
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
            scheme,
            authority,
            source: when.source.clone(),
        })
    }

    /// Its expressions.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Arc<Regex>> {
        let path = match &self.path {
            PathTest::Regex { regex, .. } => Some(regex),
            PathTest::Exact(_)
            | PathTest::Segments(_)
            | PathTest::Prefix(_)
            | PathTest::Folded { .. } => None,
        };
        let fields = self.headers.iter().chain(&self.query);
        let whole = self
            .method
            .iter()
            .chain(&self.scheme)
            .chain(&self.authority);
        let texts = whole.chain(fields.map(|field| &field.value));
        path.into_iter()
            .chain(texts.filter_map(TextTest::expression))
    }

    /// Whether it depends on who the client is.
    pub(crate) fn asks_for_source(&self) -> bool {
        self.source.is_some()
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
        let text = |test: Option<&TextTest>, text: Option<&str>| {
            test.is_none_or(|test| text.is_some_and(|text| test.holds(text.as_bytes())))
        };
        let source = self.source.as_ref();
        let holds = method.is_none_or(|method| method.holds(head.method.as_str().as_bytes()))
            && source.is_none_or(|source| comes_from(source, head.source))
            && text(self.authority.as_ref(), head.authority)
            && (self.scheme.is_none() || text(self.scheme.as_ref(), Some(head.scheme())))
            && headers.all(|test| test.holds(asked.header(test.slot)))
            && query.all(|test| test.holds(asked.parameter(test.slot)));
        holds.then_some(covered)
    }
}

/// Whether a client is of the kind that is asked for.
fn comes_from(asked: &SourceMatch, source: Source<'_>) -> bool {
    let namespace = asked.namespace.as_deref();
    let has = |(name, value)| {
        source
            .labels
            .is_some_and(|labels| labels.get(name) == Some(value))
    };
    namespace.is_none_or(|namespace| source.namespace == Some(namespace))
        && asked.labels.iter().all(has)
}

impl PathTest {
    /// The same, whatever the case. An expression says itself what it takes.
    fn folded(self) -> Self {
        let (text, fold) = match self {
            Self::Exact(text) => (text, Fold::Exact),
            Self::Segments(text) => (text, Fold::Segments),
            Self::Prefix(text) => (text, Fold::Prefix),
            other @ (Self::Regex { .. } | Self::Folded { .. }) => return other,
        };
        Self::Folded {
            begins: "".into(),
            text,
            fold,
        }
    }

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
        | Self::Regex { begins: text, .. }
        | Self::Folded { begins: text, .. }) = self;
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
            Self::Folded { text, fold, .. } => return fold.covers(text, path),
        };
        holds.then_some(covered)
    }
}

impl Fold {
    fn covers(self, text: &str, path: &str) -> Option<Covered> {
        let begin = path.as_bytes().get(..text.len())?;
        let rest = path.as_bytes().get(text.len()..)?;
        let begins = begin.eq_ignore_ascii_case(text.as_bytes());
        let (holds, covered) = match self {
            Self::Exact => (rest.is_empty(), Covered::Bytes(path.len())),
            Self::Segments => {
                let whole = rest.is_empty() || rest.starts_with(b"/") || text.is_empty();
                (whole, Covered::Segments(text.len()))
            }
            Self::Prefix => (true, Covered::Bytes(text.len())),
        };
        (begins && holds).then_some(covered)
    }
}

impl FieldTest {
    /// Whether the test holds for a value, or for its absence: what must not match is compared with
    /// nothing there as with an empty text, unless it just must not be there.
    fn holds(&self, value: Option<&[u8]>) -> bool {
        match (&self.value, self.invert) {
            (TextTest::Present, true) => value.is_none(),
            (test, true) => !test.holds(value.unwrap_or_default()),
            (test, false) => value.is_some_and(|value| test.holds(value)),
        }
    }
}

#[cfg(test)]
mod tests;
