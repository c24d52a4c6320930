//! What is made of a verified token: its claims, and headers for the application.

use std::fmt;
use std::sync::Arc;

use ambit_model::JwtRule;
use http::header::InvalidHeaderName;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::base64url;
use crate::claims::Claims;

/// A token that was found good, and what is made of it.
pub(crate) struct Verified {
    /// What it says.
    pub(crate) claims: Arc<Claims>,
    /// Which of its place's rules it was found good by.
    pub(crate) rule: usize,
    /// Headers for the application.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// About how many bytes of memory it takes.
    pub(crate) bytes: usize,
}

impl Verified {
    /// Claims that the rule at that position has found good.
    pub(crate) fn new(
        claims: Claims,
        rule: usize,
        headers: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        let sizes = headers.iter();
        let sizes = sizes.map(|(name, value)| 80 + name.as_str().len() + value.len());
        Self {
            bytes: size_of::<Self>() + claims.size() + sizes.sum::<usize>(),
            claims: Arc::new(claims),
            rule,
            headers,
        }
    }
}

impl fmt::Debug for Verified {
    /// Without the headers, which tell all claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

/// Which headers a rule makes.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    payload: Option<HeaderName>,
    claims: Vec<(HeaderName, Arc<str>)>,
}

impl Outputs {
    /// Those of a rule.
    pub(crate) fn new(rule: &JwtRule) -> Result<Self, InvalidHeaderName> {
        let name = |name: &Arc<str>| HeaderName::from_bytes(name.as_bytes());
        let claims = rule.output_claim_to_headers.iter();
        let claims = claims.map(|output| Ok((name(&output.header)?, Arc::clone(&output.claim))));
        Ok(Self {
            payload: rule
                .output_payload_to_header
                .as_ref()
                .map(name)
                .transpose()?,
            claims: claims.collect::<Result<_, InvalidHeaderName>>()?,
        })
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let claims = self.claims.iter().map(|(name, _)| name);
        self.payload.iter().chain(claims)
    }

    /// What they are for a token of that payload (as it stands there) and these claims.
    pub(crate) fn of(&self, payload: &[u8], claims: &Claims) -> Vec<(HeaderName, HeaderValue)> {
        let payload = self.payload.iter().filter_map(|name| {
            let value = HeaderValue::from_bytes(payload).ok()?;
            Some((name.clone(), value))
        });
        let claims = self.claims.iter().filter_map(|(name, claim)| {
            let value = plain(claims.named(claim)?)?;
            Some((name.clone(), value))
        });
        payload.chain(claims).collect()
    }
}

/// A claim as a header: a text that can be one, a number, true or false, of a list or an object its
/// JSON in base64. Of nothing, and of a text with the end of a line, there is no header.
fn plain(claim: &Value) -> Option<HeaderValue> {
    match claim {
        Value::String(text) if !text.is_empty() => HeaderValue::from_bytes(text.as_bytes()).ok(),
        Value::Bool(_) | Value::Number(_) => HeaderValue::try_from(claim.to_string()).ok(),
        Value::Array(_) | Value::Object(_) => {
            HeaderValue::try_from(base64url::padded(claim.to_string().as_bytes())).ok()
        }
        Value::String(_) | Value::Null => None,
    }
}
