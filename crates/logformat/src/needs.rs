//! What a format asks for at the end of a request or connection that is there only before.

use std::collections::BTreeSet;

/// The headers and trailers that a format writes, by their names in small letters, and what else is to be seen first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of the request; `:path` and its like too.
    pub request_headers: BTreeSet<Box<str>>,
    /// Of the answer.
    pub response_headers: BTreeSet<Box<str>>,
    /// At the end of the answer.
    pub response_trailers: BTreeSet<Box<str>>,
    /// The server name in the hello of a connection that is passed on as it is.
    pub server_name: bool,
}
