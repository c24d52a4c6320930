//! Judgement of requests by real keys. [`Issuer`] is one with a key of its own; a [`Mesh`] of rules
//! judges what is sent.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambit_model::{ClaimHeader, JwtRule, PolicyName, RequestAuthentication, TokenHeader};
use http::request::Parts;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

use super::*;
use crate::cache::Cache;
use crate::claims::Claims;
use crate::testing::{Signer, key_set};

mod kept;
mod mutations;
mod requests;
mod signatures;

const NOW: u64 = 1_800_000_000;

static ALICE: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("https://alice.example"));
static BOB: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("https://bob.example"));

struct Issuer {
    name: &'static str,
    key: Signer,
}

impl Issuer {
    fn new(name: &'static str) -> Self {
        let key = Signer::curve("ES256");
        Self { name, key }
    }

    /// A rule for its tokens. Both issuers call their keys the same.
    fn rule(&self) -> JwtRule {
        JwtRule {
            issuer: Some(self.name.into()),
            jwks: Some(key_set(&[self.key.public("key")]).into()),
            ..JwtRule::default()
        }
    }

    /// Claims of a good token.
    fn claims(&self) -> Value {
        json!({"iss": self.name, "sub": "me", "exp": NOW + 3600})
    }

    fn token(&self) -> String {
        self.token_of(&self.claims())
    }

    /// The same with one claim different.
    fn token_with(&self, claim: &str, value: impl Into<Value>) -> String {
        let mut claims = self.claims();
        claims[claim] = value.into();
        self.token_of(&claims)
    }

    fn token_of(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": "key", "typ": "JWT"});
        self.key.token(&header, claims)
    }
}

fn cache() -> Arc<Cache> {
    Arc::new(Cache::new(1 << 20).unwrap())
}

fn objects(rules: Vec<JwtRule>) -> Vec<RequestAuthentication> {
    let rules = rules.into_iter().enumerate();
    let objects = rules.map(|(index, rule)| RequestAuthentication {
        name: PolicyName::new("shop", format!("jwt-{index}")),
        rules: vec![rule],
    });
    objects.collect()
}

fn verifier(rules: Vec<JwtRule>) -> Verifier {
    Verifier::new(&objects(rules), &cache()).unwrap()
}

fn now() -> SystemTime {
    at(NOW)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A request of these headers.
fn request(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get(target);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    request.body(()).unwrap().into_parts().0
}

/// A request with a token in the usual header.
fn bearing(token: &str) -> Parts {
    request("/", &[("authorization", &format!("Bearer {token}"))])
}

fn judge(verifier: &Verifier, parts: &Parts) -> Result<Option<Arc<Claims>>, Reason> {
    let passed = verifier.judge(&Head::of(parts), now());
    let passed = passed.map_err(|refusal| refusal.reason)?;
    Ok(passed.claims().cloned())
}

/// The principal of a request with this token.
fn principal(verifier: &Verifier, token: &str) -> Result<Option<String>, Reason> {
    let claims = judge(verifier, &bearing(token))?;
    Ok(claims.and_then(|claims| claims.principal().map(str::to_owned)))
}

/// Whether it is good, or why not.
fn verdict(verifier: &Verifier, token: &str) -> Result<(), Reason> {
    principal(verifier, token).map(|principal| assert!(principal.is_some()))
}

/// The request after it has passed.
fn applied(verifier: &Verifier, mut parts: Parts) -> Parts {
    let passed = verifier.judge(&Head::of(&parts), now()).unwrap();
    passed.apply(&mut parts).unwrap();
    parts
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    let values = headers.get_all(name).into_iter();
    values.map(|value| value.to_str().unwrap()).collect()
}
