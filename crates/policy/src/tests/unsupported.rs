//! What cannot be evaluated never opens a door.

use ambit_model::RequestAction::{Allow, Audit, Deny};
use ambit_model::{Condition, Operation, RequestRule, Source, StringMatch, Values};
use serde_json::json;

use super::asking::{connection, matches, web};
use super::written;

fn check(what: &str, rule: &RequestRule) {
    for ask in [web(), web().path("/elsewhere").plaintext(), connection()] {
        let found = [Allow, Deny, Audit].map(|action| matches(rule, action, &ask));
        assert_eq!(found, [false, true, true], "{what}: {ask:?}");
    }
}

#[test]
fn a_rule_that_is_marked_never_allows_and_always_refuses() {
    let mut rule = written::rule(&json!({"to": [{"operation": {"paths": ["/cart"]}}]}));
    rule.unsupported = true;
    check("marked", &rule);
    let rule = RequestRule {
        unsupported: true,
        ..RequestRule::default()
    };
    check("marked and empty", &rule);
}

#[test]
fn keys_of_envoy_and_pseudo_headers_mark_their_rules() {
    for key in [
        "experimental.envoy.filters.network.mysql_proxy[db.table]",
        "request.headers[:path]",
        "request.headers[:authority]",
        "request.headers[:method]",
    ] {
        let rule = json!({
            "to": [{"operation": {"paths": ["/cart"]}}],
            "when": [{"key": key, "values": ["*"]}],
        });
        check(key, &written::rule(&rule));
    }
}

#[test]
fn what_no_person_may_write_is_not_evaluated_either() {
    let any = || Values {
        any: vec![StringMatch::Presence],
        none: Vec::new(),
    };
    let from = |from: Vec<Source>| RequestRule {
        from,
        ..RequestRule::default()
    };
    let to = |to: Vec<Operation>| RequestRule {
        to,
        ..RequestRule::default()
    };
    let when = |when: Vec<Condition>| RequestRule {
        when,
        ..RequestRule::default()
    };
    let header = |name: &str| Condition::Header {
        name: name.into(),
        values: any(),
    };
    let path = Vec::new();
    let by_name = Source {
        namespaces: any(),
        ..Source::default()
    };
    let claim = Condition::Claim {
        path,
        values: any(),
    };
    check("empty source", &from(vec![Source::default()]));
    check("one empty source", &from(vec![by_name, Source::default()]));
    check("empty operation", &to(vec![Operation::default()]));
    check("no values", &when(vec![Condition::Sni(Values::default())]));
    check("no claim", &when(vec![claim]));
    for name in ["", ":path", "a b", "a:", "ä"] {
        check(name, &when(vec![header(name)]));
    }
}

#[test]
fn the_name_of_a_header_may_come_in_any_case() {
    let rule = RequestRule {
        when: vec![Condition::Header {
            name: "X-Tier".into(),
            values: Values {
                any: vec![StringMatch::Exact("gold".into())],
                none: Vec::new(),
            },
        }],
        ..RequestRule::default()
    };
    assert!(matches(&rule, Allow, &web().header("x-tier", "gold")));
    assert!(!matches(&rule, Allow, &web()));
}
