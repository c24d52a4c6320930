use ambit_model::{PathPattern, RequestPrincipal, ServiceAccountMatch, StringMatch, Values};
use serde_json::{Value, json};

use super::*;
use crate::config::objects::Object;
use crate::config::objects::read::read;

/// Reads `spec` of a policy `shop/p`, with the annotation of a dry run if it is one.
fn reading(spec: &Value, dry_run: &str) -> RequestReading {
    let document = json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {
            "name": "p",
            "namespace": "shop",
            "annotations": {"istio.io/dry-run": dry_run},
        },
        "spec": spec,
    });
    let Object::AuthorizationPolicy(policy) = read(document).unwrap() else {
        panic!("another kind");
    };
    policy.for_requests(PolicyName::new("shop", "p"))
}

/// The rules of a spec that has only those, and its findings as field and text.
fn rules(rules: &Value) -> (Vec<RequestRule>, Vec<(String, String)>) {
    let RequestReading { policy, findings } = reading(&json!({"rules": rules}), "");
    let findings = findings.into_iter().map(|found| (found.field, found.what));
    (policy.rules, findings.collect())
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

fn both<V>(any: V, none: V) -> Values<V> {
    Values {
        any: vec![any],
        none: vec![none],
    }
}

#[test]
fn an_action_and_a_dry_run_are_read() {
    let rows = [
        (json!({}), RequestAction::Allow),
        (json!({"action": "ALLOW"}), RequestAction::Allow),
        (json!({"action": "DENY"}), RequestAction::Deny),
        (json!({"action": "AUDIT"}), RequestAction::Audit),
        (
            json!({"action": "CUSTOM", "provider": {"name": "x"}}),
            RequestAction::Deny,
        ),
    ];
    for (spec, action) in rows {
        for (annotation, dry_run) in [("true", true), ("false", false), ("", false)] {
            let RequestReading { policy, findings } = reading(&spec, annotation);
            let expected = RequestPolicy {
                name: PolicyName::new("shop", "p"),
                action,
                dry_run,
                rules: Vec::new(),
            };
            assert_eq!((policy, findings), (expected, Vec::new()), "{spec}");
        }
    }
}

#[test]
fn every_field_of_a_source_is_read() {
    let account = |namespace: &str, name: &str| ServiceAccountMatch {
        namespace: namespace.into(),
        service_account: name.into(),
    };
    let net = |text: &str| text.parse().unwrap();
    let token = |issuer, subject| RequestPrincipal {
        issuer: exact(issuer),
        subject: exact(subject),
    };
    let (read, findings) = rules(&json!([{"from": [
        {"source": {
            "principals": ["td/ns/a/sa/b"],
            "notPrincipals": ["td/ns/a/sa/c"],
            "requestPrincipals": ["i/s"],
            "notRequestPrincipals": ["i/t"],
            "namespaces": ["a"],
            "notNamespaces": ["b"],
            "serviceAccounts": ["a"],
            "notServiceAccounts": ["b/c"],
            "ipBlocks": ["10.1.2.3/8"],
            "notIpBlocks": ["10.0.0.1"],
            "remoteIpBlocks": ["192.0.2.0/24"],
            "notRemoteIpBlocks": ["fd00::1"],
        }},
        {"source": {"namespaces": ["c"]}},
    ]}]));
    let all = Source {
        principals: both(exact("td/ns/a/sa/b"), exact("td/ns/a/sa/c")),
        request_principals: both(token("i", "s"), token("i", "t")),
        namespaces: both(exact("a"), exact("b")),
        service_accounts: both(account("shop", "a"), account("b", "c")),
        ip_blocks: both(net("10.0.0.0/8"), net("10.0.0.1/32")),
        remote_ip_blocks: both(net("192.0.2.0/24"), net("fd00::1/128")),
    };
    let other = Source {
        namespaces: Values {
            any: vec![exact("c")],
            none: Vec::new(),
        },
        ..Source::default()
    };
    let expected = RequestRule {
        from: vec![all, other],
        ..RequestRule::default()
    };
    assert_eq!((read, findings), (vec![expected], Vec::new()));
}

#[test]
fn every_field_of_an_operation_and_every_condition_is_read() {
    let (read, findings) = rules(&json!([
        {
            "to": [{"operation": {
                "hosts": ["A"],
                "notHosts": ["b"],
                "ports": ["80"],
                "notPorts": ["81"],
                "methods": ["GET"],
                "notMethods": ["PUT"],
                "paths": ["/a"],
                "notPaths": ["/b"],
            }}],
            "when": [
                {"key": "request.headers[X]", "values": ["a"], "notValues": ["b"]},
                {"key": "source.serviceAccount", "values": ["a"]},
            ],
        },
        {},
    ]));
    let path = |path| PathPattern::Text(exact(path));
    let operation = Operation {
        hosts: both(exact("a"), exact("b")),
        ports: both(80, 81),
        methods: both(exact("GET"), exact("PUT")),
        paths: both(path("/a"), path("/b")),
    };
    let header = Condition::Header {
        name: "x".into(),
        values: both(exact("a"), exact("b")),
    };
    let account = Condition::SourceServiceAccount(Values {
        any: vec![ServiceAccountMatch {
            namespace: "shop".into(),
            service_account: "a".into(),
        }],
        none: Vec::new(),
    });
    let expected = RequestRule {
        to: vec![operation],
        when: vec![header, account],
        ..RequestRule::default()
    };
    let expected = vec![expected, RequestRule::default()];
    assert_eq!((read, findings), (expected, Vec::new()));
}

#[test]
fn what_cannot_be_read_marks_its_rule_and_is_told_with_its_field() {
    let (read, findings) = rules(&json!([
        {"to": [
            {"operation": {"paths": ["/a"]}},
            {"operation": {"paths": ["/ok", "no"], "notHosts": ["https://a"], "methods": ["GET"]}},
        ]},
        {"from": [{"source": {"requestPrincipals": ["issuer"], "namespaces": ["a"]}}]},
        {"to": [{"operation": {"paths": ["/fine/{*}"]}}]},
        {"when": [
            {"key": "request.headers[x]", "values": ["a"]},
            {"key": "experimental.envoy.filters.a[b]", "values": ["a"]},
            {"key": "request.headers[:path]", "notValues": ["a"]},
            {"key": "remote.ip", "notValues": ["10.0.0.1", "a"]},
        ]},
    ]));
    let marks: Vec<bool> = read.iter().map(|rule| rule.unsupported).collect();
    assert_eq!(marks, [true, true, false, true]);
    let fields: Vec<&str> = findings.iter().map(|(field, _)| &**field).collect();
    let expected = [
        "spec.rules[0].to[1].operation.notHosts[0]",
        "spec.rules[0].to[1].operation.paths[1]",
        "spec.rules[1].from[0].source.requestPrincipals[0]",
        "spec.rules[3].when[1].key",
        "spec.rules[3].when[2].key",
        "spec.rules[3].when[3].notValues[1]",
    ];
    assert_eq!(fields, expected, "{findings:#?}");
    assert!(findings.iter().all(|(_, what)| !what.is_empty()));
}
