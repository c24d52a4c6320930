//! Changes of headers, parsed once: a request costs no allocation but the map's own.
//!
//! What frames a message or belongs to one connection is the waypoint's business and cannot be
//! changed (RFC 9110, 7.6.1); nor can pseudo headers, whose names are none. Setting `host` on a
//! request replaces its authority, as a rewrite of the host does, since HTTP/2 has no other place for
//! it; it cannot be added to or removed. A rewrite of the same filters comes later and wins.

use std::sync::Arc;

use ambit_model::HeaderChanges;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

use crate::host::NewHost;
use crate::problem::Problem;

/// Checked changes of headers, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

/// Checked changes of a request's headers.
#[derive(Clone, Debug, Default)]
pub struct RequestEdits {
    host: Option<NewHost>,
    headers: HeaderEdits,
}

impl HeaderEdits {
    /// Checks changes; `field` says in errors what they belong to.
    ///
    /// # Errors
    ///
    /// If a name or value is none, or a header is not for routes to change.
    pub fn new(field: &'static str, changes: &HeaderChanges) -> Result<Self, Problem> {
        let pair = |(name, value): &(Arc<str>, Arc<str>)| {
            let value = HeaderValue::from_str(value).ok().ok_or_else(|| {
                let why = format!("cannot have the value {value:?}: it is not printable ASCII");
                Problem::new(field, &**name, why)
            })?;
            Ok((changeable(field, name)?, value))
        };
        let names = changes.remove.iter().map(|name| changeable(field, name));
        Ok(Self {
            set: changes.set.iter().map(pair).collect::<Result<_, _>>()?,
            add: changes.add.iter().map(pair).collect::<Result<_, _>>()?,
            remove: names.collect::<Result<_, _>>()?,
        })
    }

    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Makes the changes. What is added stands in a line of its own, after those that there are.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            set(headers, name, value.clone());
        }
        for (name, value) in &self.add {
            add(headers, name, value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

impl RequestEdits {
    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.host.is_none() && self.headers.is_empty()
    }

    /// Checks changes of a request's headers.
    ///
    /// # Errors
    ///
    /// If a name or value is none, or a header is not for routes to change.
    pub fn new(changes: &HeaderChanges) -> Result<Self, Problem> {
        let field = "request header";
        let is_host = |name: &str| name.eq_ignore_ascii_case("host");
        let mut others = changes.clone();
        others.set.retain(|(name, _)| !is_host(name));
        let added = others.add.iter().map(|(name, _)| name);
        if let Some(name) = added.chain(&others.remove).find(|name| is_host(name)) {
            let why = "can only be set: a request has one host";
            return Err(Problem::new(field, &**name, why));
        }
        let host = changes.set.iter().find(|(name, _)| is_host(name));
        Ok(Self {
            host: host
                .map(|(_, value)| NewHost::new("request header host", value))
                .transpose()?,
            headers: HeaderEdits::new(field, &others)?,
        })
    }

    /// Makes the changes.
    pub fn apply(&self, parts: &mut Parts) {
        self.headers.apply(&mut parts.headers);
        if let Some(host) = &self.host {
            host.put(parts);
        }
    }
}

/// Replaces a header. A map that is full stays as it is: at 32,768 names, far more than a message may
/// have.
pub(crate) fn set(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    drop(headers.try_insert(name, value));
}

/// Adds a line to a header, as [`set`] does.
pub(crate) fn add(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    drop(headers.try_append(name, value));
}

/// The name of a header that routes may change.
pub(crate) fn changeable(field: &'static str, name: &str) -> Result<HeaderName, Problem> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .ok()
        .ok_or_else(|| Problem::new(field, name, "is not a header name"))?;
    let own = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    if own.contains(&parsed) || matches!(parsed.as_str(), "keep-alive" | "proxy-connection") {
        let why = "belongs to the connection, which routes do not change";
        return Err(Problem::new(field, name, why));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests;
