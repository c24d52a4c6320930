//! What is wrong with a route, for a person.

use std::borrow::Cow;

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value:?}: {why}")]
pub struct Problem {
    /// Which part of the route has it, such as `redirect path`.
    pub field: &'static str,
    /// The value.
    pub value: String,
    /// What is wrong with it.
    pub why: Cow<'static, str>,
}

impl Problem {
    pub(crate) fn new(
        field: &'static str,
        value: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            field,
            value: value.into(),
            why: why.into(),
        }
    }
}
