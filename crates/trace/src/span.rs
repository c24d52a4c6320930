//! A span: a request or a try of it, with its beginning, end and what there is to say of it.

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
pub enum Value {
    /// A text.
    Text(Box<str>),
    /// A number.
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// The caller's `tracestate`, empty if there is none.
    pub state: Box<str>,
    /// What it did, for people.
    pub name: Box<str>,
    /// Which side of the call it tells of.
    pub kind: Kind,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What there is to say of it.
    pub attributes: Vec<(Box<str>, Value)>,
    /// What went wrong, if something did.
    pub error: Option<Box<str>>,
}
