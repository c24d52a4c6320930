//! Tokens of requests, and what issuers and control planes say of them.

use std::sync::{Arc, LazyLock};
use std::time::UNIX_EPOCH;

use ambit_jwt::{Cache, Head, KeySet, Verifier};
use ambit_model::{JwtRule, PolicyName, RequestAuthentication};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderValue, Request};

/// Nobody knows the private key any more.
const KEYS: &str = include_str!("../../corpus/key_set/edwards");
/// The one token that was signed with it.
const GOOD: &[u8] = include_bytes!("../../corpus/token/good");

static VERIFIER: LazyLock<Option<Verifier>> = LazyLock::new(|| {
    let usual = JwtRule {
        issuer: Some("https://issuer.example".into()),
        jwks: Some(KEYS.into()),
        output_payload_to_header: Some("x-payload".into()),
        ..JwtRule::default()
    };
    let cookie = JwtRule {
        from_cookies: vec!["session".into()],
        ..usual.clone()
    };
    let object = RequestAuthentication {
        name: PolicyName::new("shop", "jwt"),
        rules: vec![usual, cookie],
    };
    Verifier::new([&object], &Arc::new(Cache::new(1 << 20).ok()?)).ok()
});

/// Tokens: from clients, in a header, a cookie and a query. One is good, and nothing else.
pub fn token(bytes: &[u8]) {
    let Some(verifier) = &*VERIFIER else {
        unreachable!("the rules are good");
    };
    let requests = [
        in_header(AUTHORIZATION.as_str(), b"Bearer ", bytes),
        in_header(COOKIE.as_str(), b"session=", bytes),
        in_query(bytes),
    ];
    for request in requests.into_iter().flatten() {
        let mut parts = request.into_parts().0;
        let Ok(passed) = verifier.judge(&Head::of(&parts), UNIX_EPOCH) else {
            continue;
        };
        let has_claims = passed.claims().is_some();
        // Spaces, quotes, other cookies and parameters may stand beside it.
        let is_there = bytes.windows(GOOD.len()).any(|window| window == GOOD);
        assert!(!has_claims || is_there);
        assert!(passed.apply(&mut parts).is_ok());
        assert_eq!(parts.headers.contains_key("x-payload"), has_claims);
    }
}

fn in_header(name: &str, before: &[u8], token: &[u8]) -> Option<Request<()>> {
    let value = HeaderValue::from_bytes(&[before, token].concat()).ok()?;
    Request::get("/?a=b").header(name, value).body(()).ok()
}

fn in_query(token: &[u8]) -> Option<Request<()>> {
    // An escape is as good as what it stands for; then what is there cannot be told so simply.
    let plain = token.iter().all(|byte| byte.is_ascii() && *byte != b'%');
    let token = std::str::from_utf8(token).ok().filter(|_| plain)?;
    let target = format!("/cart?a=b&access_token={token}");
    Request::get(target).body(()).ok()
}

/// Key sets: from issuers.
pub fn key_set(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(keys) = KeySet::parse(text) {
        assert!(keys.usable() > 0);
    }
}

/// Rules: from a control plane. What is read can be written, and read again; what was checked can be
/// used.
pub fn authentication(bytes: &[u8]) {
    let Ok(object) = serde_json::from_slice::<RequestAuthentication>(bytes) else {
        return;
    };
    let written = serde_json::to_vec(&object);
    let read = written.and_then(|written| serde_json::from_slice(&written));
    assert_eq!(read.ok().as_ref(), Some(&object));
    let Ok(cache) = Cache::new(0) else {
        return;
    };
    let verifier = Verifier::new([&object], &Arc::new(cache));
    assert_eq!(verifier.is_ok(), object.check().is_ok());
}
