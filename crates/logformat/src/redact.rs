//! What must not be in logs, and is masked in them.
//!
//! Headers that carry secrets are masked whole. In headers that carry addresses, which are `:path`,
//! `referer`, `location` and the like, the values of certain parameters are: their names are
//! compared without regard to capitals, `-` and `_`, and however they are encoded. Addresses
//! within parameters are not looked into.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::escape::Sink;

/// What is written in place of a secret.
pub const REDACTED: &str = "REDACTED";

/// Headers that are masked by default.
const HEADERS: &[&str] = &[
    "api-key",
    "apikey",
    "authentication-info",
    "authorization",
    "cookie",
    "private-token",
    "proxy-authorization",
    "set-cookie",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-forwarded-access-token",
    "x-goog-api-key",
    "x-session-token",
    "x-vault-token",
    "x-xsrf-token",
];

/// Parameters that are masked by default, as they are compared.
const PARAMETERS: &[&str] = &[
    "accesstoken",
    "apikey",
    "apitoken",
    "assertion",
    "auth",
    "authorization",
    "authtoken",
    "clientassertion",
    "clientsecret",
    "code",
    "idtoken",
    "jwt",
    "passwd",
    "password",
    "privatetoken",
    "pwd",
    "refreshtoken",
    "samlresponse",
    "secret",
    "sessionid",
    "sessiontoken",
    "sig",
    "signature",
    "token",
    "xamzcredential",
    "xamzsecuritytoken",
    "xamzsignature",
    "xgoogcredential",
    "xgoogsignature",
];

/// Headers that are addresses.
const ADDRESSES: &[&str] = &[
    ":path",
    "content-location",
    "location",
    "referer",
    "x-envoy-original-path",
    "x-forwarded-uri",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

/// What is done with the value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It is written as it is.
    Plain,
    /// It is written without the values of some parameters.
    Address,
    /// It is not written.
    Secret,
}

/// What is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    headers: BTreeSet<Cow<'static, str>>,
    /// As they are compared.
    parameters: BTreeSet<Cow<'static, str>>,
}

impl Default for Redaction {
    /// What is usual for secrets.
    fn default() -> Self {
        let set = |names: &[&'static str]| names.iter().copied().map(Cow::Borrowed).collect();
        Self {
            headers: set(HEADERS),
            parameters: set(PARAMETERS),
        }
    }
}

impl Redaction {
    /// Nothing is masked.
    pub fn off() -> Self {
        Self {
            headers: BTreeSet::new(),
            parameters: BTreeSet::new(),
        }
    }

    /// Masks this header or trailer, too.
    #[must_use]
    pub fn with_header(mut self, name: &str) -> Self {
        self.headers.insert(name.to_ascii_lowercase().into());
        self
    }

    /// Masks this parameter of addresses, too.
    #[must_use]
    pub fn with_parameter(mut self, name: &str) -> Self {
        let name: Vec<u8> = compared(name.as_bytes()).collect();
        let name = String::from_utf8_lossy(&name).into_owned();
        self.parameters.insert(name.into());
        self
    }

    /// Whether a header of this name, in small letters, may hold a secret, or part of it may.
    pub fn withholds(&self, name: &str) -> bool {
        self.of_header(name) != Treatment::Plain
    }

    /// What is done with a header of this name.
    pub(crate) fn of_header(&self, name: &str) -> Treatment {
        if self.headers.contains(name) {
            Treatment::Secret
        } else if ADDRESSES.contains(&name) && !self.parameters.is_empty() {
            Treatment::Address
        } else {
            Treatment::Plain
        }
    }

    /// An address without its secrets.
    pub fn address(&self, address: &[u8]) -> Vec<u8> {
        let mut written = Vec::with_capacity(address.len());
        self.each_piece(address, |piece| written.extend_from_slice(piece));
        written
    }

    /// Writes an address without its secrets.
    pub(crate) fn put_address(&self, address: &[u8], sink: &mut Sink<'_>) {
        self.each_piece(address, |piece| sink.put(piece));
    }

    fn each_piece(&self, address: &[u8], mut put: impl FnMut(&[u8])) {
        let is_end = |byte: &u8| matches!(byte, b'?' | b'&' | b';' | b'#');
        // Each piece but the first begins with what separates it from the one before.
        let mut rest = address;
        while let Some((first, others)) = rest.split_first() {
            let length = others.iter().position(is_end).unwrap_or(others.len());
            let (piece, after) = others.split_at_checked(length).unwrap_or((others, &[]));
            put(&[*first]);
            match piece.iter().position(|byte| *byte == b'=') {
                Some(equals) if is_end(first) && self.is_secret(piece.get(..equals)) => {
                    put(piece.get(..=equals).unwrap_or_default());
                    put(REDACTED.as_bytes());
                }
                _ => put(piece),
            }
            rest = after;
        }
    }

    fn is_secret(&self, name: Option<&[u8]>) -> bool {
        let name = name.unwrap_or_default();
        let mut known = self.parameters.iter();
        known.any(|known| compared(name).eq(known.bytes()))
    }
}

/// A name as it is compared: decoded, in small letters, without what separates words.
fn compared(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = name;
    let decoded = std::iter::from_fn(move || {
        if let [b'%', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(*first)
    });
    decoded
        .filter(|byte| !matches!(byte, b'-' | b'_'))
        .map(|byte| byte.to_ascii_lowercase())
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests;
