//! Why a request is refused for its token: one table of words for log, metric and answer.

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
}

/// What is wrong with a token, before it is told where that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The word for it.
    pub(crate) reason: Reason,
    /// What is wrong.
    pub(crate) what: String,
}

impl Fault {
    /// Puts the two together.
    pub(crate) fn new(reason: Reason, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { reason, what }
    }
}

/// Declares the reasons: variant, word, sentence for the client, explanation.
macro_rules! reasons {
    ($($variant:ident $word:literal $sentence:literal $explanation:literal)*) => {
        /// Why a request is refused for its token.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $explanation] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable word in log, metric and documentation.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What the client is told.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// What it means and what to do about it.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }
        }
    };
}

reasons! {
    Malformed "jwt_malformed" "the token is no JSON Web Token"
        "What stands where a token is expected is none: not three parts of base64url, not JSON, a name twice, or a claim of the wrong type. The log line says which."
    TooLong "jwt_too_long" "the token is too long"
        "The token has more than 16 KiB. Ask the issuer for one with fewer claims."
    Algorithm "jwt_algorithm" "the token is signed in a way that is not accepted"
        "The token is signed by no algorithm, by a shared secret, or by one that is not known; or it asks for an extension (crit) that is not."
    UnknownIssuer "jwt_unknown_issuer" "the issuer of the token is not known"
        "No rule that looks where the token stands is for its issuer. The log line has the issuer as the token tells it."
    Expired "jwt_expired" "the token has expired"
        "The token has ended, more than 60 seconds ago."
    NotYetValid "jwt_not_yet_valid" "the token is not valid yet"
        "The token begins in more than 60 seconds. Compare the clocks of the issuer and of the node."
    Audience "jwt_audience" "the token is for somebody else"
        "None of the token's audiences is one of the rule's."
    NoKeys "jwt_no_keys" "the keys of the token's issuer are not known"
        "The keys of the rule have not been fetched, or cannot be used. It passes by itself once they are; see the status of the RequestAuthentication."
    UnknownKey "jwt_unknown_key" "the token is signed by a key that is not known"
        "The issuer's key set has no key of the name (kid) and algorithm that the token has, or, of a token without a name, too many to try. The issuer may have changed its keys."
    Signature "jwt_signature" "the signature of the token is wrong"
        "The token was not signed by the key that it names, or was changed."
    Several "jwt_several" "there are several tokens"
        "The request has several different tokens where one is expected, or more than eight in all. The application could take another one than was judged: send one."
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
