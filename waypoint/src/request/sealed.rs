//! Names of headers that say something only because somebody who may has set them: who called, what a token
//! says. Clients' own are taken away from the head, each where it is set. They have two more ways in, which
//! end here: trailers, which some servers put among the headers (RFC 9110, 6.5.1), and names with `_` for
//! `-`, which are the same to some (CGI has one variable for both).

use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderName;

use super::hops;
use super::plain::is_bare;
use crate::view::View;

/// Names beside those that are made of claims or have tokens, with `-`.
const SEALED: [&str; 17] = [
    "x-forwarded-client-cert",
    hops::NAME,
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "authorization",
    "proxy-authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What knows the sealed names.
#[derive(Clone, Debug)]
pub(crate) struct Seal(Arc<View>);

impl Seal {
    /// By what holds now.
    pub(crate) fn of(view: &Arc<View>) -> Self {
        Self(Arc::clone(view))
    }

    /// Takes other spellings of the names away. Nearly no head has any.
    pub(super) fn take_in(&self, headers: &mut HeaderMap) {
        if headers.keys().any(|name| name.as_str().contains('_')) {
            self.remove(headers, |name, sealed| name != sealed);
        }
    }

    /// Takes the names away, in any spelling, and what no head may have.
    pub(crate) fn take_in_trailers(&self, trailers: &mut HeaderMap) {
        let blank = |(name, value)| (!is_bare(value)).then_some(name);
        let blank: Vec<HeaderName> = trailers.iter().filter_map(blank).cloned().collect();
        for name in blank {
            trailers.remove(name);
        }
        self.remove(trailers, |_, _| true);
    }

    /// Takes away what spells a sealed name, if it is such.
    fn remove(&self, headers: &mut HeaderMap, is_such: fn(&str, &str) -> bool) {
        let is_sealed = |name: &&HeaderName| {
            let is = |sealed: &str| spells(name.as_str(), sealed) && is_such(name.as_str(), sealed);
            let mut of_tokens = self.0.authenticators.header_names();
            SEALED.iter().any(|sealed| is(sealed)) || of_tokens.any(|sealed| is(sealed.as_str()))
        };
        let names: Vec<HeaderName> = headers.keys().filter(is_sealed).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// Whether two names are one where `_` is `-`.
fn spells(one: &str, other: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || matches!((a, b), (b'_', b'-') | (b'-', b'_'));
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(same)
}

#[cfg(test)]
mod tests;
