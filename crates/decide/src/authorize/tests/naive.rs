//! Random policies and connections, checked against the rules of the protocol said once more, in
//! the most literal way.

use std::sync::Arc;

use ambit_model::Scope;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::at_waypoint::at_waypoint;
use crate::fixtures::{mesh, workload};

/// What a connection is, as plain texts.
struct Facts {
    principal: Option<String>,
    namespace: Option<String>,
    account: Option<(String, String)>,
    source: IpAddr,
    destination: SocketAddr,
    judged: bool,
}

fn facts(connection: &Connection<'_>) -> Facts {
    let parts =
        |peer: &SpiffeId| -> Vec<String> { peer.as_str().split('/').map(str::to_owned).collect() };
    let parts = connection.peer.map(parts);
    Facts {
        principal: parts.as_ref().map(|p| p[2..].join("/")),
        namespace: parts.as_ref().map(|p| p[4].clone()),
        account: parts.as_ref().map(|p| (p[4].clone(), p[6].clone())),
        source: connection.source,
        destination: connection.destination,
        judged: connection.client_is_judged,
    }
}

fn text(wanted: &StringMatch, actual: Option<&String>) -> bool {
    match (wanted, actual) {
        (_, None) => false,
        (StringMatch::Exact(exact), Some(actual)) => **exact == **actual,
        (StringMatch::Prefix(prefix), Some(actual)) => actual.starts_with(&**prefix),
        (StringMatch::Suffix(suffix), Some(actual)) => actual.ends_with(&**suffix),
        (StringMatch::Presence, Some(actual)) => !actual.is_empty(),
    }
}

fn account_is(wanted: &ServiceAccountMatch, facts: &Facts) -> bool {
    facts.account.as_ref().is_some_and(|(namespace, account)| {
        **namespace == *wanted.namespace && **account == *wanted.service_account
    })
}

/// The values of one kind that were given, and how many of them hold.
struct Kind {
    wanted: Vec<bool>,
    unwanted: Vec<bool>,
}

fn kinds(one: &Match, facts: &Facts) -> Vec<Kind> {
    let principal = |w: &StringMatch| text(w, facts.principal.as_ref());
    let namespace = |w: &StringMatch| text(w, facts.namespace.as_ref());
    let source = |net: &IpNet| net.contains(&facts.source);
    let destination = |net: &IpNet| net.contains(&facts.destination.ip());
    let port = |port: &u16| *port == facts.destination.port();
    let account = |w: &ServiceAccountMatch| account_is(w, facts);
    fn kind<V>(wanted: &[V], unwanted: &[V], holds: impl Fn(&V) -> bool) -> Kind {
        let judge = |values: &[V]| values.iter().map(&holds).collect();
        Kind {
            wanted: judge(wanted),
            unwanted: judge(unwanted),
        }
    }
    vec![
        kind(&one.principals, &one.not_principals, principal),
        kind(&one.namespaces, &one.not_namespaces, namespace),
        kind(&one.source_ips, &one.not_source_ips, source),
        kind(&one.destination_ips, &one.not_destination_ips, destination),
        kind(&one.destination_ports, &one.not_destination_ports, port),
        kind(&one.service_accounts, &one.not_service_accounts, account),
    ]
}

fn match_says(one: &Match, action: Action, facts: &Facts) -> bool {
    if one.unsupported {
        return action == Action::Deny;
    }
    let mut kinds = kinds(one, facts);
    if facts.judged {
        for client in [0, 1, 2, 5] {
            let kind = &mut kinds[client];
            if !kind.wanted.is_empty() || !kind.unwanted.is_empty() {
                *kind = Kind {
                    wanted: vec![action == Action::Allow],
                    unwanted: Vec::new(),
                };
            }
        }
    }
    let named = kinds
        .iter()
        .any(|kind| !kind.wanted.is_empty() || !kind.unwanted.is_empty());
    named
        && kinds.iter().all(|kind| {
            let one_of_these = kind.wanted.is_empty() || kind.wanted.contains(&true);
            let none_of_those = !kind.unwanted.contains(&true);
            one_of_these && none_of_those
        })
}

fn policy_says(policy: &Policy, facts: &Facts) -> bool {
    for rule in &policy.rules {
        let mut clauses = Vec::new();
        for clause in &rule.clauses {
            let matches = clause
                .matches
                .iter()
                .map(|one| match_says(one, policy.action, facts));
            clauses.push(matches.filter(|says| *says).count() > 0);
        }
        if !clauses.contains(&false) {
            return true;
        }
    }
    false
}

/// Whether the connection may pass: DENY first, then ALLOW if there is any; dry runs do not count.
fn may_pass(policies: &[Policy], facts: &Facts) -> bool {
    let enforced = |action| {
        policies
            .iter()
            .filter(move |p| !p.dry_run && p.action == action)
    };
    if enforced(Action::Deny).any(|policy| policy_says(policy, facts)) {
        return false;
    }
    enforced(Action::Allow).count() == 0
        || enforced(Action::Allow).any(|policy| policy_says(policy, facts))
}

fn any_text(values: &'static [&'static str]) -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        select(values).prop_map(exact),
        (select(values), 0..12_usize).prop_map(|(t, n)| prefix(t.get(..n).unwrap_or(t))),
        (select(values), 0..12_usize).prop_map(|(t, n)| suffix(t.get(n..).unwrap_or(""))),
        Just(StringMatch::Presence),
    ]
}

const PRINCIPALS: &[&str] = &["cluster.local/ns/a/sa/x", "cluster.local/ns/b/sa/y"];
const NAMESPACES: &[&str] = &["a", "b"];
const ACCOUNTS: &[&str] = &["x", "y"];
const NETS: &[&str] = &[
    "10.0.0.1/32",
    "10.0.0.0/31",
    "10.0.0.0/8",
    "fd00::/64",
    "0.0.0.0/0",
];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.0.0.0", "10.9.9.9", "fd00::1"];

/// Mostly empty lists, so that matches hold often enough to be of interest.
fn few<V: fmt::Debug>(value: impl Strategy<Value = V>) -> impl Strategy<Value = Vec<V>> {
    prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(2)].prop_flat_map({
        let value = Arc::new(value);
        move |count| prop::collection::vec(Arc::clone(&value), count)
    })
}

fn any_match() -> impl Strategy<Value = Match> {
    let account = || {
        (select(NAMESPACES), select(ACCOUNTS))
            .prop_map(|(namespace, name)| account(namespace, name))
    };
    let nets = || few(select(NETS).prop_map(net));
    let ports = || few(80..82_u16);
    (
        (few(any_text(PRINCIPALS)), few(any_text(PRINCIPALS))),
        (few(any_text(NAMESPACES)), few(any_text(NAMESPACES))),
        (nets(), nets()),
        (nets(), nets()),
        (ports(), ports()),
        (few(account()), few(account())),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(principals, namespaces, sources, destinations, ports, accounts, unsupported)| Match {
                principals: principals.0,
                not_principals: principals.1,
                namespaces: namespaces.0,
                not_namespaces: namespaces.1,
                source_ips: sources.0,
                not_source_ips: sources.1,
                destination_ips: destinations.0,
                not_destination_ips: destinations.1,
                destination_ports: ports.0,
                not_destination_ports: ports.1,
                service_accounts: accounts.0,
                not_service_accounts: accounts.1,
                unsupported,
            },
        )
}

fn any_policies() -> impl Strategy<Value = Vec<Policy>> {
    let clause = prop::collection::vec(any_match(), 0..3).prop_map(|matches| Clause { matches });
    let rule = prop::collection::vec(clause, 0..3).prop_map(|clauses| Rule { clauses });
    let rules = prop::collection::vec(rule, 0..3);
    let one = (
        select(&[Action::Allow, Action::Deny]),
        rules,
        prop::bool::weighted(0.2),
    );
    prop::collection::vec(one, 0..4).prop_map(|drawn| {
        let named = |(number, (action, rules, dry_run)): (usize, _)| Policy {
            dry_run,
            scope: Scope::Global,
            ..policy(&format!("p{number}"), action, rules)
        };
        drawn.into_iter().enumerate().map(named).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_verdict_equals_the_rules_said_literally(
        policies in any_policies(),
        peer in prop::option::of((select(NAMESPACES), select(ACCOUNTS))),
        source in select(ADDRESSES),
        destination in select(ADDRESSES),
        port in 80..82_u16,
        client_is_judged in any::<bool>(),
    ) {
        let peer = peer.map(|(namespace, name)| id(namespace, name));
        let connection = Connection {
            source: ip(source),
            destination: SocketAddr::new(ip(destination), port),
            peer: peer.as_ref(),
            client_is_judged,
        };
        let facts = facts(&connection);
        for policy in &policies {
            prop_assert_eq!(matches(policy, &connection), policy_says(policy, &facts));
        }
        let web = workload("web", &["10.0.0.1"]);
        let mesh = mesh([], [], policies.clone());
        let admission = at_waypoint(&mesh, &web, &connection, |_| Said::Nothing);
        prop_assert_eq!(admission.is_ok(), may_pass(&policies, &facts));
        if let Ok(admission) = admission {
            // A DENY without rules has nothing to say.
            let says = |policy: &&Policy| policy.action == Action::Allow || !policy.rules.is_empty();
            let tried = policies.iter().filter(|policy| policy.dry_run);
            let tried = tried.filter(says).count();
            prop_assert_eq!(admission.dry_run.len(), tried);
        }
    }
}
