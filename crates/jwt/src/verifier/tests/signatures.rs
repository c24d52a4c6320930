//! Which tokens are good.

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use super::*;
use crate::base64url::encode;

static RSA: LazyLock<Signer> = LazyLock::new(Signer::rsa);

fn of_rsa() -> Issuer {
    Issuer::new("https://alice.example")
}

#[test]
fn every_algorithm() {
    let curves = ["ES256", "ES384", "ES512"];
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    let signers = curves.map(|curve| (curve, Signer::curve(curve)));
    let edwards = Signer::edwards();
    let signers = signers
        .iter()
        .map(|(algorithm, signer)| (*algorithm, signer));
    let signers = signers.chain(rsa.map(|algorithm| (algorithm, &*RSA)));
    let signers: Vec<_> = signers.chain([("EdDSA", &edwards)]).collect();
    for (algorithm, signer) in &signers {
        let rule = JwtRule {
            jwks: Some(key_set(&[signer.public("key")]).into()),
            ..ALICE.rule()
        };
        let verifier = verifier(vec![rule]);
        let header = json!({"alg": algorithm, "kid": "key"});
        let good = signer.token(&header, &ALICE.claims());
        assert_eq!(verdict(&verifier, &good), Ok(()), "{algorithm}");
        // As any other algorithm, the same signature is nothing.
        let (_, rest) = good.split_once('.').unwrap();
        for (other, _) in signers.iter().filter(|(other, _)| other != algorithm) {
            let header = json!({"alg": other, "kid": "key"}).to_string();
            let changed = format!("{}.{rest}", encode(header.as_bytes()));
            assert!(
                verdict(&verifier, &changed).is_err(),
                "{algorithm} as {other}"
            );
        }
    }
}

#[test]
fn a_key_is_for_the_algorithm_that_it_names() {
    let mut key = RSA.public("key");
    key["alg"] = "RS256".into();
    let rule = JwtRule {
        jwks: Some(key_set(&[key]).into()),
        ..of_rsa().rule()
    };
    let verifier = verifier(vec![rule]);
    let token = |algorithm: &str| RSA.token(&json!({"alg": algorithm}), &ALICE.claims());
    assert_eq!(verdict(&verifier, &token("RS256")), Ok(()));
    for other in ["RS384", "PS256", "PS512"] {
        let result = verdict(&verifier, &token(other));
        assert_eq!(result, Err(Reason::UnknownKey), "{other}");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let public = RSA.public("key");
    let set = key_set(std::slice::from_ref(&public));
    let rule = JwtRule {
        jwks: Some(set.as_str().into()),
        ..of_rsa().rule()
    };
    let verifier = verifier(vec![rule]);
    let modulus = public["n"].as_str().unwrap().as_bytes().to_vec();
    for secret in [RSA.der(), modulus, set.into_bytes(), Vec::new()] {
        for algorithm in ["HS256", "RS256", "none", "hs256"] {
            let header = json!({"alg": algorithm, "kid": "key"}).to_string();
            let claims = ALICE.claims().to_string();
            let signed = format!(
                "{}.{}",
                encode(header.as_bytes()),
                encode(claims.as_bytes())
            );
            let key = hmac::Key::new(HMAC_SHA256, &secret);
            let signature = hmac::sign(&key, signed.as_bytes());
            let token = format!("{signed}.{}", encode(signature.as_ref()));
            assert!(verdict(&verifier, &token).is_err(), "{algorithm}");
        }
    }
}

#[test]
fn no_algorithm_is_none() {
    let verifier = verifier(vec![ALICE.rule()]);
    let good = ALICE.token();
    let (_, payload) = good.split_once('.').unwrap();
    let (payload, signature) = payload.split_once('.').unwrap();
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        let header = encode(json!({"alg": algorithm}).to_string().as_bytes());
        for (signature, reason) in [
            ("", Reason::Malformed),
            ("AA", Reason::Algorithm),
            (signature, Reason::Algorithm),
        ] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(verdict(&verifier, &token), Err(reason), "{algorithm}");
        }
    }
}

#[test]
fn a_key_that_the_token_brings_is_not_believed() {
    let verifier = verifier(vec![ALICE.rule()]);
    let own = Signer::curve("ES256");
    for header in [
        json!({"alg": "ES256", "kid": "key", "jwk": own.public("key")}),
        json!({"alg": "ES256", "kid": "key", "jku": "https://evil.example/keys"}),
        json!({"alg": "ES256", "kid": "key", "x5u": "https://evil.example/x", "x5c": ["AAAA"]}),
        json!({"alg": "ES256", "kid": "key"}),
        json!({"alg": "ES256"}),
    ] {
        let token = own.token(&header, &ALICE.claims());
        assert_eq!(
            verdict(&verifier, &token),
            Err(Reason::Signature),
            "{header}"
        );
    }
    let unknown = own.token(&json!({"alg": "ES256", "kid": "other"}), &ALICE.claims());
    assert_eq!(verdict(&verifier, &unknown), Err(Reason::UnknownKey));
    let traversing = json!({"alg": "ES256", "kid": "../../dev/null"});
    let traversing = own.token(&traversing, &ALICE.claims());
    assert_eq!(verdict(&verifier, &traversing), Err(Reason::UnknownKey));
}

#[test]
fn signatures_of_a_curve_are_of_its_length() {
    let verifier = verifier(vec![ALICE.rule()]);
    let good = ALICE.token();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let signature = base64url(signature);
    let (r, s) = signature.split_at(32);
    for bad in [
        vec![0; 64],
        vec![0; 63],
        [&[0], r, &[0], s].concat(),
        [s, r].concat(),
        [r, &[0; 32]].concat(),
        [&[0; 32], s].concat(),
        [r, s, &[0]].concat(),
        r.to_vec(),
    ] {
        let token = format!("{signed}.{}", encode(&bad));
        assert_eq!(
            verdict(&verifier, &token),
            Err(Reason::Signature),
            "{bad:?}"
        );
    }
}

fn base64url(text: &str) -> Vec<u8> {
    crate::base64url::decode(text.as_bytes()).unwrap()
}

#[test]
fn issuers_are_told_apart() {
    let both = verifier(vec![BOB.rule(), ALICE.rule()]);
    for issuer in [&ALICE, &BOB] {
        let expected = format!("{}/me", issuer.name);
        assert_eq!(principal(&both, &issuer.token()), Ok(Some(expected)));
    }
    // Both call their keys the same, and neither speaks for the other.
    let forged = ALICE.token_with("iss", BOB.name);
    assert_eq!(verdict(&both, &forged), Err(Reason::Signature));
    let of_alice = verifier(vec![ALICE.rule()]);
    let unknown = Err(Reason::UnknownIssuer);
    assert_eq!(verdict(&of_alice, &BOB.token()), unknown);
    for issuer in ["", "https://alice.example/", "https://ALICE.example"] {
        let token = ALICE.token_with("iss", issuer);
        assert_eq!(verdict(&of_alice, &token), unknown, "{issuer}");
    }
    let mut nobody = ALICE.claims();
    nobody.as_object_mut().unwrap().remove("iss");
    assert_eq!(verdict(&of_alice, &ALICE.token_of(&nobody)), unknown);
}

#[test]
fn a_key_is_of_its_issuer() {
    let bobs = JwtRule {
        jwks: Some(key_set(&[BOB.key.public("bobs")]).into()),
        ..BOB.rule()
    };
    let both = verifier(vec![ALICE.rule(), bobs]);
    let header = json!({"alg": "ES256", "kid": "bobs"});
    let good = BOB.key.token(&header, &BOB.claims());
    assert_eq!(verdict(&both, &good), Ok(()));
    for signer in [&ALICE.key, &BOB.key] {
        let token = signer.token(&header, &ALICE.claims());
        assert_eq!(verdict(&both, &token), Err(Reason::UnknownKey));
    }
}

#[test]
fn a_rule_for_anybody_is_not_for_those_with_rules() {
    let anybody = JwtRule {
        issuer: None,
        ..BOB.rule()
    };
    let both = verifier(vec![anybody, ALICE.rule()]);
    for (issuer, result) in [
        ("https://bob.example", Ok(())),
        ("https://carol.example", Ok(())),
        (ALICE.name, Err(Reason::Signature)),
    ] {
        let token = BOB.token_with("iss", issuer);
        assert_eq!(verdict(&both, &token), result, "{issuer}");
    }
    assert_eq!(verdict(&both, &ALICE.token()), Ok(()));
}

#[test]
fn times() {
    let verifier = verifier(vec![ALICE.rule()]);
    let expired = Err(Reason::Expired);
    let early = Err(Reason::NotYetValid);
    let malformed = Err(Reason::Malformed);
    let cases: [(&str, Value, Result<(), Reason>); 20] = [
        ("exp", json!(NOW), Ok(())),
        ("exp", json!(NOW - 60), Ok(())),
        ("exp", json!(NOW - 61), expired),
        ("exp", json!(NOW as f64 - 59.5), Ok(())),
        ("exp", json!(NOW as f64 - 60.5), expired),
        ("exp", json!(0), expired),
        ("exp", json!(u64::MAX), Ok(())),
        ("exp", json!(1e300), malformed),
        ("exp", json!(-1), malformed),
        ("exp", json!("1900000000"), malformed),
        ("exp", json!(null), malformed),
        ("exp", json!([NOW + 10]), malformed),
        ("nbf", json!(NOW + 60), Ok(())),
        ("nbf", json!(NOW + 61), early),
        ("nbf", json!(0), Ok(())),
        ("nbf", json!(u64::MAX), early),
        ("nbf", json!(-1), malformed),
        ("nbf", json!("0"), malformed),
        ("iat", json!(NOW + 10_000), Ok(())),
        ("iat", json!("then"), malformed),
    ];
    for (claim, value, result) in cases {
        let token = ALICE.token_with(claim, value.clone());
        // Not only at first sight.
        for _ in 0..2 {
            assert_eq!(verdict(&verifier, &token), result, "{claim} {value}");
        }
    }
    let mut endless = ALICE.claims();
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(verdict(&verifier, &ALICE.token_of(&endless)), Ok(()));
    let parts = bearing(&ALICE.token());
    let wrong = verifier.judge(&Head::of(&parts), UNIX_EPOCH - Duration::from_secs(1));
    assert_eq!(wrong.unwrap_err().reason, Reason::Expired);
}

#[test]
fn audiences() {
    let asked = verifier(vec![JwtRule {
        audiences: vec!["shop".into(), "https://cart.example".into()],
        ..ALICE.rule()
    }]);
    let unasked = verifier(vec![ALICE.rule()]);
    let refused = Err(Reason::Audience);
    let malformed = Err(Reason::Malformed);
    for (audience, result) in [
        (json!("shop"), Ok(())),
        (json!(["other", "cart.example/"]), Ok(())),
        (json!("other"), refused),
        (json!("shopping"), refused),
        (json!([]), refused),
        (json!(""), refused),
        (json!(1), malformed),
        (json!(["shop", 1]), malformed),
        (json!({"shop": true}), malformed),
    ] {
        let token = ALICE.token_with("aud", audience.clone());
        assert_eq!(verdict(&asked, &token), result, "{audience}");
        let anybody = result.or_else(|reason| match reason {
            Reason::Audience => Ok(()),
            other => Err(other),
        });
        assert_eq!(verdict(&unasked, &token), anybody, "{audience}");
    }
    assert_eq!(verdict(&asked, &ALICE.token()), refused);
    assert_eq!(Reason::Audience.status(), 403);
    // Two rules for one issuer: either will do.
    let cart = JwtRule {
        audiences: vec!["cart".into()],
        ..ALICE.rule()
    };
    let shop = JwtRule {
        audiences: vec!["shop".into()],
        ..ALICE.rule()
    };
    let both = verifier(vec![cart, shop]);
    for (audience, result) in [("cart", Ok(())), ("shop", Ok(())), ("x", refused)] {
        let token = ALICE.token_with("aud", audience);
        assert_eq!(verdict(&both, &token), result, "{audience}");
    }
    let forged = BOB.token_of(&json!({"iss": ALICE.name, "aud": "shop"}));
    assert_eq!(verdict(&both, &forged), Err(Reason::Signature));
}

#[test]
fn claims_that_stand_twice_are_not_read() {
    let verifier = verifier(vec![ALICE.rule()]);
    let header = r#"{"alg":"ES256","kid":"key"}"#;
    let issuer = ALICE.name;
    for claims in [
        format!(r#"{{"iss":"{issuer}","sub":"me","exp":1,"exp":9999999999}}"#),
        format!(r#"{{"iss":"{issuer}","sub":"me","exp":9999999999,"\u0065xp":1}}"#),
        format!(r#"{{"iss":"x","iss":"{issuer}","sub":"me"}}"#),
        format!(r#"{{"iss":"{issuer}","sub":"me","a":{{"b":1,"b":2}}}}"#),
    ] {
        let token = ALICE.key.token_of(header, &claims);
        assert_eq!(
            verdict(&verifier, &token),
            Err(Reason::Malformed),
            "{claims}"
        );
    }
    let twice = r#"{"alg":"none","alg":"ES256","kid":"key"}"#;
    let token = ALICE.key.token_of(twice, &ALICE.claims().to_string());
    assert_eq!(verdict(&verifier, &token), Err(Reason::Malformed));
}

#[test]
fn without_keys_no_token_is_good() {
    for (keys, told) in [
        (None, "not been fetched"),
        (Some("<html>"), "no JSON object"),
        (Some(r#"{"keys":[]}"#), "no key"),
    ] {
        let rule = JwtRule {
            jwks: keys.map(Into::into),
            ..ALICE.rule()
        };
        let both = verifier(vec![rule, BOB.rule()]);
        assert_eq!(verdict(&both, &ALICE.token()), Err(Reason::NoKeys));
        assert_eq!(verdict(&both, &BOB.token()), Ok(()), "others are served");
        let problems: Vec<_> = both.key_problems().collect();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].issuer, Some(ALICE.name));
        let error = problems[0].error.unwrap().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn objects_that_are_wrong_are_not_used() {
    let rule = JwtRule {
        output_payload_to_header: Some("host".into()),
        ..ALICE.rule()
    };
    let error = Verifier::new(&objects(vec![BOB.rule(), rule]), &cache()).unwrap_err();
    assert_eq!(error.name, PolicyName::new("shop", "jwt-1"));
    assert_eq!(error.problem.field, "jwtRules[0].outputPayloadToHeader");
}

#[test]
fn refusals_name_object_and_place() {
    let verifier = verifier(vec![BOB.rule(), ALICE.rule()]);
    let refused = |parts: Parts| verifier.judge(&Head::of(&parts), now()).unwrap_err();
    let expired = refused(bearing(&BOB.token_with("exp", 1)));
    assert_eq!(expired.policy, Some(PolicyName::new("shop", "jwt-0")));
    assert_eq!(
        expired.to_string(),
        "jwt_expired: the token in header authorization: it ended 1799999999 s ago"
    );
    let unknown = BOB.token_with("iss", "\n\u{202e}evil");
    let unknown = refused(request(&format!("/?access_token={unknown}"), &[]));
    assert_eq!(
        unknown.to_string(),
        r#"jwt_unknown_issuer: the token in parameter access_token: its issuer is "\n\u{202e}evil""#
    );
    assert!(unknown.policy.is_some());
}
