//! A token in its compact form (JWS, RFC 7515, section 7.1), read and not yet believed.

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::base64url::decode as decoded;
use crate::claims::Claims;
use crate::json;
use crate::refusal::{Fault, Reason};

/// The longest token. Those with all groups of a large company have half of it.
pub(crate) const MAX_TOKEN: usize = 16 << 10;

/// A token, read and not yet believed.
pub(crate) struct Token<'t> {
    /// What is signed.
    pub(crate) signed: &'t [u8],
    /// The claims as they stand in it.
    pub(crate) payload: &'t [u8],
    /// By which algorithm it says that it is signed.
    pub(crate) algorithm: Algorithm,
    /// By which key.
    pub(crate) key: Option<String>,
    /// What it says.
    pub(crate) claims: Claims,
    /// By whom, as nobody else could.
    pub(crate) signature: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Reads a token.
    pub(crate) fn parse(text: &'t [u8]) -> Result<Self, Fault> {
        if text.len() > MAX_TOKEN {
            let what = format!("it has {} bytes, where {MAX_TOKEN} are allowed", text.len());
            return Err(Fault::new(Reason::TooLong, what));
        }
        let form = || malformed("it has not three parts between two dots");
        let mut parts = text.split(|byte| *byte == b'.');
        let mut part = || {
            parts
                .next()
                .filter(|part| !part.is_empty())
                .ok_or_else(form)
        };
        let (header, payload, signature) = (part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(form());
        }
        let signed = text.get(..header.len() + 1 + payload.len());
        let signed = signed.ok_or_else(form)?;
        let (algorithm, key) = read_header(header)?;
        let claims = decoded(payload).ok_or_else(|| {
            malformed("its payload is no base64url")
                .saying("Jwt payload is an invalid Base64url encoded")
        })?;
        let claims = json::object(&claims).ok_or_else(|| {
            malformed("its payload is no JSON object").saying("Jwt payload is an invalid JSON")
        })?;
        let claims = Claims::read(claims).map_err(|fault| {
            let (claim, expected) = (fault.claim, fault.expected);
            malformed(format!("its claim {claim} is not {expected}")).saying(fault.sentence())
        })?;
        let signature = decoded(signature).ok_or_else(|| {
            malformed("its signature is no base64url")
                .saying("Jwt signature is an invalid Base64url encoded")
        })?;
        Ok(Self {
            signed,
            payload,
            algorithm,
            key,
            claims,
            signature,
        })
    }
}

fn malformed(what: impl Into<String>) -> Fault {
    Fault::new(Reason::Malformed, what)
}

fn unaccepted(what: &str) -> Fault {
    Fault::new(Reason::Algorithm, what)
}

/// Keys that come with a token (`jwk`, `x5c`), or the way to some (`jku`, `x5u`), are not looked at.
fn read_header(part: &[u8]) -> Result<(Algorithm, Option<String>), Fault> {
    let header = decoded(part).ok_or_else(|| {
        malformed("its header is no base64url").saying("Jwt header is an invalid Base64url encoded")
    })?;
    let mut header = json::object(&header).ok_or_else(|| {
        malformed("its header is no JSON object").saying("Jwt header is an invalid JSON")
    })?;
    // What is critical must be understood (RFC 7515, 4.1.11), and nothing is.
    if header.contains_key("crit") {
        return Err(unaccepted("it asks for an extension (crit)"));
    }
    // RFC 7797: what is signed is not what stands in the token. It should have been critical.
    if header.get("b64").is_some_and(|encoded| encoded != true) {
        return Err(unaccepted("its payload is not encoded (b64)"));
    }
    let algorithm = header.get("alg").and_then(Value::as_str);
    let algorithm = algorithm.ok_or_else(|| {
        malformed("its header names no algorithm (alg)")
            .saying("Jwt header [alg] field is required and must be a string")
    })?;
    let algorithm = Algorithm::named(algorithm);
    let algorithm = algorithm.ok_or_else(|| unaccepted("its algorithm (alg) is not accepted"))?;
    let key = match header.remove("kid") {
        None => None,
        Some(Value::String(key)) => Some(key).filter(|key| !key.is_empty()),
        Some(_) => {
            let fault = malformed("its header's kid is no text");
            return Err(fault.saying("Jwt header [kid] field is not a string"));
        }
    };
    Ok((algorithm, key))
}

#[cfg(test)]
mod tests;
