//! Single values of policies, read from text. Errors say what is wrong, with the text.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::{PathPattern, PathTemplate, RequestPrincipal};
use crate::policy::{ServiceAccountMatch, StringMatch};

impl StringMatch {
    /// Reads `exact`, `prefix*`, `*suffix` or `*`. A star elsewhere is an error: Istio would look for
    /// the star itself, which is never what is meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (pattern, inner) = if text == "*" {
            (Self::Presence, "")
        } else if let Some(suffix) = text.strip_prefix('*') {
            (Self::Suffix(suffix.into()), suffix)
        } else if let Some(prefix) = text.strip_suffix('*') {
            (Self::Prefix(prefix.into()), prefix)
        } else {
            (Self::Exact(text.into()), text)
        };
        match (text, inner.contains('*')) {
            ("", _) => Err("an empty text never matches".to_owned()),
            (_, true) => Err(format!(
                "`{text}` has a star elsewhere than at its beginning or its end"
            )),
            _ => Ok(pattern),
        }
    }

    /// The text within it; empty for [`StringMatch::Presence`].
    fn inner(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text,
            Self::Presence => "",
        }
    }

    fn is_made_of(&self, is_allowed: impl Fn(u8) -> bool) -> bool {
        self.inner().bytes().all(is_allowed)
    }
}

/// Policies write principals without `spiffe://`; with it, none would ever match, so it is taken off.
pub(super) fn principal(text: &str) -> Result<StringMatch, String> {
    StringMatch::parse(text.strip_prefix("spiffe://").unwrap_or(text))
}

/// `NAMESPACE/NAME`, or `NAME` for one of the policy's own namespace.
pub(super) fn account(text: &str, own: &Arc<str>) -> Result<ServiceAccountMatch, String> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (namespace.into(), name),
        None => (Arc::clone(own), text),
    };
    let is_name = |name: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        !name.is_empty() && name.bytes().all(legal)
    };
    if !is_name(&namespace) || !is_name(name) {
        return Err(format!(
            "`{text}` is neither NAMESPACE/NAME nor NAME of a service account"
        ));
    }
    Ok(ServiceAccountMatch {
        namespace,
        service_account: name.into(),
    })
}

/// `ISSUER/SUBJECT`, either of which may have the star that the text may have.
pub(super) fn request_principal(text: &str) -> Result<RequestPrincipal, String> {
    let whole = StringMatch::parse(text)?;
    let (issuer, subject) = match (text.rsplit_once('/'), whole) {
        (Some((issuer, subject)), _) if is_cut_in_scheme(issuer) || subject.is_empty() => {
            return Err(format!("`{text}` has no subject behind its last slash"));
        }
        (Some((issuer, subject)), _) => (StringMatch::parse(issuer)?, StringMatch::parse(subject)?),
        (None, StringMatch::Presence) => (StringMatch::Presence, StringMatch::Presence),
        (None, subject @ StringMatch::Suffix(_)) => (StringMatch::Presence, subject),
        (None, issuer @ StringMatch::Prefix(_)) => (issuer, StringMatch::Presence),
        (None, StringMatch::Exact(_)) => {
            return Err(format!("`{text}` has no slash between issuer and subject"));
        }
    };
    Ok(RequestPrincipal { issuer, subject })
}

/// Whether the last slash is that of `https://`.
fn is_cut_in_scheme(issuer: &str) -> bool {
    issuer.ends_with(":/")
}

/// An address, or a block of addresses. Addresses of clients are looked at as IPv4 where they are
/// IPv4-mapped (RFC 4291, 2.5.5.2), so a block of such addresses is its IPv4 block.
pub(super) fn ip_block(text: &str) -> Result<IpNet, String> {
    const MAPPED: u8 = 96;
    let single = text.parse::<IpAddr>().map(IpNet::from);
    let net = single.or_else(|_single| text.parse::<IpNet>());
    let net = net.map_err(|_unparsed| {
        format!("`{text}` is neither an address nor a block such as 10.0.0.0/8")
    })?;
    let net = net.trunc();
    let mapped = match net {
        IpNet::V4(_) => None,
        IpNet::V6(block) => block.addr().to_ipv4_mapped(),
    };
    let block = mapped.and_then(|address| {
        let length = net.prefix_len().checked_sub(MAPPED)?;
        Ipv4Net::new(address, length).ok()
    });
    Ok(block.map_or(net, IpNet::V4))
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or_else(|| format!("`{text}` is not a port from 1 to 65535"))
}

/// In lower case.
pub(super) fn host(text: &str) -> Result<StringMatch, String> {
    let pattern = StringMatch::parse(&text.to_ascii_lowercase())?;
    let legal = |byte: u8| byte.is_ascii_graphic() && !b"/@?#".contains(&byte);
    if !pattern.is_made_of(legal) {
        return Err(format!("`{text}` is more than a host and its port"));
    }
    Ok(pattern)
}

pub(super) fn method(text: &str) -> Result<StringMatch, String> {
    let pattern = StringMatch::parse(text)?;
    if !pattern.is_made_of(is_token) {
        return Err(format!("`{text}` is not a method"));
    }
    Ok(pattern)
}

pub(super) fn path(text: &str) -> Result<PathPattern, String> {
    if PathTemplate::is_one(text) {
        return PathTemplate::parse(text).map(PathPattern::Template);
    }
    let pattern = StringMatch::parse(text)?;
    if !text.starts_with(['/', '*']) {
        return Err(format!("`{text}` begins neither with a slash nor a star"));
    }
    if text.contains(['{', '}']) {
        return Err(format!(
            "`{text}` has a brace elsewhere than in a segment {{*}} or {{**}}"
        ));
    }
    if !pattern.is_made_of(|byte| !b"?#".contains(&byte)) {
        return Err(format!("`{text}` is more than a path, which has no query"));
    }
    Ok(PathPattern::Text(pattern))
}

/// RFC 9110, 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
