use ambit_model::{RequestAction, RequestPolicy, RequestRule};
use serde_json::{Value, json};

use super::asking::{Ask, policy, web};
use super::written;
use crate::{Decision, Policies};

use ambit_model::RequestAction::{Allow, Audit, Deny};

/// Rules that match `GET /cart` from `shop/web`, and rules that do not.
fn yes() -> RequestRule {
    written::rule(&json!({"to": [{"operation": {"paths": ["/cart"]}}]}))
}

fn no() -> RequestRule {
    written::rule(&json!({"to": [{"operation": {"paths": ["/other"]}}]}))
}

/// A policy of its name, which says `dry` if it is only tried.
fn named(name: &str, action: RequestAction, rules: &[RequestRule]) -> RequestPolicy {
    RequestPolicy {
        dry_run: name.starts_with("dry"),
        ..policy(name, action, rules.to_vec())
    }
}

/// Decision as text: `allowed`, `allowed by NAME/RULE`, `denied by NAME/RULE`, `not allowed`.
fn told(decision: Decision<'_>) -> String {
    match decision {
        Decision::Allowed(None) => "allowed".to_owned(),
        Decision::Allowed(Some(by)) => format!("allowed by {}/{}", by.policy.name, by.rule),
        Decision::Denied(by) => format!("denied by {}/{}", by.policy.name, by.rule),
        Decision::NotAllowed => "not allowed".to_owned(),
    }
}

type Row = (Vec<RequestPolicy>, &'static str);

fn check(rows: Vec<Row>, ask: &Ask) {
    for (policies, expected) in rows {
        let compiled = Policies::compile(&policies);
        let verdict = compiled.judge(&ask.attributes());
        assert_eq!(told(verdict.decision), expected, "{policies:#?}");
        let is_allowed = expected.starts_with("allowed");
        assert_eq!(verdict.decision.is_allowed(), is_allowed, "{expected}");
    }
}

#[test]
fn a_deny_that_matches_refuses_and_one_allow_must_match_if_there_is_one() {
    let rows = vec![
        (vec![], "allowed"),
        (vec![named("d", Deny, &[no()])], "allowed"),
        (vec![named("d", Deny, &[yes()])], "denied by d/0"),
        (vec![named("a", Allow, &[yes()])], "allowed by a/0"),
        (vec![named("a", Allow, &[no()])], "not allowed"),
        (
            vec![named("a", Allow, &[no()]), named("b", Allow, &[yes()])],
            "allowed by b/0",
        ),
        (
            vec![named("a", Allow, &[yes()]), named("b", Allow, &[yes()])],
            "allowed by a/0",
        ),
        (
            vec![named("a", Allow, &[yes()]), named("d", Deny, &[yes()])],
            "denied by d/0",
        ),
        (
            vec![named("a", Allow, &[yes()]), named("d", Deny, &[no()])],
            "allowed by a/0",
        ),
        (
            vec![named("a", Allow, &[no()]), named("d", Deny, &[no()])],
            "not allowed",
        ),
        (
            vec![named("d", Deny, &[yes()]), named("e", Deny, &[yes()])],
            "denied by d/0",
        ),
        (vec![named("u", Audit, &[yes()])], "allowed"),
        (
            vec![named("u", Audit, &[yes()]), named("a", Allow, &[no()])],
            "not allowed",
        ),
    ];
    check(rows, &web());
}

#[test]
fn a_policy_matches_by_any_rule_and_the_first_is_told() {
    let all = RequestRule::default;
    let rows = vec![
        (
            vec![named("a", Allow, &[no(), yes(), yes()])],
            "allowed by a/1",
        ),
        (
            vec![named("d", Deny, &[no(), no(), yes()])],
            "denied by d/2",
        ),
        (vec![named("a", Allow, &[all()])], "allowed by a/0"),
        (vec![named("d", Deny, &[all()])], "denied by d/0"),
        (vec![named("a", Allow, &[no(), all()])], "allowed by a/1"),
    ];
    check(rows, &web());
}

#[test]
fn a_policy_without_rules_matches_nothing() {
    let rows = vec![
        (vec![named("a", Allow, &[])], "not allowed"),
        (vec![named("d", Deny, &[])], "allowed"),
        (vec![named("u", Audit, &[])], "allowed"),
        (
            vec![named("a", Allow, &[]), named("b", Allow, &[yes()])],
            "allowed by b/0",
        ),
    ];
    check(rows, &web());
}

#[test]
fn what_is_only_tried_decides_nothing() {
    let rows = vec![
        (vec![named("dry-d", Deny, &[yes()])], "allowed"),
        (vec![named("dry-a", Allow, &[no()])], "allowed"),
        (
            vec![named("dry-a", Allow, &[yes()]), named("a", Allow, &[no()])],
            "not allowed",
        ),
        (
            vec![named("dry-d", Deny, &[yes()]), named("a", Allow, &[yes()])],
            "allowed by a/0",
        ),
    ];
    check(rows, &web());
}

/// Asides as text: name, rule that matched, whether it would refuse.
fn asides(policies: &[RequestPolicy], ask: &Ask) -> Vec<(String, Option<usize>, bool)> {
    let compiled = Policies::compile(policies);
    let verdict = compiled.judge(&ask.attributes());
    let asides = verdict.asides.iter().map(|aside| {
        let name = aside.policy.name.to_string();
        assert_eq!(aside.dry_run, name.starts_with("dry"), "{name}");
        (name, aside.rule, aside.would_refuse())
    });
    asides.collect()
}

#[test]
fn audits_that_match_are_told_and_all_that_is_only_tried() {
    let policies = [
        named("u-yes", Audit, &[no(), yes()]),
        named("u-no", Audit, &[no()]),
        named("dry-a-yes", Allow, &[yes()]),
        named("dry-a-no", Allow, &[no()]),
        named("dry-d-yes", Deny, &[no(), yes()]),
        named("dry-d-no", Deny, &[no()]),
        named("dry-u-yes", Audit, &[yes()]),
        named("dry-u-no", Audit, &[no()]),
    ];
    let expected = [
        ("u-yes", Some(1), false),
        ("dry-a-yes", Some(0), false),
        ("dry-a-no", None, true),
        ("dry-d-yes", Some(1), true),
        ("dry-d-no", None, false),
        ("dry-u-yes", Some(0), false),
        ("dry-u-no", None, false),
    ];
    let expected = expected.map(|(name, rule, refuses)| (name.to_owned(), rule, refuses));
    assert_eq!(asides(&policies, &web()), expected);
    // Of what is refused too.
    let mut refused = policies.to_vec();
    refused.push(named("d", Deny, &[yes()]));
    assert_eq!(asides(&refused, &web()), expected);
    // What decides is not told twice.
    assert!(asides(&[named("a", Allow, &[yes()])], &web()).is_empty());
}

#[test]
fn the_policies_of_which_one_has_to_match_are_known_by_name() {
    let policies = [
        named("a", Allow, &[yes()]),
        named("d", Deny, &[yes()]),
        named("dry-a", Allow, &[yes()]),
        named("b", Allow, &[]),
    ];
    let compiled = Policies::compile(&policies);
    let names: Vec<_> = compiled.allowing().map(ToString::to_string).collect();
    assert_eq!(names, ["shop/a", "shop/b"]);
    assert!(!compiled.is_empty());
    assert!(Policies::compile(&[]).is_empty());
    assert!(!Policies::compile(&[named("u", Audit, &[])]).is_empty());
}

#[test]
fn identities_tokens_and_plaintext_meet_the_usual_policies() {
    let rule = |written: Value| vec![written::rule(&written)];
    let needs_token = policy(
        "needs-token",
        Deny,
        rule(json!({"from": [{"source": {"notRequestPrincipals": ["*"]}}]})),
    );
    let needs_identity = policy(
        "needs-identity",
        Deny,
        rule(json!({"from": [{"source": {"notPrincipals": ["*"]}}]})),
    );
    let allows_web = policy(
        "allows-web",
        Allow,
        rule(json!({
            "from": [{"source": {"serviceAccounts": ["web"]}}],
            "to": [{"operation": {"methods": ["GET"], "paths": ["/cart", "/items/{*}"]}}],
            "when": [{"key": "request.auth.claims[groups]", "values": ["buyers"]}],
        })),
    );
    let policies = vec![needs_token, needs_identity, allows_web];
    let token = |groups: &str| json!({"iss": "i", "sub": "s", "groups": [groups]});
    let rows = [
        (web(), "denied by needs-token/0"),
        (web().claims(token("buyers")), "allowed by allows-web/0"),
        (
            web().claims(token("buyers")).plaintext(),
            "denied by needs-identity/0",
        ),
        (web().claims(token("sellers")), "not allowed"),
        (
            web().claims(token("buyers")).path("/items/7"),
            "allowed by allows-web/0",
        ),
        (
            web().claims(token("buyers")).path("/items/7/x"),
            "not allowed",
        ),
        (web().claims(token("buyers")).method("PUT"), "not allowed"),
    ];
    for (ask, expected) in rows {
        check(vec![(policies.clone(), expected)], &ask);
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
        let rules = &rules[first..];
        let policies = vec![named("a", Allow, rules)];
        let told = Box::leak(format!("allowed by a/{expected}").into_boxed_str());
        check(vec![(policies, told)], &super::asking::web());
    }
    // A client without an identity is of no principal.
    let stranger = Ask {
        peer: None,
        ..super::asking::web()
    };
    check(
        vec![(vec![named("a", Deny, &rules)], "denied by a/6")],
        &stranger,
    );
    check(
        vec![(vec![named("a", Allow, &rules[..6])], "not allowed")],
        &stranger,
    );
}
