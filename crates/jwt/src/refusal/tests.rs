use std::collections::BTreeSet;

use super::*;

#[test]
fn every_reason_has_a_word_of_its_own() {
    let words: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert!(reason.word().starts_with("jwt_"));
        assert!(reason.status().is_client_error());
    }
}

#[test]
fn a_realm_cannot_end_its_quotes() {
    let refusal = Refusal {
        reason: Reason::Expired,
        policy: None,
        detail: String::new(),
        sentence: Reason::Expired.sentence(),
    };
    let challenge = |realm: &str| refusal.challenge(realm).to_str().unwrap().to_owned();
    assert_eq!(
        challenge("http://cart.shop/items"),
        r#"Bearer realm="http://cart.shop/items", error="invalid_token""#
    );
    assert_eq!(
        challenge("a\"\\, error=\r\nx: ä"),
        r#"Bearer realm="a, error=x: ", error="invalid_token""#
    );
    assert!(challenge(&"a".repeat(1000)).len() < 300);
}
