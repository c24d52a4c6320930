use ipnet::IpNet;

use super::*;
use crate::fixtures::{addr, id, ip, policy};

mod naive;

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

fn prefix(text: &str) -> StringMatch {
    StringMatch::Prefix(text.into())
}

fn suffix(text: &str) -> StringMatch {
    StringMatch::Suffix(text.into())
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn account(namespace: &str, name: &str) -> ServiceAccountMatch {
    ServiceAccountMatch {
        namespace: namespace.into(),
        service_account: name.into(),
    }
}

/// Whether a policy of this one match holds for a connection from 10.0.0.9 to 10.0.0.1:8080.
fn holds_for(action: Action, one: &Match, peer: Option<&SpiffeId>) -> bool {
    let rules = vec![Rule {
        clauses: vec![Clause {
            matches: vec![one.clone()],
        }],
    }];
    let destination = addr("10.0.0.1:8080");
    let connection = Connection {
        source: ip("10.0.0.9"),
        destination,
        peer,
        client_is_judged: false,
    };
    matches(&policy("p", action, rules), &connection)
}

/// A match, and whether it holds for the peer `shop/web` and for plaintext.
type Row = (&'static str, Match, bool, bool);

fn check(rows: Vec<Row>) {
    let web = id("shop", "web");
    for (name, one, with_identity, in_plaintext) in rows {
        for action in [Action::Allow, Action::Deny] {
            assert_eq!(
                holds_for(action, &one, Some(&web)),
                with_identity,
                "{name}: identity"
            );
            assert_eq!(
                holds_for(action, &one, None),
                in_plaintext,
                "{name}: plaintext"
            );
        }
    }
}

#[test]
fn principals_are_compared_without_their_scheme_and_never_hold_for_plaintext() {
    let of = |principals: Vec<StringMatch>| Match {
        principals,
        ..Match::default()
    };
    check(vec![
        (
            "equal",
            of(vec![exact("cluster.local/ns/shop/sa/web")]),
            true,
            false,
        ),
        (
            "with scheme",
            of(vec![exact("spiffe://cluster.local/ns/shop/sa/web")]),
            false,
            false,
        ),
        (
            "begins",
            of(vec![prefix("cluster.local/ns/shop/")]),
            true,
            false,
        ),
        (
            "begins otherwise",
            of(vec![prefix("cluster.local/ns/bank/")]),
            false,
            false,
        ),
        ("ends", of(vec![suffix("/sa/web")]), true, false),
        ("ends otherwise", of(vec![suffix("/sa/api")]), false, false),
        ("is there", of(vec![StringMatch::Presence]), true, false),
        (
            "one of two",
            of(vec![exact("x"), suffix("web")]),
            true,
            false,
        ),
        ("empty prefix", of(vec![prefix("")]), true, false),
    ]);
}

#[test]
fn lists_of_unwanted_identities_hold_for_plaintext() {
    let of = |not_principals: Vec<StringMatch>| Match {
        not_principals,
        ..Match::default()
    };
    let in_namespace = |not_namespaces: Vec<StringMatch>| Match {
        not_namespaces,
        ..Match::default()
    };
    let not_account = |namespace: &str, name: &str| Match {
        not_service_accounts: vec![account(namespace, name)],
        ..Match::default()
    };
    check(vec![
        (
            "must have an identity",
            of(vec![StringMatch::Presence]),
            false,
            true,
        ),
        (
            "not this one",
            of(vec![exact("cluster.local/ns/shop/sa/web")]),
            false,
            true,
        ),
        (
            "not another",
            of(vec![exact("cluster.local/ns/shop/sa/api")]),
            true,
            true,
        ),
        (
            "not of this namespace",
            in_namespace(vec![exact("shop")]),
            false,
            true,
        ),
        (
            "not of another namespace",
            in_namespace(vec![exact("bank")]),
            true,
            true,
        ),
        (
            "not without namespace",
            in_namespace(vec![StringMatch::Presence]),
            false,
            true,
        ),
        ("not this account", not_account("shop", "web"), false, true),
        (
            "not another account",
            not_account("shop", "api"),
            true,
            true,
        ),
    ]);
}

#[test]
fn namespaces_and_accounts_are_those_of_the_identity() {
    let namespaces = |namespaces: Vec<StringMatch>| Match {
        namespaces,
        ..Match::default()
    };
    let accounts = |service_accounts: Vec<ServiceAccountMatch>| Match {
        service_accounts,
        ..Match::default()
    };
    check(vec![
        ("namespace", namespaces(vec![exact("shop")]), true, false),
        (
            "prefix of a namespace",
            namespaces(vec![exact("sho")]),
            false,
            false,
        ),
        (
            "namespace by prefix",
            namespaces(vec![prefix("sho")]),
            true,
            false,
        ),
        (
            "namespace by suffix",
            namespaces(vec![suffix("op")]),
            true,
            false,
        ),
        (
            "any namespace",
            namespaces(vec![StringMatch::Presence]),
            true,
            false,
        ),
        (
            "account",
            accounts(vec![account("shop", "web")]),
            true,
            false,
        ),
        (
            "account elsewhere",
            accounts(vec![account("bank", "web")]),
            false,
            false,
        ),
        (
            "another account",
            accounts(vec![account("shop", "api")]),
            false,
            false,
        ),
        (
            "one of two",
            accounts(vec![account("a", "b"), account("shop", "web")]),
            true,
            false,
        ),
    ]);
}

#[test]
fn addresses_and_ports_hold_with_and_without_identity() {
    let source = |yes: &[&str], no: &[&str]| Match {
        source_ips: yes.iter().map(|text| net(text)).collect(),
        not_source_ips: no.iter().map(|text| net(text)).collect(),
        ..Match::default()
    };
    let destination = |yes: &[&str], no: &[&str]| Match {
        destination_ips: yes.iter().map(|text| net(text)).collect(),
        not_destination_ips: no.iter().map(|text| net(text)).collect(),
        ..Match::default()
    };
    let ports = |yes: &[u16], no: &[u16]| Match {
        destination_ports: yes.to_vec(),
        not_destination_ports: no.to_vec(),
        ..Match::default()
    };
    check(vec![
        ("source", source(&["10.0.0.9/32"], &[]), true, true),
        ("source range", source(&["10.0.0.0/24"], &[]), true, true),
        (
            "source elsewhere",
            source(&["10.0.1.0/24"], &[]),
            false,
            false,
        ),
        (
            "source of the other family",
            source(&["::/0"], &[]),
            false,
            false,
        ),
        ("not source", source(&[], &["10.0.0.9/32"]), false, false),
        (
            "not source elsewhere",
            source(&[], &["10.0.1.0/24"]),
            true,
            true,
        ),
        (
            "range but one",
            source(&["10.0.0.0/24"], &["10.0.0.9/32"]),
            false,
            false,
        ),
        (
            "destination",
            destination(&["10.0.0.1/32"], &[]),
            true,
            true,
        ),
        (
            "destination is not the source",
            destination(&["10.0.0.9/32"], &[]),
            false,
            false,
        ),
        (
            "not destination",
            destination(&[], &["10.0.0.1/32"]),
            false,
            false,
        ),
        ("port", ports(&[80, 8080], &[]), true, true),
        ("other ports", ports(&[80], &[]), false, false),
        ("not port", ports(&[], &[8080]), false, false),
        ("not other port", ports(&[], &[80]), true, true),
    ]);
}

#[test]
fn all_kinds_of_a_match_must_hold() {
    let both = |port: u16, namespace: &str| Match {
        destination_ports: vec![port],
        namespaces: vec![exact(namespace)],
        ..Match::default()
    };
    check(vec![
        ("both", both(8080, "shop"), true, false),
        ("port only", both(8080, "bank"), false, false),
        ("namespace only", both(80, "shop"), false, false),
    ]);
}

#[test]
fn a_match_that_names_nothing_never_holds() {
    check(vec![("empty", Match::default(), false, false)]);
}

#[test]
fn what_is_not_understood_never_opens_a_door() {
    let web = id("shop", "web");
    let alone = Match {
        unsupported: true,
        ..Match::default()
    };
    let holding = Match {
        destination_ports: vec![8080],
        ..alone.clone()
    };
    let missing = Match {
        destination_ports: vec![80],
        ..alone.clone()
    };
    for one in [alone, holding, missing] {
        for peer in [Some(&web), None] {
            assert!(!holds_for(Action::Allow, &one, peer));
            assert!(holds_for(Action::Deny, &one, peer));
        }
    }
}

#[test]
fn rules_are_any_clauses_are_all_and_matches_are_any() {
    let port = |port: u16| Match {
        destination_ports: vec![port],
        ..Match::default()
    };
    let clause = |ports: &[u16]| Clause {
        matches: ports.iter().map(|p| port(*p)).collect(),
    };
    let rule = |clauses: &[&[u16]]| Rule {
        clauses: clauses.iter().map(|c| clause(c)).collect(),
    };
    let (yes, no): (&[u16], &[u16]) = (&[1, 8080], &[1, 2]);
    let cases: [(&str, Vec<Rule>, bool); 9] = [
        ("no rule", vec![], false),
        ("a rule without clauses", vec![rule(&[])], true),
        ("a clause without matches", vec![rule(&[&[]])], false),
        ("one match of two", vec![rule(&[yes])], true),
        ("no match of two", vec![rule(&[no])], false),
        ("both clauses", vec![rule(&[yes, yes])], true),
        ("one clause of two", vec![rule(&[yes, no])], false),
        ("one rule of two", vec![rule(&[no]), rule(&[yes])], true),
        (
            "a rule that fails and one without clauses",
            vec![rule(&[no]), rule(&[])],
            true,
        ),
    ];
    let destination = addr("10.0.0.1:8080");
    let connection = Connection {
        source: ip("10.0.0.9"),
        destination,
        peer: None,
        client_is_judged: false,
    };
    for (name, rules, expected) in cases {
        for action in [Action::Allow, Action::Deny] {
            assert_eq!(
                matches(&policy("p", action, rules.clone()), &connection),
                expected,
                "{name}"
            );
        }
    }
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_matched_as_ipv4() {
    let one = Match {
        source_ips: vec![net("10.0.0.0/24")],
        destination_ips: vec![net("10.0.0.1/32")],
        ..Match::default()
    };
    let rules = vec![Rule {
        clauses: vec![Clause { matches: vec![one] }],
    }];
    let connection = Connection {
        source: ip("::ffff:10.0.0.9"),
        destination: addr("[::ffff:10.0.0.1]:8080"),
        peer: None,
        client_is_judged: false,
    };
    assert!(matches(&policy("p", Action::Deny, rules), &connection));
}
