use std::sync::LazyLock;

use serde_json::json;

use super::*;
use crate::testing::{Signer, key_set};

static RSA: LazyLock<Signer> = LazyLock::new(Signer::rsa);
static CURVE: LazyLock<Signer> = LazyLock::new(|| Signer::curve("ES256"));

fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
    key[name] = value.into();
    key
}

fn without(mut key: Value, name: &str) -> Value {
    key.as_object_mut().unwrap().remove(name);
    key
}

/// Why a key is not used; `None` if it is.
fn ignored(key: &Value) -> Option<&'static str> {
    match KeySet::parse(&key_set(std::slice::from_ref(key))) {
        Ok(_) => None,
        Err(KeySetError::NoneUsable(ignored)) => Some(ignored[0].why),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn keys_of_every_type_are_read() {
    let signers = [
        Signer::curve("ES256"),
        Signer::curve("ES384"),
        Signer::curve("ES512"),
        Signer::edwards(),
    ];
    let mut keys: Vec<Value> = signers.iter().map(|signer| signer.public("k")).collect();
    keys.push(RSA.public("k"));
    let set = KeySet::parse(&key_set(&keys)).unwrap();
    assert_eq!((set.usable(), set.ignored()), (5, &[][..]));
}

#[test]
fn keys_that_cannot_be_used_are_left_out() {
    let (rsa, curve) = (RSA.public("k"), CURVE.public("k"));
    let modulus = |bytes: usize| base64url::encode(&vec![0xa5; bytes]);
    let whys = [
        (with(rsa.clone(), "use", "enc"), "use"),
        (with(rsa.clone(), "use", 1), "a text"),
        (with(rsa.clone(), "key_ops", json!(["encrypt"])), "key_ops"),
        (with(rsa.clone(), "key_ops", "verify"), "key_ops"),
        (with(rsa.clone(), "d", "AQAB"), "private"),
        (with(rsa.clone(), "alg", "ES256"), "of its type"),
        (with(rsa.clone(), "alg", "RSA-OAEP"), "alg"),
        (with(rsa.clone(), "alg", "HS256"), "alg"),
        (with(rsa.clone(), "alg", "none"), "alg"),
        (with(rsa.clone(), "alg", 1), "a text"),
        (with(rsa.clone(), "kid", 1), "a text"),
        (with(rsa.clone(), "n", modulus(128)), "2048"),
        (with(rsa.clone(), "n", modulus(255)), "2048"),
        (with(rsa.clone(), "n", modulus(1025)), "8192"),
        (with(rsa.clone(), "n", ""), "2048"),
        (with(rsa.clone(), "n", "+/=="), "base64url"),
        (with(rsa.clone(), "e", "AQ"), "exponent"),
        (with(rsa.clone(), "e", "Ag"), "exponent"),
        (with(rsa.clone(), "e", ""), "exponent"),
        (with(rsa.clone(), "e", "AQAAAAAB"), "exponent"),
        (without(rsa.clone(), "n"), "missing"),
        (without(rsa.clone(), "e"), "missing"),
        (without(rsa.clone(), "kty"), "kty"),
        (with(rsa.clone(), "kty", "rsa"), "kty"),
        (with(rsa.clone(), "kty", "AKP"), "kty"),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "secret"),
        (json!({"kty": "OKP", "crv": "X25519", "x": "AA"}), "crv"),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), "curve"),
        (with(curve.clone(), "crv", "secp256k1"), "crv"),
        (with(curve.clone(), "crv", "P-384"), "length"),
        (with(curve.clone(), "x", modulus(32)), "on its curve"),
        (with(curve.clone(), "alg", "ES384"), "of its type"),
        (without(curve.clone(), "y"), "missing"),
        (json!({}), "kty"),
    ];
    for (key, why) in whys {
        let told = ignored(&key).unwrap_or_else(|| panic!("{key} is used"));
        assert!(told.contains(why), "{key}: {told}");
        // The others count.
        let both = KeySet::parse(&key_set(&[key, curve.clone()])).unwrap();
        assert_eq!((both.usable(), both.ignored().len()), (1, 1));
    }
    for good in [
        with(rsa.clone(), "use", "sig"),
        with(rsa.clone(), "key_ops", json!(["sign", "verify"])),
        with(rsa.clone(), "alg", "PS384"),
        with(rsa.clone(), "x5c", json!(["not", "looked", "at"])),
        with(rsa, "x5t", 1),
        with(Signer::edwards().public("k"), "alg", "Ed25519"),
    ] {
        assert_eq!(ignored(&good), None, "{good}");
    }
}

#[test]
fn sets_are_read_strictly_and_within_bounds() {
    let key = CURVE.public("k").to_string();
    for bad in [
        String::new(),
        "null".into(),
        "[]".into(),
        format!("[{key}]"),
        key.clone(),
        r#"{"keys":{}}"#.into(),
        r#"{"keys":["k"]}"#.into(),
        r#"{"keys":[[]]}"#.into(),
        format!(r#"{{"keys":[{key}],"keys":[{key}]}}"#),
        format!(r#"{{"keys":[{}]}}"#, key.replacen('{', r#"{"kid":"k","#, 1)),
        format!(r#"{{"keys":[{key}]}}<html>"#),
        format!(r#"{{"keys":{}{}}}"#, "[".repeat(1000), "]".repeat(1000)),
        "<html>not found</html>".into(),
    ] {
        assert_eq!(KeySet::parse(&bad).unwrap_err(), KeySetError::Form, "{bad}");
    }
    let none = KeySet::parse(r#"{"keys":[]}"#).unwrap_err();
    assert_eq!(none, KeySetError::NoneUsable(Vec::new()));
    let many = vec![CURVE.public("k"); 65];
    let error = KeySet::parse(&key_set(&many)).unwrap_err();
    assert_eq!(error, KeySetError::TooMany(65));
    let long = format!(r#"{{"keys":[{key}],"more":"{}"}}"#, "x".repeat(1 << 17));
    let error = KeySet::parse(&long).unwrap_err();
    assert_eq!(error, KeySetError::TooLong(long.len()));
}

#[test]
fn names_choose_keys() {
    let (one, other) = (Signer::curve("ES256"), Signer::curve("ES256"));
    let (message, signed) = (b"message", one.sign("ES256", b"message"));
    let try_with = |keys: &[Value], id: Option<&str>, algorithm: Algorithm| {
        let set = KeySet::parse(&key_set(keys)).unwrap();
        set.verify(algorithm, id, message, &signed)
    };
    let (first, second) = (one.public("1"), other.public("2"));
    let both = [first.clone(), second.clone()];
    let es256 = Algorithm::Es256;
    assert_eq!(try_with(&both, Some("1"), es256), Ok(()));
    assert_eq!(try_with(&both, None, es256), Ok(()));
    assert_eq!(try_with(&both, Some("2"), es256), Err(KeyFault::Signature));
    assert_eq!(try_with(&both, Some("3"), es256), Err(KeyFault::NoneFits));
    assert_eq!(
        try_with(&both, Some("1"), Algorithm::Es384),
        Err(KeyFault::NoneFits)
    );
    assert_eq!(
        try_with(&both, Some("1"), Algorithm::Rs256),
        Err(KeyFault::NoneFits)
    );
    // A key without a name is tried for every name, and one of the same name with another.
    let unnamed = without(first.clone(), "kid");
    assert_eq!(try_with(&[unnamed, second], Some("3"), es256), Ok(()));
    let twins = [other.public("1"), first.clone()];
    assert_eq!(try_with(&twins, Some("1"), es256), Ok(()));
    // Only so many.
    let mut many = vec![other.public("x"); 8];
    assert_eq!(try_with(&many, None, es256), Err(KeyFault::Signature));
    many.push(first);
    assert_eq!(try_with(&many, None, es256), Err(KeyFault::TooManyFit));
    assert_eq!(try_with(&many, Some("1"), es256), Ok(()));
}

#[test]
fn errors_tell_why() {
    let weak = with(RSA.public("k"), "use", "enc");
    let error = KeySet::parse(&key_set(&[weak])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("(key 0: it is not for signatures (use))")
    );
}
