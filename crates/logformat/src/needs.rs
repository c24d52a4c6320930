//! What a format asks for at the end of a request that is there only before.

use std::collections::BTreeSet;

/// The headers and trailers that a format writes, by their names in small letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of the request; `:path` and its like too.
    pub request_headers: BTreeSet<Box<str>>,
    /// Of the answer.
    pub response_headers: BTreeSet<Box<str>>,
    /// At the end of the answer.
    pub response_trailers: BTreeSet<Box<str>>,
}
