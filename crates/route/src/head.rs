//! What is known of a request before it is routed.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Method};

/// A request before it is routed: borrowed, and cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path as it was received, without the query. Empty for `CONNECT`, `*` for `OPTIONS *`.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// The host that was asked for, with its port if one was given.
    pub authority: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The head of a request. The authority of the target counts before `Host` (RFC 9112, 3.2.2).
    pub fn of(parts: &'a Parts) -> Self {
        let host = || parts.headers.get(HOST)?.to_str().ok();
        Self {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query(),
            authority: parts.uri.authority().map(|a| a.as_str()).or_else(host),
            headers: &parts.headers,
        }
    }
}
