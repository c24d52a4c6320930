//! What of a request decides, where endpoints are picked by a hash: a header, a cookie, the client's
//! address or a parameter of the query. A request that has none of it goes anywhere; a client without
//! the cookie may be given one.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_balance::stable_hash;
use ambit_model::{Balancing, HashKey};
use ambit_route::Head;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Uri};

use super::Target;
use crate::view::View;

/// The hash of a request, and the cookie that its client is given.
#[derive(Clone, Debug)]
pub(crate) struct Hashed {
    pub(super) hash: Option<u64>,
    cookie: Option<HeaderValue>,
}

impl Hashed {
    /// That of a request to a target; none if that is not picked by a hash.
    pub(super) fn of(view: &View, to: &Target, head: &Parts, client: IpAddr) -> Option<Self> {
        let Target::Service(name, port, subset) = to else {
            return None;
        };
        let cluster = view.cluster(name, *port, subset.as_deref())?;
        let Some(Balancing::Hash(policy)) = &cluster.terms.policy.balancing else {
            return None;
        };
        let without_cookie = |hash| Self { hash, cookie: None };
        Some(match &policy.by {
            HashKey::Header(name) => without_cookie(of_header(head, name)),
            HashKey::SourceIp => without_cookie(Some(stable_hash(&client.to_canonical()))),
            HashKey::Query(name) => without_cookie(of_query(&head.uri, name)),
            HashKey::Cookie {
                name,
                path,
                ttl,
                attributes,
            } => match (cookie(&head.headers, name), ttl) {
                (Some(value), _) => without_cookie(Some(stable_hash(value))),
                (None, None) => without_cookie(None),
                (None, Some(ttl)) => given(name, path, *ttl, attributes),
            },
        })
    }

    /// That of a connection, of which only the client's address is known.
    pub(crate) fn of_connection(view: &View, to: &Target, client: IpAddr) -> Option<u64> {
        let Target::Service(name, port, subset) = to else {
            return None;
        };
        let cluster = view.cluster(name, *port, subset.as_deref())?;
        match &cluster.terms.policy.balancing {
            Some(Balancing::Hash(policy)) if policy.by == HashKey::SourceIp => {
                Some(stable_hash(&client.to_canonical()))
            }
            _ => None,
        }
    }

    /// Gives the client its cookie.
    pub(super) fn keep(&self, headers: &mut HeaderMap) {
        if let Some(cookie) = &self.cookie {
            headers.append(SET_COOKIE, cookie.clone());
        }
    }
}

/// By Envoy's names of what is no header of HTTP/1, too.
fn of_header(head: &Parts, name: &str) -> Option<u64> {
    let asked = Head::of(head);
    match name {
        ":method" => return Some(stable_hash(asked.method.as_str())),
        ":path" => {
            return head
                .uri
                .path_and_query()
                .map(|path| stable_hash(path.as_str()));
        }
        ":authority" | "host" => return asked.authority.map(stable_hash),
        _ => {}
    }
    let headers = &head.headers;
    let values: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    (!values.is_empty()).then(|| stable_hash(&*values))
}

fn of_query(uri: &Uri, name: &str) -> Option<u64> {
    let mut pairs = uri.query()?.split('&');
    let value = pairs.find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    value.map(stable_hash)
}

/// The value of the first cookie of that name.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut values = pairs.filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    });
    values.find(|value| !value.is_empty())
}

/// A new cookie, by which its client's next requests go where this one goes.
fn given(name: &str, path: &str, ttl: Duration, attributes: &[(Arc<str>, Arc<str>)]) -> Hashed {
    let value = format!("{:032x}", rand::random::<u128>());
    let mut text = format!("{name}=\"{value}\"");
    // Writing to a String does not fail.
    if !ttl.is_zero() {
        let _ = write!(text, "; Max-Age={}", ttl.as_secs());
    }
    if !path.is_empty() {
        let _ = write!(text, "; Path={path}");
    }
    for (name, value) in attributes {
        let _ = match value.is_empty() {
            true => write!(text, "; {name}"),
            false => write!(text, "; {name}={value}"),
        };
    }
    text.push_str("; HttpOnly");
    Hashed {
        hash: Some(stable_hash(&*value)),
        cookie: HeaderValue::try_from(text).ok(),
    }
}

#[cfg(test)]
mod tests;
