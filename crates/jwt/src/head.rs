//! What is known of a request when its tokens are judged.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

/// A request as it came: borrowed, and cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The head of a request.
    pub fn of(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            query: parts.uri.query(),
            headers: &parts.headers,
        }
    }

    /// Whether a browser asks if it may send a request: that comes without what the client proves
    /// itself with (Fetch Standard, 4.8).
    pub(crate) fn is_preflight(&self) -> bool {
        let asks = |name| {
            let value = self.headers.get(name);
            value.is_some_and(|value: &http::HeaderValue| !value.is_empty())
        };
        *self.method == Method::OPTIONS && asks(ORIGIN) && asks(ACCESS_CONTROL_REQUEST_METHOD)
    }
}
