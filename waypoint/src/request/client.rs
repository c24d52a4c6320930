//! Who called, as the application is told where its namespace or waypoint asks for that: Envoy's
//! `x-forwarded-client-cert`, of what the client has proved to us. What a client says there itself never
//! goes on ([`headers`](super::headers)), nor what a route of the client's namespace puts there.

use ambit_model::SpiffeId;
use ambit_route::Hand;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::call::Client;
use crate::proxy::Proxy;

/// The header.
pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// What an application is told of a client.
#[derive(Clone, Debug)]
pub(crate) enum ToldClient {
    /// The header is as routes have made it.
    AsRouted,
    /// Nothing: the header goes.
    Nothing,
    /// This.
    Identity(HeaderValue),
}

impl ToldClient {
    /// What is told of a client, where that is asked for; and where somebody who is not trusted with that
    /// had his hand in the request.
    pub(super) fn of(proxy: &Proxy, client: &Client, is_asked: bool, hand: Hand) -> Self {
        match (is_asked, hand.changes()) {
            (false, false) => Self::AsRouted,
            (false, true) => Self::Nothing,
            (true, _) => {
                let papers = proxy.identity.papers();
                let own = papers.as_ref().map(|(credential, _)| credential.id());
                let client = client.identity.as_ref();
                let value = client.and_then(|client| form(own, client));
                value.map_or(Self::Nothing, Self::Identity)
            }
        }
    }

    /// Writes it in place of what is there. Outside of the mesh nobody is told.
    pub(super) fn write(&self, is_outside: bool, headers: &mut HeaderMap) {
        match self {
            Self::AsRouted => {}
            Self::Identity(value) if !is_outside => {
                drop(headers.insert(CLIENT_CERT, value.clone()));
            }
            Self::Nothing | Self::Identity(_) => drop(headers.remove(CLIENT_CERT)),
        }
    }
}

/// Envoy's form. Identities have none of the characters that would have to be quoted.
fn form(own: Option<&SpiffeId>, client: &SpiffeId) -> Option<HeaderValue> {
    let text = match own {
        Some(own) => format!("By={};URI={}", own.as_str(), client.as_str()),
        None => format!("URI={}", client.as_str()),
    };
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests;
