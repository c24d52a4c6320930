//! Measures what a request with a token costs: the first time, and when it has been seen.
//!
//! `cargo run --release -p ambit-jwt --features testing --example verify`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program"
)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ambit_jwt::testing::{Signer, key_set};
use ambit_jwt::{Cache, Head, Verifier};
use ambit_model::{JwtRule, PolicyName, RequestAuthentication};
use http::Request;
use http::request::Parts;
use serde_json::json;

const TIME: Duration = Duration::from_secs(1);

fn main() {
    println!(
        "{:<10} {:>6} {:>10} {:>10} {:>10}",
        "", "bytes", "miss ns", "hit ns", "none ns"
    );
    measure("RS256", &Signer::rsa());
    measure("PS256", &Signer::rsa());
    measure("ES256", &Signer::curve("ES256"));
    measure("EdDSA", &Signer::edwards());
}

fn measure(algorithm: &str, signer: &Signer) {
    let rule = JwtRule {
        issuer: Some("https://issuer.example".into()),
        jwks: Some(key_set(&[signer.public("key")]).into()),
        output_payload_to_header: Some("x-payload".into()),
        ..JwtRule::default()
    };
    let object = RequestAuthentication {
        name: PolicyName::new("shop", "jwt"),
        rules: vec![rule],
    };
    let claims = json!({
        "iss": "https://issuer.example",
        "sub": "5b1e0000-0000-4000-8000-000000000001",
        "aud": ["shop", "account"],
        "azp": "web",
        "exp": 4_000_000_000_u64,
        "realm_access": {"roles": ["offline_access", "uma_authorization", "customer"]},
        "resource_access": {"shop": {"roles": ["buyer"]}, "account": {"roles": ["view-profile"]}},
        "scope": "openid profile email",
        "email": "alice@shop.example",
    });
    let token = signer.token(&json!({"alg": algorithm, "kid": "key"}), &claims);
    let bearing = Request::get("/").header("authorization", format!("Bearer {token}"));
    let bearing = bearing.body(()).unwrap().into_parts().0;
    let without = Request::get("/").body(()).unwrap().into_parts().0;
    let verifier = |bytes: usize| {
        let cache = Arc::new(Cache::new(bytes).unwrap());
        Verifier::new([&object], &cache).unwrap()
    };
    let (keeping, forgetting) = (verifier(8 << 20), verifier(0));
    println!(
        "{algorithm:<10} {:>6} {:>10} {:>10} {:>10}",
        token.len(),
        each(&forgetting, &bearing),
        each(&keeping, &bearing),
        each(&keeping, &without),
    );
}

/// Nanoseconds of one judgement.
fn each(verifier: &Verifier, parts: &Parts) -> u128 {
    let (begin, mut number) = (Instant::now(), 0);
    let now = SystemTime::now();
    while begin.elapsed() < TIME {
        for _ in 0..100 {
            let passed = verifier.judge(&Head::of(parts), now).unwrap();
            drop(std::hint::black_box(passed));
        }
        number += 100;
    }
    begin.elapsed().as_nanos() / number
}
