//! Sets of public keys (JSON Web Key Sets, RFC 7517).
//!
//! A set comes from an issuer over the network, or from whoever wrote the rule: it is read within
//! bounds and strictly. As the RFC asks, a key that is not understood or not for this use is left
//! out, and the others count; a set with nothing to verify with is an error.

use std::fmt;

use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::{base64url, json};

/// The largest sets in use, with chains of certificates that nobody asked for, are a quarter of it.
const MAX_BYTES: usize = 128 << 10;
const MAX_KEYS: usize = 64;
/// How many keys one token is tried with. Each costs as much as a whole request otherwise does.
const MAX_TRIES: usize = 8;
/// Bits of an RSA modulus.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Public keys of an issuer.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    ignored: Vec<IgnoredKey>,
}

/// A key of a set that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredKey {
    /// Which one, from 0.
    pub index: usize,
    /// Why.
    pub why: &'static str,
}

/// Why a set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// There is none.
    #[error("there is no key set: it has not been fetched yet, or cannot be")]
    Missing,
    /// It has too many bytes.
    #[error("the key set has {0} bytes, where {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// It has too many keys.
    #[error("the key set has {0} keys, where {MAX_KEYS} are allowed")]
    TooMany(usize),
    /// It is not `{"keys": [{...}, ...]}`.
    #[error("the key set is no JSON object with a list `keys` of objects, each name once")]
    Form,
    /// It has no key that signatures can be verified with.
    #[error("the key set has no key that a token could be verified with{}", told(.0))]
    NoneUsable(Vec<IgnoredKey>),
}

fn told(ignored: &[IgnoredKey]) -> String {
    let first = ignored.first();
    first.map_or_else(String::new, |key| {
        format!(" (key {}: {})", key.index, key.why)
    })
}

/// Why no key says that a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFault {
    /// None has the name that the token has, and its algorithm.
    NoneFits,
    /// More fit than are tried.
    TooManyFit,
    /// Those that fit say that it is not.
    Signature,
}

/// A key, ready for each of the algorithms that it is for.
struct Key {
    id: Option<Box<str>>,
    ready: Vec<(Algorithm, ParsedPublicKey)>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl KeySet {
    /// Reads a set.
    pub fn parse(text: &str) -> Result<Self, KeySetError> {
        if text.len() > MAX_BYTES {
            return Err(KeySetError::TooLong(text.len()));
        }
        let set = json::object(text.as_bytes()).ok_or(KeySetError::Form)?;
        let listed = set.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or(KeySetError::Form)?;
        if listed.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(listed.len()));
        }
        let (mut keys, mut ignored) = (Vec::new(), Vec::new());
        for (index, key) in listed.iter().enumerate() {
            let key = key.as_object().ok_or(KeySetError::Form)?;
            match read(key) {
                Ok(key) => keys.push(key),
                Err(why) => ignored.push(IgnoredKey { index, why }),
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::NoneUsable(ignored));
        }
        Ok(Self { keys, ignored })
    }

    /// How many of its keys are used.
    pub fn usable(&self) -> usize {
        self.keys.len()
    }

    /// Keys that are not used.
    pub fn ignored(&self) -> &[IgnoredKey] {
        &self.ignored
    }

    /// Verifies with the keys that fit: those of the token's name and those without one; all, if the
    /// token names none.
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyFault> {
        let named = self.keys.iter().filter(|key| match (id, &key.id) {
            (Some(id), Some(of_key)) => id == &**of_key,
            (None, _) | (_, None) => true,
        });
        let fitting = || {
            let ready = named.clone().flat_map(|key| &key.ready);
            ready.filter(|(of_key, _)| *of_key == algorithm)
        };
        match fitting().count() {
            0 => return Err(KeyFault::NoneFits),
            1..=MAX_TRIES => {}
            _ => return Err(KeyFault::TooManyFit),
        }
        let good = fitting().any(|(_, key)| key.verify_sig(message, signature).is_ok());
        good.then_some(()).ok_or(KeyFault::Signature)
    }
}

/// Makes a key ready, or says why it is not used.
fn read(key: &Map<String, Value>) -> Result<Key, &'static str> {
    let text = |name: &str| match key.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err("a member that must be a text is none"),
    };
    if text("use")?.is_some_and(|what| what != "sig") {
        return Err("it is not for signatures (use)");
    }
    if let Some(operations) = key.get("key_ops") {
        let listed = operations.as_array().ok_or("key_ops is no list")?;
        if !listed.iter().any(|operation| operation == "verify") {
            return Err("it is not to verify with (key_ops)");
        }
    }
    if key.contains_key("d") {
        return Err("it is a private key: it must not be known to anybody else, make another");
    }
    let id = text("kid")?.filter(|id| !id.is_empty()).map(Into::into);
    let only = match text("alg")? {
        None => None,
        Some(name) => Some(Algorithm::named(name).ok_or("its algorithm is none of ours (alg)")?),
    };
    let bytes = |name: &str| {
        let text = text(name)?.ok_or("a member of the key is missing")?;
        base64url::decode(text.as_bytes()).ok_or("a member of the key is no base64url")
    };
    let ready = match text("kty")?.ok_or("it has no type (kty)")? {
        "RSA" => rsa(&bytes("n")?, &bytes("e")?, only)?,
        "EC" => {
            let (algorithm, length) = match text("crv")?.ok_or("it has no curve (crv)")? {
                "P-256" => (Algorithm::Es256, 32),
                "P-384" => (Algorithm::Es384, 48),
                "P-521" => (Algorithm::Es512, 66),
                _ => return Err("its curve is none of ours (crv)"),
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != length || y.len() != length {
                return Err("its point is not of its curve's length");
            }
            // SEC 1, 2.3.3: a point that is not compressed.
            let point = [&[4], x.as_slice(), &y].concat();
            curve(algorithm, &point, only)?
        }
        "OKP" if text("crv")? == Some("Ed25519") => curve(Algorithm::EdDsa, &bytes("x")?, only)?,
        "OKP" => return Err("its curve is none of ours (crv)"),
        "oct" => return Err("it is a shared secret: whoever verifies with it can sign"),
        _ => return Err("its type is none of ours (kty)"),
    };
    Ok(Key { id, ready })
}

type Ready = Vec<(Algorithm, ParsedPublicKey)>;

fn rsa(n: &[u8], e: &[u8], only: Option<Algorithm>) -> Result<Ready, &'static str> {
    let (n, e) = (significant(n), significant(e));
    let leading = n.first().map_or(8, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&(n.len() * 8).saturating_sub(leading)) {
        return Err("its modulus has less than 2048 bits, or more than 8192");
    }
    // An exponent of 1 would make every text its own signature; long ones only take time.
    let is_odd = e.last().is_some_and(|byte| byte % 2 == 1);
    if !is_odd || e == [1] || e.len() > 4 {
        return Err("its exponent is not odd, or 1, or longer than four bytes");
    }
    let components = RsaPublicKeyComponents { n, e };
    let algorithms = Algorithm::OF_RSA.into_iter();
    let algorithms = algorithms.filter(|algorithm| only.is_none_or(|only| only == *algorithm));
    let ready = algorithms.map(|algorithm| {
        let parameters = algorithm.of_rsa().ok_or(DIFFERENT)?;
        let key = components.to_parsed_public_key(parameters);
        Ok((algorithm, key.map_err(|_unusable| "it is no key of RSA")?))
    });
    let ready: Ready = ready.collect::<Result<_, &'static str>>()?;
    if ready.is_empty() {
        return Err(DIFFERENT);
    }
    Ok(ready)
}

const DIFFERENT: &str = "its algorithm is not one of its type (alg)";

fn curve(
    algorithm: Algorithm,
    point: &[u8],
    only: Option<Algorithm>,
) -> Result<Ready, &'static str> {
    if only.is_some_and(|only| only != algorithm) {
        return Err(DIFFERENT);
    }
    let verification = algorithm.of_curve().ok_or(DIFFERENT)?;
    let key = ParsedPublicKey::new(verification, point);
    let key = key.map_err(|_unusable| "its point is not on its curve")?;
    Ok(vec![(algorithm, key)])
}

/// A number without the zeros that it begins with.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
