//! A span: a request or a try of it, with its beginning, end and what there is to say of it. It lends its
//! texts: it is written as it goes to the collector while they are still there.

use std::borrow::Cow;
use std::time::SystemTime;

use crate::context::{SpanId, TraceId};

/// Which side of a call a span tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was asked.
    Server,
    /// It asked.
    Client,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Number(i64),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A span that is over.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// The caller's `tracestate`, empty if there is none.
    pub state: &'a str,
    /// What it did, for people.
    pub name: &'a str,
    /// Which side of the call it tells of.
    pub kind: Kind,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What there is to say of it.
    pub attributes: &'a [(&'a str, Value<'a>)],
    /// What went wrong, if something did.
    pub error: Option<&'a str>,
}
