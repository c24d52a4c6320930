//! Why a request is refused for its token: the words for log and metric, and what the client is told.

use std::fmt;

use ambit_model::PolicyName;
use http::{HeaderValue, StatusCode};

/// The longest realm that is told.
const MAX_REALM: usize = 256;

/// A request that is refused for a token, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The word for it.
    pub reason: Reason,
    /// The object that asks for what the token is not. Of several the first, by issuer.
    pub policy: Option<PolicyName>,
    /// What is wrong, and where the token stands. Not for the client, who could be told of others.
    pub detail: String,
    /// What the client is told: where Envoy has a sentence for it, that one.
    pub sentence: &'static str,
}

/// What is wrong with a token, before it is told where that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The word for it.
    pub(crate) reason: Reason,
    /// What is wrong.
    pub(crate) what: String,
    /// What the client is told.
    pub(crate) sentence: &'static str,
}

impl Fault {
    /// Puts the two together.
    pub(crate) fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
            sentence: reason.sentence(),
        }
    }

    /// The same with a sentence that says more.
    pub(crate) fn saying(self, sentence: &'static str) -> Self {
        Self { sentence, ..self }
    }
}

/// Why a request is refused for its token. What each means, and what to do about it, is in the table of
/// all reasons (`docs/reasons.md`), by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are explained in the table of reasons")]
pub enum Reason {
    Malformed,
    TooLong,
    Algorithm,
    UnknownIssuer,
    Expired,
    NotYetValid,
    Audience,
    NoKeys,
    UnknownKey,
    Signature,
    Several,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::Malformed,
        Self::TooLong,
        Self::Algorithm,
        Self::UnknownIssuer,
        Self::Expired,
        Self::NotYetValid,
        Self::Audience,
        Self::NoKeys,
        Self::UnknownKey,
        Self::Signature,
        Self::Several,
    ];

    /// The stable word in log, metric and documentation.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "jwt_malformed",
            Self::TooLong => "jwt_too_long",
            Self::Algorithm => "jwt_algorithm",
            Self::UnknownIssuer => "jwt_unknown_issuer",
            Self::Expired => "jwt_expired",
            Self::NotYetValid => "jwt_not_yet_valid",
            Self::Audience => "jwt_audience",
            Self::NoKeys => "jwt_no_keys",
            Self::UnknownKey => "jwt_unknown_key",
            Self::Signature => "jwt_signature",
            Self::Several => "jwt_several",
        }
    }

    /// What the client is told, if nothing more exact is known.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => {
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
            }
            Self::TooLong => "Jwt is too long",
            Self::Algorithm => "Jwt header [alg] is not supported",
            Self::UnknownIssuer => "Jwt issuer is not configured",
            Self::Expired => "Jwt is expired",
            Self::NotYetValid => "Jwt not yet valid",
            Self::Audience => "Audiences in Jwt are not allowed",
            Self::NoKeys => "Jwks remote fetch is failed",
            Self::UnknownKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Self::Signature => "Jwt verification fails",
            Self::Several => "There are several Jwts",
        }
    }
}

impl Reason {
    /// The status of the answer. A token for somebody else proves who the client is, just not to us.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Audience => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Refusal {
    /// The value of `www-authenticate` (RFC 6750, section 3). The realm, usually the URL that was
    /// asked for, is told as far as it can be quoted as it is.
    pub fn challenge(&self, realm: &str) -> HeaderValue {
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let realm = realm.bytes().filter(plain).take(MAX_REALM);
        let mut value = b"Bearer realm=\"".to_vec();
        value.extend(realm);
        value.extend_from_slice(b"\", error=\"invalid_token\"");
        let plainest = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        HeaderValue::try_from(value).unwrap_or(plainest)
    }
}

#[cfg(test)]
mod tests;
