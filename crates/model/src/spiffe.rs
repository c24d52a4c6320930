//! SPIFFE ids of the form `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`.
//!
//! Rules of the text: SPIFFE-ID specification, sections 2.1 to 2.4.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

const SCHEME: &str = "spiffe://";
/// SPIFFE-ID section 2.4: longer ids need not be supported.
const MAX_LENGTH: usize = 2048;
/// SPIFFE-ID section 2.1: longest trust domain name.
const MAX_TRUST_DOMAIN: usize = 255;

/// Why a text is not a SPIFFE id of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// It does not begin with `spiffe://`.
    #[error("`{0}` does not begin with spiffe://")]
    Scheme(String),
    /// The trust domain is empty, too long or has a forbidden character.
    #[error("`{0}` is not a trust domain: 1 to 255 of a-z 0-9 . - _ expected")]
    TrustDomain(String),
    /// The path is not `/ns/NAMESPACE/sa/SERVICE_ACCOUNT`.
    #[error("`{0}` does not have the path /ns/NAMESPACE/sa/SERVICE_ACCOUNT")]
    Path(String),
    /// It is longer than 2048 bytes.
    #[error("a SPIFFE id of {0} bytes is over the limit of 2048")]
    TooLong(usize),
}

/// A trust domain name, such as `cluster.local`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Checks the name (SPIFFE-ID section 2.1).
    pub fn new(name: &str) -> Result<Self, SpiffeIdError> {
        let legal = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > MAX_TRUST_DOMAIN || !name.bytes().all(legal) {
            return Err(SpiffeIdError::TrustDomain(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = SpiffeIdError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.as_str().to_owned()
    }
}

/// The identity of a workload. Cheap to clone and to compare.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId(Arc<str>);

impl SpiffeId {
    /// The id of a service account. The parts are names that Kubernetes has checked.
    pub fn from_parts(trust_domain: &str, namespace: &str, service_account: &str) -> Self {
        Self(format!("{SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}").into())
    }

    /// The whole id, with its scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id without its scheme, as policies write principals.
    pub fn principal(&self) -> &str {
        self.0.strip_prefix(SCHEME).unwrap_or(&self.0)
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        self.principal().split('/').next().unwrap_or_default()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.principal().split('/').nth(2).unwrap_or_default()
    }

    /// The service account.
    pub fn service_account(&self) -> &str {
        self.principal().split('/').nth(4).unwrap_or_default()
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LENGTH {
            return Err(SpiffeIdError::TooLong(text.len()));
        }
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| SpiffeIdError::Scheme(text.to_owned()))?;
        let mut parts = rest.split('/');
        TrustDomain::new(parts.next().unwrap_or_default())?;
        let name = |part: Option<&str>| {
            part.is_some_and(|p| {
                !p.is_empty()
                    && p != "."
                    && p != ".."
                    && p.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            })
        };
        let legal = parts.next() == Some("ns")
            && name(parts.next())
            && parts.next() == Some("sa")
            && name(parts.next())
            && parts.next().is_none();
        if !legal {
            return Err(SpiffeIdError::Path(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests;
