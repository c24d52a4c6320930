//! Tokens that were found good are found again, and only as long as they are.

use super::*;

struct Kept {
    cache: Arc<Cache>,
    verifier: Verifier,
}

impl Kept {
    fn new(rules: Vec<JwtRule>) -> Self {
        let cache = cache();
        let verifier = Verifier::new(&objects(rules), &cache).unwrap();
        Self { cache, verifier }
    }

    /// The next verifier of other rules, and what its requests are judged by.
    fn then(&mut self, rules: Vec<JwtRule>) {
        self.verifier = Verifier::new(&objects(rules), &self.cache).unwrap();
    }

    /// The verdict, and whether it came from the cache.
    fn verdict(&self, token: &str) -> (Result<(), Reason>, bool) {
        let before = self.cache.counts().hits;
        let verdict = verdict(&self.verifier, token);
        (verdict, self.cache.counts().hits > before)
    }
}

#[test]
fn a_good_token_is_verified_once() {
    let kept = Kept::new(vec![ALICE.rule(), BOB.rule()]);
    for issuer in [&ALICE, &BOB] {
        let token = issuer.token();
        assert_eq!(kept.verdict(&token), (Ok(()), false));
        assert_eq!(kept.verdict(&token), (Ok(()), true));
        let expected = format!("{}/me", issuer.name);
        assert_eq!(principal(&kept.verifier, &token), Ok(Some(expected)));
    }
    // The same claims, shared.
    let parts = bearing(&ALICE.token());
    let claims = || judge(&kept.verifier, &parts).unwrap().unwrap();
    assert!(Arc::ptr_eq(&claims(), &claims()));
}

#[test]
fn time_is_looked_at_every_time() {
    let kept = Kept::new(vec![ALICE.rule()]);
    let parts = bearing(&ALICE.token_with("nbf", NOW - 3600));
    let judge_at = |seconds: u64| {
        let judged = kept.verifier.judge(&Head::of(&parts), at(seconds));
        judged.map(drop).map_err(|refusal| refusal.reason)
    };
    for _ in 0..2 {
        assert_eq!(judge_at(NOW), Ok(()));
        assert_eq!(judge_at(NOW + 3660), Ok(()));
        assert_eq!(judge_at(NOW + 3661), Err(Reason::Expired));
        assert_eq!(judge_at(NOW - 3661), Err(Reason::NotYetValid));
    }
    assert_eq!(kept.cache.counts().hits, 7);
}

#[test]
fn bad_tokens_drive_out_nothing() {
    let kept = Kept::new(vec![ALICE.rule()]);
    let good = ALICE.token();
    kept.verdict(&good).0.unwrap();
    let held = kept.cache.counts().tokens;
    let (signed, _) = good.rsplit_once('.').unwrap();
    for number in 0..2000_u32 {
        let signature = crate::base64url::encode(&[&[7; 60], &number.to_be_bytes()[..]].concat());
        let bad = format!("{signed}.{signature}");
        assert_eq!(kept.verdict(&bad), (Err(Reason::Signature), false));
    }
    assert_eq!(kept.cache.counts().tokens, held);
    assert_eq!(kept.verdict(&good), (Ok(()), true));
}

#[test]
fn other_keys_make_kept_tokens_void() {
    let old = Signer::curve("ES256");
    let new = Signer::curve("ES256");
    let with = |keys: &[Value]| JwtRule {
        jwks: Some(key_set(keys).into()),
        ..ALICE.rule()
    };
    let token = |signer: &Signer, id: &str| {
        signer.token(&json!({"alg": "ES256", "kid": id}), &ALICE.claims())
    };
    let (of_old, of_new) = (token(&old, "old"), token(&new, "new"));
    let mut kept = Kept::new(vec![with(&[old.public("old")])]);
    assert_eq!(kept.verdict(&of_old), (Ok(()), false));
    assert_eq!(kept.verdict(&of_new).0, Err(Reason::UnknownKey));
    kept.then(vec![with(&[old.public("old"), new.public("new")])]);
    assert_eq!(kept.verdict(&of_old), (Ok(()), false), "keys have changed");
    assert_eq!(kept.verdict(&of_new), (Ok(()), false));
    kept.then(vec![with(&[new.public("new")])]);
    assert_eq!(kept.verdict(&of_old), (Err(Reason::UnknownKey), false));
    assert_eq!(kept.verdict(&of_new).0, Ok(()));
    // A new key under the old name.
    kept.then(vec![with(&[old.public("new")])]);
    assert_eq!(kept.verdict(&of_new), (Err(Reason::Signature), false));
    kept.then(vec![JwtRule {
        jwks: None,
        ..ALICE.rule()
    }]);
    assert_eq!(kept.verdict(&of_new), (Err(Reason::NoKeys), false));
}

#[test]
fn other_rules_make_kept_tokens_void() {
    let token = ALICE.token_with("aud", "shop");
    let mut kept = Kept::new(vec![ALICE.rule()]);
    kept.verdict(&token).0.unwrap();
    let cart = JwtRule {
        audiences: vec!["cart".into()],
        ..ALICE.rule()
    };
    kept.then(vec![cart]);
    assert_eq!(kept.verdict(&token), (Err(Reason::Audience), false));
    kept.then(vec![BOB.rule()]);
    assert_eq!(kept.verdict(&token), (Err(Reason::UnknownIssuer), false));
    // The same rules find it again, also of another object, and before others.
    kept.then(vec![ALICE.rule()]);
    assert_eq!(kept.verdict(&token), (Ok(()), true));
}

#[test]
fn a_named_issuer_takes_its_tokens_from_the_rule_for_anybody() {
    let anybody = JwtRule {
        issuer: None,
        ..BOB.rule()
    };
    let elsewhere = JwtRule {
        from_cookies: vec!["session".into()],
        ..ALICE.rule()
    };
    let token = BOB.token_with("iss", ALICE.name);
    let mut kept = Kept::new(vec![anybody.clone()]);
    assert_eq!(kept.verdict(&token).0, Ok(()));
    kept.then(vec![anybody, elsewhere]);
    assert_eq!(kept.verdict(&token), (Err(Reason::UnknownIssuer), false));
}

#[test]
fn a_token_is_kept_for_its_place() {
    let place = |issuer: &Issuer, header: &str| JwtRule {
        from_headers: vec![TokenHeader {
            name: header.into(),
            prefix: "".into(),
        }],
        ..issuer.rule()
    };
    let rules = vec![place(&ALICE, "x-alice"), place(&BOB, "x-bob")];
    let verifier = verifier(rules);
    let token = ALICE.token();
    let good = request("/", &[("x-alice", &token)]);
    let elsewhere = request("/", &[("x-bob", &token)]);
    for _ in 0..2 {
        assert!(judge(&verifier, &good).is_ok());
        assert_eq!(judge(&verifier, &elsewhere), Err(Reason::UnknownIssuer));
    }
}
