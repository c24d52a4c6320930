//! Of the rules of a policy the first that matches is told.

use ambit_model::RequestRule;
use serde_json::{Value, json};

use super::asking::{Ask, matched_by, web};
use super::written;

use ambit_model::RequestAction::{Allow, Audit, Deny};

/// Rules that match `GET /cart` from `shop/web`, and rules that do not.
fn yes() -> RequestRule {
    written::rule(&json!({"to": [{"operation": {"paths": ["/cart"]}}]}))
}

fn no() -> RequestRule {
    written::rule(&json!({"to": [{"operation": {"paths": ["/other"]}}]}))
}

#[test]
fn a_policy_matches_by_any_rule_and_the_first_is_told() {
    let all = RequestRule::default;
    for (rules, expected) in [
        (vec![], None),
        (vec![no()], None),
        (vec![no(), no()], None),
        (vec![yes()], Some(0)),
        (vec![no(), yes(), yes()], Some(1)),
        (vec![no(), no(), yes()], Some(2)),
        (vec![all()], Some(0)),
        (vec![no(), all()], Some(1)),
    ] {
        for action in [Allow, Deny, Audit] {
            let matched = matched_by(action, &rules, &web());
            assert_eq!(matched, expected, "{action:?} {rules:?}");
        }
    }
}

#[test]
fn identities_tokens_and_plaintext_meet_the_usual_policies() {
    let rule = |written: Value| vec![written::rule(&written)];
    let needs_token = rule(json!({"from": [{"source": {"notRequestPrincipals": ["*"]}}]}));
    let needs_identity = rule(json!({"from": [{"source": {"notPrincipals": ["*"]}}]}));
    let allows_web = rule(json!({
        "from": [{"source": {"serviceAccounts": ["web"]}}],
        "to": [{"operation": {"methods": ["GET"], "paths": ["/cart", "/items/{*}"]}}],
        "when": [{"key": "request.auth.claims[groups]", "values": ["buyers"]}],
    }));
    let token = |groups: &str| json!({"iss": "i", "sub": "s", "groups": [groups]});
    let buyer = || web().claims(token("buyers"));
    // Without a token, without an identity, and what is allowed.
    for (ask, expected) in [
        (web(), [true, false, false]),
        (buyer(), [false, false, true]),
        (buyer().plaintext(), [false, true, false]),
        (web().claims(token("sellers")), [false, false, false]),
        (buyer().path("/items/7"), [false, false, true]),
        (buyer().path("/items/7/x"), [false, false, false]),
        (buyer().method("PUT"), [false, false, false]),
    ] {
        let matches = |action, rules: &[RequestRule]| matched_by(action, rules, &ask).is_some();
        let told = [
            matches(Deny, &needs_token),
            matches(Deny, &needs_identity),
            matches(Allow, &allows_web),
        ];
        assert_eq!(told, expected, "{ask:?}");
    }
}

#[test]
fn the_first_rule_that_matches_is_named_whether_it_names_identities_or_not() {
    let of = |principals: &[&str], path: &str| {
        written::rule(&json!({
            "from": principals.iter().map(|one| json!({"source": {"principals": [one]}})).collect::<Vec<_>>(),
            "to": [{"operation": {"paths": [path]}}],
        }))
    };
    let (web, other) = (
        "cluster.local/ns/shop/sa/web",
        "cluster.local/ns/shop/sa/other",
    );
    let condition = written::rule(&json!({
        "when": [{"key": "source.principal", "values": [other]}],
    }));
    let rules = [
        of(&[other], "/cart"),
        condition,
        of(&[web], "/other"),
        of(&["*/web"], "/else"),
        of(&[other, web], "/cart"),
        of(&["*/sa/web"], "/cart"),
        yes(),
    ];
    for (first, expected) in [(0, 4), (5, 0), (6, 0)] {
        let matched = matched_by(Allow, &rules[first..], &super::asking::web());
        assert_eq!(matched, Some(expected), "{first}");
    }
    // A client without an identity is of no principal.
    let stranger = Ask {
        peer: None,
        ..super::asking::web()
    };
    assert_eq!(matched_by(Deny, &rules, &stranger), Some(6));
    assert_eq!(matched_by(Allow, &rules[..6], &stranger), None);
}
