use std::sync::Arc;

use serde_json::json;

use super::*;

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

fn prefix(text: &str) -> StringMatch {
    StringMatch::Prefix(text.into())
}

fn suffix(text: &str) -> StringMatch {
    StringMatch::Suffix(text.into())
}

fn own() -> Arc<str> {
    "shop".into()
}

/// A problem, as field, finding, and whether it is only not supported.
type Found = (String, String, bool);

fn problem<T: std::fmt::Debug>(read: Result<T, PolicyProblem>) -> Found {
    let problem = read.expect_err("should have been refused");
    assert!(!problem.advice.is_empty());
    (problem.field, problem.what, problem.is_unsupported)
}

fn source(field: &str, values: &[&str]) -> Result<Source, PolicyProblem> {
    let mut source = Source::default();
    source.put(field, values, &own()).map(|()| source)
}

fn operation(field: &str, values: &[&str]) -> Result<Operation, PolicyProblem> {
    let mut operation = Operation::default();
    operation.put(field, values).map(|()| operation)
}

fn condition(key: &str, values: &[&str], not: &[&str]) -> Result<Condition, PolicyProblem> {
    Condition::parse(key, values, not, &own())
}

#[test]
fn texts_have_a_star_at_one_end_or_none() {
    let rows = [
        ("abc", exact("abc")),
        ("abc*", prefix("abc")),
        ("*abc", suffix("abc")),
        ("*", StringMatch::Presence),
    ];
    for (text, expected) in rows {
        assert_eq!(StringMatch::parse(text), Ok(expected), "{text}");
    }
    for text in ["", "**", "*a*", "a*b", "*/*", "a**"] {
        assert!(StringMatch::parse(text).is_err(), "{text}");
    }
}

#[test]
fn every_field_of_a_source_is_read_and_so_is_its_negation() {
    let net = |text: &str| text.parse().unwrap();
    let account = |namespace: &str, name: &str| ServiceAccountMatch {
        namespace: namespace.into(),
        service_account: name.into(),
    };
    let mut expected = Source {
        principals: Values {
            any: vec![exact("td/ns/a/sa/b"), exact("td/ns/c/sa/d")],
            none: vec![StringMatch::Presence],
        },
        request_principals: Values {
            any: vec![RequestPrincipal {
                issuer: exact("https://issuer"),
                subject: StringMatch::Presence,
            }],
            none: vec![RequestPrincipal {
                issuer: StringMatch::Presence,
                subject: StringMatch::Presence,
            }],
        },
        namespaces: Values {
            any: vec![prefix("sh")],
            none: vec![suffix("op")],
        },
        service_accounts: Values {
            any: vec![account("shop", "web"), account("bank", "web")],
            none: vec![account("shop", "api.v1")],
        },
        ip_blocks: Values {
            any: vec![net("10.0.0.0/8"), net("10.1.2.3/32")],
            none: vec![net("fd00::/8")],
        },
        remote_ip_blocks: Values {
            any: vec![net("192.0.2.0/24")],
            none: vec![net("192.0.2.1/32")],
        },
    };
    let rows: &[(&str, &[&str])] = &[
        ("principals", &["td/ns/a/sa/b", "spiffe://td/ns/c/sa/d"]),
        ("notPrincipals", &["*"]),
        ("requestPrincipals", &["https://issuer/*"]),
        ("notRequestPrincipals", &["*"]),
        ("namespaces", &["sh*"]),
        ("notNamespaces", &["*op"]),
        ("serviceAccounts", &["web", "bank/web"]),
        ("notServiceAccounts", &["api.v1"]),
        ("ipBlocks", &["10.1.2.3/8", "10.1.2.3"]),
        ("notIpBlocks", &["fd00::/8"]),
        ("remoteIpBlocks", &["::ffff:192.0.2.7/120"]),
        ("notRemoteIpBlocks", &["::ffff:192.0.2.1"]),
    ];
    let mut read = Source::default();
    for (field, values) in rows {
        read.put(field, values, &own()).unwrap();
    }
    assert_eq!(read, expected);
    // An empty list says nothing.
    read.put("principals", &[""; 0], &own()).unwrap();
    assert_eq!(read, expected);
    expected.namespaces.any.push(exact("bank"));
    read.put("namespaces", &["bank"], &own()).unwrap();
    assert_eq!(read, expected);
}

#[test]
fn every_field_of_an_operation_is_read_and_so_is_its_negation() {
    let text = |text| PathPattern::Text(text);
    let template = |text| PathPattern::Template(PathTemplate::parse(text).unwrap());
    let expected = Operation {
        hosts: Values {
            any: vec![exact("example.com"), prefix("example.com:")],
            none: vec![suffix(".example.com")],
        },
        ports: Values {
            any: vec![80, 65535],
            none: vec![8080],
        },
        methods: Values {
            any: vec![exact("GET"), prefix("P")],
            none: vec![StringMatch::Presence],
        },
        paths: Values {
            any: vec![text(exact("/a")), template("/a/{*}/{**}")],
            none: vec![text(prefix("/")), text(suffix(".js"))],
        },
    };
    let rows: &[(&str, &[&str])] = &[
        ("hosts", &["Example.COM", "example.com:*"]),
        ("notHosts", &["*.example.com"]),
        ("ports", &["80", "65535"]),
        ("notPorts", &["8080"]),
        ("methods", &["GET", "P*"]),
        ("notMethods", &["*"]),
        ("paths", &["/a", "/a/{*}/{**}"]),
        ("notPaths", &["/*", "*.js"]),
    ];
    let mut read = Operation::default();
    for (field, values) in rows {
        read.put(field, values).unwrap();
    }
    assert_eq!(read, expected);
}

#[test]
fn issuer_and_subject_are_parted_at_the_last_slash() {
    let rows = [
        ("a/b", exact("a"), exact("b")),
        ("https://a/b/c", exact("https://a/b"), exact("c")),
        ("https://a/b*", exact("https://a"), prefix("b")),
        ("https://a/*", exact("https://a"), StringMatch::Presence),
        ("*/b", StringMatch::Presence, exact("b")),
        ("*.org/b", suffix(".org"), exact("b")),
        ("*b", StringMatch::Presence, suffix("b")),
        ("a*", prefix("a"), StringMatch::Presence),
        ("*", StringMatch::Presence, StringMatch::Presence),
    ];
    for (text, issuer, subject) in rows {
        let expected = RequestPrincipal { issuer, subject };
        assert_eq!(text::request_principal(text), Ok(expected), "{text}");
    }
}

#[test]
fn every_key_of_a_condition_is_read() {
    let texts = || Values {
        any: vec![exact("a")],
        none: vec![prefix("b")],
    };
    let claim = |path: &[&str]| Condition::Claim {
        path: path.iter().map(|name| Arc::from(*name)).collect(),
        values: texts(),
    };
    let header = Condition::Header {
        name: "x-a".into(),
        values: texts(),
    };
    let rows = [
        ("request.headers[X-A]", header),
        ("request.auth.claims[a]", claim(&["a"])),
        ("request.auth.claims[a][B]", claim(&["a", "B"])),
        ("request.auth.claims[https://a/b]", claim(&["https://a/b"])),
        ("request.auth.audiences", Condition::Audiences(texts())),
        ("request.auth.presenter", Condition::Presenter(texts())),
        ("source.namespace", Condition::SourceNamespace(texts())),
        ("source.principal", Condition::SourcePrincipal(texts())),
        ("connection.sni", Condition::Sni(texts())),
    ];
    for (key, expected) in rows {
        assert_eq!(condition(key, &["a"], &["b*"]), Ok(expected), "{key}");
    }
    let nets = || Values {
        any: vec!["10.0.0.0/8".parse().unwrap()],
        none: vec!["10.0.0.1/32".parse().unwrap()],
    };
    let rows = [
        ("source.ip", Condition::SourceIp(nets())),
        ("remote.ip", Condition::RemoteIp(nets())),
        ("destination.ip", Condition::DestinationIp(nets())),
    ];
    for (key, expected) in rows {
        let read = condition(key, &["10.0.0.0/8"], &["10.0.0.1"]);
        assert_eq!(read, Ok(expected), "{key}");
    }
    let ports = Values {
        any: vec![80],
        none: vec![81],
    };
    let read = condition("destination.port", &["80"], &["81"]);
    assert_eq!(read, Ok(Condition::DestinationPort(ports)));
    let accounts = Values {
        any: Vec::new(),
        none: vec![text::account("web", &own()).unwrap()],
    };
    let read = condition("source.serviceAccount", &[], &["shop/web"]);
    assert_eq!(read, Ok(Condition::SourceServiceAccount(accounts)));
    let principals = Values {
        any: vec![text::request_principal("a/b").unwrap()],
        none: Vec::new(),
    };
    let read = condition("request.auth.principal", &["a/b"], &[]);
    assert_eq!(read, Ok(Condition::RequestPrincipal(principals)));
}

/// Field, values, the field with the problem, and a part of what is said of it.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
);

#[test]
fn a_value_of_a_source_that_cannot_be_used_is_told_with_its_field() {
    let rows: &[Row] = &[
        ("principals", &["a", ""], "principals[1]", "empty"),
        ("notPrincipals", &["*a*"], "notPrincipals[0]", "star"),
        ("principals", &["spiffe://"], "principals[0]", "empty"),
        (
            "requestPrincipals",
            &["a"],
            "requestPrincipals[0]",
            "no slash",
        ),
        (
            "requestPrincipals",
            &["a/"],
            "requestPrincipals[0]",
            "no subject",
        ),
        (
            "requestPrincipals",
            &["https://a*"],
            "requestPrincipals[0]",
            "no subject",
        ),
        (
            "requestPrincipals",
            &["/a"],
            "requestPrincipals[0]",
            "empty",
        ),
        (
            "requestPrincipals",
            &["*/*"],
            "requestPrincipals[0]",
            "star",
        ),
        (
            "notRequestPrincipals",
            &[""],
            "notRequestPrincipals[0]",
            "empty",
        ),
        ("namespaces", &["a*b"], "namespaces[0]", "star"),
        ("notNamespaces", &[""], "notNamespaces[0]", "empty"),
        ("serviceAccounts", &["a/b/c"], "serviceAccounts[0]", "a/b/c"),
        ("serviceAccounts", &["/b"], "serviceAccounts[0]", "NAME"),
        ("serviceAccounts", &["a/"], "serviceAccounts[0]", "NAME"),
        (
            "notServiceAccounts",
            &["a*"],
            "notServiceAccounts[0]",
            "NAME",
        ),
        ("serviceAccounts", &[""], "serviceAccounts[0]", "NAME"),
        ("ipBlocks", &["10.0.0.0/33"], "ipBlocks[0]", "10.0.0.0/33"),
        ("notIpBlocks", &["host"], "notIpBlocks[0]", "neither"),
        ("remoteIpBlocks", &["*"], "remoteIpBlocks[0]", "neither"),
        (
            "notRemoteIpBlocks",
            &[""],
            "notRemoteIpBlocks[0]",
            "neither",
        ),
        ("principal", &["a"], "principal", "no field"),
        ("notprincipals", &["a"], "notprincipals", "no field"),
        ("paths", &["/a"], "paths", "no field"),
        ("", &["/a"], "", "no field"),
    ];
    for (field, values, place, what) in rows {
        let found = problem(source(field, values));
        assert_eq!(found.0, *place, "{field} {values:?}");
        assert!(found.1.contains(what), "{field} {values:?}: {}", found.1);
        assert!(!found.2, "{field} {values:?}");
    }
}

#[test]
fn a_value_of_an_operation_that_cannot_be_used_is_told_with_its_field() {
    let rows: &[Row] = &[
        ("hosts", &["https://a"], "hosts[0]", "more than a host"),
        ("hosts", &["a/b"], "hosts[0]", "more than a host"),
        ("hosts", &["a b"], "hosts[0]", "more than a host"),
        ("notHosts", &["a", "u@a"], "notHosts[1]", "more than a host"),
        ("notHosts", &["a.*.b"], "notHosts[0]", "star"),
        ("hosts", &[""], "hosts[0]", "empty"),
        ("ports", &["0"], "ports[0]", "not a port"),
        ("ports", &["+80"], "ports[0]", "not a port"),
        ("ports", &["65536"], "ports[0]", "not a port"),
        ("ports", &["*"], "ports[0]", "not a port"),
        ("notPorts", &[""], "notPorts[0]", "not a port"),
        ("methods", &["GET,PUT"], "methods[0]", "not a method"),
        ("notMethods", &["G T"], "notMethods[0]", "not a method"),
        ("methods", &[""], "methods[0]", "empty"),
        ("paths", &["a"], "paths[0]", "neither with a slash"),
        ("paths", &["/a?b"], "paths[0]", "no query"),
        ("paths", &["/a#b"], "paths[0]", "no query"),
        ("paths", &["/a/*/b"], "paths[0]", "star"),
        ("paths", &["*a*"], "paths[0]", "star"),
        ("paths", &["/a/{b}"], "paths[0]", "brace"),
        ("paths", &["/a}"], "paths[0]", "brace"),
        ("paths", &["/a/{*}.txt"], "paths[0]", "brace"),
        ("paths", &["/a/b{**}"], "paths[0]", "brace"),
        ("paths", &["/{*}/{}"], "paths[0]", "brace"),
        ("paths", &["/{*}/{a=*}"], "paths[0]", "brace"),
        ("paths", &["/*/{*}"], "paths[0]", "character"),
        ("paths", &["/**/{*}"], "paths[0]", "character"),
        ("paths", &["/{*}/a*"], "paths[0]", "character"),
        ("paths", &["/{*}/a?"], "paths[0]", "character"),
        ("paths", &["/{*}/ä"], "paths[0]", "character"),
        ("paths", &["/{**}/{*}"], "paths[0]", "after {**}"),
        ("paths", &["/{**}/a/{**}"], "paths[0]", "after {**}"),
        ("paths", &["/{*}//a"], "paths[0]", "two slashes"),
        ("paths", &["//{*}"], "paths[0]", "two slashes"),
        ("paths", &["{*}/a"], "paths[0]", "begin with a slash"),
        ("notPaths", &["/", ""], "notPaths[1]", "empty"),
        ("path", &["/"], "path", "no field"),
        ("not", &["/"], "not", "no field"),
    ];
    for (field, values, place, what) in rows {
        let found = problem(operation(field, values));
        assert_eq!(found.0, *place, "{field} {values:?}");
        assert!(found.1.contains(what), "{field} {values:?}: {}", found.1);
        assert!(!found.2, "{field} {values:?}");
    }
}

/// Names have no case.
#[test]
fn server_names_are_compared_in_lower_case() {
    let own = "shop".into();
    let none: [&str; 0] = [];
    let read = Condition::parse("connection.sni", &["Admin.Example.COM"], &none, &own).unwrap();
    let values = Values {
        any: vec![StringMatch::Exact("admin.example.com".into())],
        none: Vec::new(),
    };
    assert_eq!(read, Condition::Sni(values));
}

#[test]
fn a_condition_that_cannot_be_used_is_told_and_so_is_one_that_only_is_not_here() {
    let a = &["a"][..];
    let rows = [
        ("source.ip", a, "values[0]", "neither", false),
        ("remote.ip", a, "values[0]", "neither", false),
        ("destination.ip", a, "values[0]", "neither", false),
        ("destination.port", a, "values[0]", "not a port", false),
        ("source.serviceAccount", &["a*"], "values[0]", "NAME", false),
        ("source.namespace", &["a", ""], "values[1]", "empty", false),
        ("source.principal", &["*a*"], "values[0]", "star", false),
        ("request.auth.principal", a, "values[0]", "no slash", false),
        ("request.auth.audiences", &[""], "values[0]", "empty", false),
        (
            "request.auth.presenter",
            &["*a*"],
            "values[0]",
            "star",
            false,
        ),
        ("connection.sni", &["a*b"], "values[0]", "star", false),
        ("source.ip", &[], "values", "neither values", false),
        ("request.headers[a]", &[], "values", "neither values", false),
        ("request.headers[a]", &["a*b"], "values[0]", "star", false),
        ("request.headers", a, "key", "no name", false),
        ("request.headers[]", a, "key", "no name", false),
        ("request.headers[a", a, "key", "no name", false),
        ("request.headers[a b]", a, "key", "no name", false),
        ("request.headers[a][b]", a, "key", "no name", false),
        ("request.headersX", a, "key", "unknown", false),
        ("request.headers[:path]", a, "key", "pseudo", true),
        ("request.headers[:authority]", a, "key", "pseudo", true),
        ("request.auth.claims", a, "key", "no names", false),
        ("request.auth.claims[]", a, "key", "no names", false),
        ("request.auth.claims[a][]", a, "key", "no names", false),
        ("request.auth.claims[a]b", a, "key", "no names", false),
        ("request.auth.claims[a[b]]", a, "key", "no names", false),
        ("experimental.envoy.filters.a[b]", a, "key", "Envoy", true),
        ("request.path", a, "key", "unknown", false),
        ("source.IP", a, "key", "unknown", false),
        ("destination.labels[a]", a, "key", "unknown", false),
        ("", a, "key", "unknown", false),
    ];
    for (key, values, place, what, is_unsupported) in rows {
        let found = problem(condition(key, values, &[]));
        assert_eq!(found.0, place, "{key} {values:?}");
        assert!(found.1.contains(what), "{key} {values:?}: {}", found.1);
        assert_eq!(found.2, is_unsupported, "{key} {values:?}");
    }
    let found = problem(condition("source.ip", &[], &["10.0.0.1", "a"]));
    assert_eq!(found.0, "notValues[1]");
}

#[test]
fn a_problem_tells_the_whole_way_to_its_field() {
    let problem = operation("ports", &["0"]).unwrap_err();
    let problem = problem.within("to[1].operation").within("spec.rules[2]");
    assert_eq!(
        problem.to_string(),
        "spec.rules[2].to[1].operation.ports[0]: `0` is not a port from 1 to 65535; correct the value"
    );
}

fn whole() -> RequestPolicy {
    let mut source = source("principals", &["*"]).unwrap();
    source.put("notIpBlocks", &["10.0.0.0/8"], &own()).unwrap();
    let mut operation = operation("paths", &["/a/{*}", "/b*"]).unwrap();
    operation.put("notPorts", &["80"]).unwrap();
    RequestPolicy {
        name: PolicyName::new("shop", "p"),
        action: RequestAction::Audit,
        dry_run: true,
        rules: vec![
            RequestRule {
                from: vec![source],
                to: vec![operation],
                when: vec![
                    condition("request.headers[A]", &["a"], &["b"]).unwrap(),
                    condition("request.auth.claims[a][b]", &["*"], &[]).unwrap(),
                    condition("source.serviceAccount", &["a"], &[]).unwrap(),
                ],
                unsupported: true,
            },
            RequestRule::default(),
        ],
    }
}

#[test]
fn a_policy_travels_as_json_without_what_it_does_not_say() {
    let policy = whole();
    let written = serde_json::to_value(&policy).unwrap();
    let expected = json!({
        "name": {"namespace": "shop", "name": "p"},
        "action": "Audit",
        "dry_run": true,
        "rules": [
            {
                "from": [{
                    "principals": {"any": ["Presence"]},
                    "ip_blocks": {"none": ["10.0.0.0/8"]},
                }],
                "to": [{
                    "ports": {"none": [80]},
                    "paths": {"any": [{"Template": "/a/{*}"}, {"Text": {"Prefix": "/b"}}]},
                }],
                "when": [
                    {"Header": {
                        "name": "a",
                        "values": {"any": [{"Exact": "a"}], "none": [{"Exact": "b"}]},
                    }},
                    {"Claim": {"path": ["a", "b"], "values": {"any": ["Presence"]}}},
                    {"SourceServiceAccount":
                        {"any": [{"namespace": "shop", "service_account": "a"}]}},
                ],
                "unsupported": true,
            },
            {},
        ],
    });
    assert_eq!(written, expected);
    assert_eq!(
        serde_json::from_value::<RequestPolicy>(written).unwrap(),
        policy
    );
}

#[test]
fn json_that_says_more_than_is_known_is_refused() {
    let written = serde_json::to_value(whole()).unwrap();
    let places = [
        "",
        "/rules/0",
        "/rules/0/from/0",
        "/rules/0/from/0/principals",
        "/rules/0/to/0",
        "/rules/0/to/0/paths",
        "/rules/0/when/0/Header",
        "/rules/0/when/1/Claim",
        "/rules/0/when/2/SourceServiceAccount",
        "/rules/0/when/2/SourceServiceAccount/any/0",
        "/rules/1",
    ];
    for place in places {
        let mut more = written.clone();
        let object = more.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.insert("later".to_owned(), json!([]));
        assert!(
            serde_json::from_value::<RequestPolicy>(more).is_err(),
            "{place}"
        );
    }
    let bad_template = json!({"paths": {"any": [{"Template": "/{**}/{*}"}]}});
    assert!(serde_json::from_value::<Operation>(bad_template).is_err());
    let bad_key = json!({"Later": {"any": ["Presence"]}});
    assert!(serde_json::from_value::<Condition>(bad_key).is_err());
}

#[test]
fn what_names_nothing_is_known_as_such() {
    assert!(Source::default().is_empty());
    assert!(Operation::default().is_empty());
    assert!(!source("notPrincipals", &["a"]).unwrap().is_empty());
    assert!(!operation("notPaths", &["/a"]).unwrap().is_empty());
    assert!(!condition("source.ip", &[], &["::1"]).unwrap().is_empty());
    let empty = [
        Condition::SourceIp(Values::default()),
        Condition::DestinationPort(Values::default()),
        Condition::SourceServiceAccount(Values::default()),
        Condition::RequestPrincipal(Values::default()),
        Condition::Sni(Values::default()),
    ];
    assert!(empty.iter().all(Condition::is_empty));
}
