//! Issuers of tokens for tests: real keys, made on the spot.
//!
//! Only there with feature `testing`, which only dev-dependencies turn on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot make its tokens has failed"
)]

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};

use crate::base64url::encode;

/// A pair of keys.
#[derive(Debug)]
pub enum Signer {
    /// RSA, for RS256 to PS512.
    Rsa(RsaKeyPair),
    /// A curve, for ES256 to ES512.
    Curve(EcdsaKeyPair, &'static str),
    /// Ed25519, for `EdDSA`.
    Edwards(Ed25519KeyPair),
}

impl Signer {
    /// A new pair of RSA keys of 2048 bits; this takes a moment.
    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    /// A new pair for ES256, ES384 or ES512.
    pub fn curve(algorithm: &str) -> Self {
        let (signing, curve): (&'static EcdsaSigningAlgorithm, _) = match algorithm {
            "ES256" => (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            _ => (&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
        };
        Self::Curve(EcdsaKeyPair::generate(signing).unwrap(), curve)
    }

    /// A new pair of Ed25519.
    pub fn edwards() -> Self {
        Self::Edwards(Ed25519KeyPair::generate().unwrap())
    }

    /// The public key as a JSON Web Key, with that name.
    pub fn public(&self, id: &str) -> Value {
        let mut key = match self {
            Self::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": encode(&n), "e": encode(&e)})
            }
            Self::Curve(pair, curve) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Self::Edwards(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
        };
        key["kid"] = id.into();
        key
    }

    /// The public key in DER, as somebody might take it for a secret.
    pub fn der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Curve(pair, _) => pair.public_key().as_ref().to_vec(),
            Self::Edwards(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// Signs by an algorithm of the key.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &dyn RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signed).unwrap();
                signed
            }
            Self::Curve(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Edwards(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token of this header, signed by the algorithm that it names, and of these claims.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// The same of texts, which need not be JSON.
    pub fn token_of(&self, header: &str, claims: &str) -> String {
        let named: Option<Value> = serde_json::from_str(header).ok();
        let named = named.and_then(|header| Some(header.get("alg")?.as_str()?.to_owned()));
        let signed = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(claims.as_bytes())
        );
        let signature = self.sign(named.as_deref().unwrap_or_default(), signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }
}

/// A set of keys, as text.
pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Modulus and exponent of a public key in PKCS #1.
fn rsa_numbers(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (_, numbers) = der_value(der).unwrap();
    let (after, n) = der_value(numbers).unwrap();
    let (_, e) = der_value(after).unwrap();
    let bare = |number: &[u8]| {
        number
            .iter()
            .copied()
            .skip_while(|byte| *byte == 0)
            .collect()
    };
    (bare(n), bare(e))
}

/// What follows the first value of DER, and the value.
fn der_value(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, length, rest @ ..] = der else {
        return None;
    };
    let (length, rest) = match length {
        0..=127 => (usize::from(*length), rest),
        _ => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 127))?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
    };
    let (value, after) = rest.split_at_checked(length)?;
    Some((after, value))
}
