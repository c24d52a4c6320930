//! Connections that are not HTTP.

use ambit_model::RequestAction::{Allow, Audit, Deny};
use serde_json::{Value, json};

use super::asking::{check, connection, matches, policy};
use super::written;
use crate::Policy;

#[expect(clippy::needless_pass_by_value, reason = "so that tables are short")]
fn from(source: Value) -> Value {
    json!({"from": [{"source": source}]})
}

#[expect(clippy::needless_pass_by_value, reason = "so that tables are short")]
fn to(operation: Value) -> Value {
    json!({"to": [{"operation": operation}]})
}

fn when(key: &str) -> Value {
    json!({"when": [{"key": key, "values": ["a/b"]}]})
}

fn when_not(key: &str) -> Value {
    json!({"when": [{"key": key, "notValues": ["a/b"]}]})
}

/// Rows of a rule, and whether it matches a connection within ALLOW, and within DENY and AUDIT.
fn check_each(rows: Vec<(Value, bool, bool)>) {
    for (written, allows, denies) in rows {
        let rule = written::rule(&written);
        let found = [Allow, Deny, Audit].map(|action| matches(&rule, action, &connection()));
        assert_eq!(found, [allows, denies, denies], "{written}");
    }
}

#[test]
fn what_a_rule_asks_about_a_request_never_allows_a_connection_and_always_refuses_it() {
    let fields = [
        from(json!({"requestPrincipals": ["*"]})),
        from(json!({"notRequestPrincipals": ["*"]})),
        to(json!({"hosts": ["a"]})),
        to(json!({"notHosts": ["a"]})),
        to(json!({"methods": ["GET"]})),
        to(json!({"notMethods": ["GET"]})),
        to(json!({"paths": ["/a"]})),
        to(json!({"notPaths": ["/{**}"]})),
        when("request.headers[x]"),
        when_not("request.headers[x]"),
        when("request.headers[host]"),
        when("request.auth.principal"),
        when_not("request.auth.principal"),
        when("request.auth.audiences"),
        when_not("request.auth.audiences"),
        when("request.auth.presenter"),
        when_not("request.auth.presenter"),
        when("request.auth.claims[a]"),
        when_not("request.auth.claims[a][b]"),
    ];
    let rows = fields.into_iter().map(|rule| (rule, false, true));
    check_each(rows.collect());
}

#[test]
fn what_else_a_rule_asks_still_counts() {
    let rule = |port: &str| json!({"to": [{"operation": {"methods": ["POST"], "ports": [port]}}]});
    let who = |namespace: &str| {
        json!({
            "from": [{"source": {"namespaces": [namespace], "requestPrincipals": ["*"]}}],
            "to": [{"operation": {"paths": ["/admin*"]}}],
            "when": [{"key": "request.headers[x]", "values": ["a"]}],
        })
    };
    // One entry that has no such field does not make the others match a connection.
    let either = json!({"to": [
        {"operation": {"methods": ["GET"]}},
        {"operation": {"ports": ["8080"]}},
    ]});
    let neither = json!({"to": [
        {"operation": {"methods": ["GET"], "ports": ["81"]}},
        {"operation": {"ports": ["80"]}},
    ]});
    check_each(vec![
        (rule("8080"), false, true),
        (rule("80"), false, false),
        (who("shop"), false, true),
        (who("bank"), false, false),
        (either, false, true),
        (neither, false, false),
    ]);
}

#[test]
fn rules_about_connections_are_judged_as_for_requests() {
    check(vec![
        (json!({}), connection(), true),
        (
            from(json!({"principals": ["*/sa/web"]})),
            connection(),
            true,
        ),
        (
            from(json!({"principals": ["*"]})),
            connection().plaintext(),
            false,
        ),
        (
            from(json!({"notPrincipals": ["*"]})),
            connection().plaintext(),
            true,
        ),
        (from(json!({"namespaces": ["bank"]})), connection(), false),
        (
            from(json!({"serviceAccounts": ["web"]})),
            connection(),
            true,
        ),
        (
            from(json!({"ipBlocks": ["10.0.0.0/8"]})),
            connection(),
            true,
        ),
        (
            from(json!({"remoteIpBlocks": ["192.0.2.0/24"]})),
            connection(),
            true,
        ),
        (
            from(json!({"notRemoteIpBlocks": ["192.0.2.0/24"]})),
            connection(),
            false,
        ),
        (to(json!({"ports": ["8080"]})), connection(), true),
        (to(json!({"notPorts": ["8080"]})), connection(), false),
        (
            json!({"when": [{"key": "connection.sni", "values": ["db.*"]}]}),
            connection().sni("db.example.com"),
            true,
        ),
        (
            json!({"when": [{"key": "destination.ip", "values": ["10.0.0.1"]}]}),
            connection(),
            true,
        ),
        (
            json!({"when": [{"key": "source.ip", "notValues": ["10.0.0.9"]}]}),
            connection(),
            false,
        ),
        (
            json!({"when": [{"key": "remote.ip", "values": ["192.0.2.7"]}]}),
            connection(),
            true,
        ),
    ]);
}

#[test]
fn at_best_what_is_asked_about_a_request_allows_and_does_not_refuse() {
    let both = json!({
        "from": [{"source": {"namespaces": ["shop"], "requestPrincipals": ["*"]}}],
        "to": [{"operation": {"methods": ["GET"]}}, {"operation": {"ports": ["8080"]}}],
    });
    let elsewhere = json!({"to": [{"operation": {"paths": ["/a"], "ports": ["80"]}}]});
    let rows = [
        (to(json!({"paths": ["/a"]})), true, false),
        (when_not("request.headers[x]"), true, false),
        (from(json!({"namespaces": ["shop"]})), true, true),
        (from(json!({"namespaces": ["bank"]})), false, false),
        (json!({}), true, true),
        (both, true, false),
        (elsewhere, false, false),
    ];
    for (written, allows, denies) in rows {
        let rule = written::rule(&written);
        let found = [Allow, Deny, Audit].map(|action| {
            let policy = Policy::new(&policy("p", action, vec![rule.clone()]));
            let ask = connection();
            let found = policy.matched_at_best(&ask.attributes());
            found.is_some()
        });
        assert_eq!(found, [allows, denies, denies], "{written}");
    }
    let unsupported = ambit_model::RequestRule {
        unsupported: true,
        ..ambit_model::RequestRule::default()
    };
    for (action, matched) in [(Allow, None), (Deny, Some(0))] {
        let policy = Policy::new(&policy("p", action, vec![unsupported.clone()]));
        assert_eq!(policy.matched_at_best(&connection().attributes()), matched);
    }
}

#[test]
fn a_policy_says_whether_it_asks_for_a_server_name() {
    let asks = |rule: &Value| {
        let rule = written::rule(rule);
        Policy::new(&policy("p", Deny, vec![rule])).asks_for_server_name()
    };
    assert!(asks(
        &json!({"when": [{"key": "connection.sni", "values": ["a"]}]})
    ));
    assert!(!asks(&from(json!({"namespaces": ["a"]}))));
}
