//! What is known of a request before it is routed.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{HOST, HeaderName};
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
    /// The scheme of its target, if it has one.
    pub scheme: Option<&'a str>,
    /// Who sends it, as far as that is known.
    pub source: Source<'a>,
}

/// The client of a request, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source<'a> {
    /// The namespace of its identity.
    pub namespace: Option<&'a str>,
    /// The labels of its pod.
    pub labels: Option<&'a BTreeMap<Arc<str>, Arc<str>>>,
}

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

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
            scheme: parts.uri.scheme_str(),
            source: Source::default(),
        }
    }

    /// The scheme that the client asked with: that of the target, or else what a proxy before us says,
    /// or else `http`, as which requests come.
    pub(crate) fn scheme(&self) -> &'a str {
        let told = || self.headers.get(FORWARDED_PROTO)?.to_str().ok();
        let told = || told().filter(|scheme| matches!(*scheme, "http" | "https"));
        self.scheme.or_else(told).unwrap_or("http")
    }
}
