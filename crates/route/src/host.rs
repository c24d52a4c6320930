//! A new host for a request.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Uri};

use crate::headers::set;
use crate::problem::Problem;

/// A host name, with a port if it has one, that replaces the one of a request.
#[derive(Clone, Debug)]
pub(crate) struct NewHost {
    authority: Authority,
    value: HeaderValue,
}

impl NewHost {
    pub(crate) fn new(field: &'static str, host: &str) -> Result<Self, Problem> {
        let problem = || Problem::new(field, host, "is not a host name");
        let authority = Authority::try_from(host).ok().ok_or_else(problem)?;
        if authority.as_str().contains('@') || !is_host(authority.host()) {
            return Err(problem());
        }
        Ok(Self {
            authority,
            value: HeaderValue::from_str(host).ok().ok_or_else(problem)?,
        })
    }

    /// Replaces the host wherever the request has it: in its target, in `Host`, or in both. The
    /// target of a plain `CONNECT` is where the client wants to get to, and stays.
    pub(crate) fn put(&self, parts: &mut Parts) {
        let in_target = parts.uri.authority().is_some();
        if in_target && parts.uri.scheme().is_none() {
            return;
        }
        if in_target {
            let mut uri = std::mem::take(&mut parts.uri).into_parts();
            uri.authority = Some(self.authority.clone());
            // It was whole before, and is.
            parts.uri = Uri::from_parts(uri).unwrap_or_default();
        }
        if !in_target || parts.headers.contains_key(HOST) {
            set(&mut parts.headers, &HOST, self.value.clone());
        }
    }
}

/// Whether a text is a host name or an address, IPv6 in brackets. The parser of authorities lets more
/// pass than may be told to a client.
pub(crate) fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !text.is_empty() && text.bytes().all(plain)
        }
    }
}

#[cfg(test)]
mod tests;
