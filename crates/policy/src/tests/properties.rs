//! Random policies and requests, judged twice.

use std::sync::Arc;

use ambit_model::{
    Condition, Operation, PathPattern, PathTemplate, RequestAction, RequestPolicy,
    RequestPrincipal, RequestRule, ServiceAccountMatch, Source, SpiffeId, StringMatch, Values,
};
use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::asking::{Ask, Asked, Lines};
use super::naive;
use crate::{Claims, Policy};

/// Few letters, so that values meet what is asked often.
fn word() -> impl Strategy<Value = String> {
    "[ab]{1,2}"
}

fn texts(word: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = StringMatch> {
    let word = word.boxed();
    prop_oneof![
        3 => word.clone().prop_map(|text| StringMatch::Exact(text.into())),
        1 => word.clone().prop_map(|text| StringMatch::Prefix(text.into())),
        1 => word.prop_map(|text| StringMatch::Suffix(text.into())),
        1 => Just(StringMatch::Presence),
    ]
}

/// Often nothing, so that a rule has a chance.
fn values<V: std::fmt::Debug>(
    value: impl Strategy<Value = V> + 'static,
) -> impl Strategy<Value = Values<V>> {
    let value = value.boxed();
    let (some, none) = (vec(value.clone(), 1..3), vec(value, 0..2));
    (some, none, 0..4).prop_map(|(any, none, which)| match which {
        0 => Values { any, none },
        1 => Values {
            any: Vec::new(),
            none,
        },
        _ => Values {
            any,
            none: Vec::new(),
        },
    })
}

fn seldom<V: std::fmt::Debug>(
    value: impl Strategy<Value = V> + 'static,
) -> impl Strategy<Value = Values<V>> {
    prop_oneof![3 => Just(()).prop_map(|()| Values::default()), 1 => values(value)]
}

fn principal() -> impl Strategy<Value = String> {
    (word(), word()).prop_map(|(namespace, account)| format!("td/ns/{namespace}/sa/{account}"))
}

fn nets() -> impl Strategy<Value = IpNet> {
    let blocks = vec![
        "10.0.0.0/8",
        "10.0.0.1/32",
        "10.0.0.2/31",
        "fd00::/8",
        "0.0.0.0/0",
        "::/0",
    ];
    select(blocks).prop_map(|block| block.parse().unwrap())
}

fn accounts() -> impl Strategy<Value = ServiceAccountMatch> {
    (word(), word()).prop_map(|(namespace, account)| ServiceAccountMatch {
        namespace: namespace.into(),
        service_account: account.into(),
    })
}

fn request_principals() -> impl Strategy<Value = RequestPrincipal> {
    let both = (texts(word()), texts(word()));
    both.prop_map(|(issuer, subject)| RequestPrincipal { issuer, subject })
}

fn ports() -> impl Strategy<Value = u16> {
    80..83_u16
}

fn host() -> impl Strategy<Value = String> {
    "[abA]{1,2}(:8[01]|:|:x)?"
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![9 => "(/[ab]{0,2}){1,4}", 1 => "(\\*)?"]
}

fn paths() -> impl Strategy<Value = PathPattern> {
    let template = "(/(a|b|ab|\\{\\*\\})){0,3}(/\\{\\*\\*\\}(/[ab]{1,2}){0,2})?/?";
    let template = template.prop_filter_map("no template", |text| {
        Some(PathPattern::Template(PathTemplate::parse(&text).ok()?))
    });
    prop_oneof![texts(path_text()).prop_map(PathPattern::Text), template]
}

fn path_text() -> impl Strategy<Value = String> {
    "(/[ab]{0,2}){1,3}"
}

fn source() -> impl Strategy<Value = Source> {
    let identity = (
        seldom(texts(principal())),
        seldom(texts(word())),
        seldom(accounts()),
    );
    let request = (seldom(request_principals()), seldom(nets()), seldom(nets()));
    (identity, request).prop_map(|(identity, request)| Source {
        principals: identity.0,
        namespaces: identity.1,
        service_accounts: identity.2,
        request_principals: request.0,
        ip_blocks: request.1,
        remote_ip_blocks: request.2,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let lower = host().prop_map(|host| host.to_lowercase());
    let fields = (
        seldom(texts(lower)),
        seldom(ports()),
        seldom(texts(
            select(vec!["GET", "PUT", "get"]).prop_map(str::to_owned),
        )),
        seldom(paths()),
    );
    fields.prop_map(|(hosts, ports, methods, paths)| Operation {
        hosts,
        ports,
        methods,
        paths,
    })
}

/// `a` and `b` are names of claims and headers.
fn condition() -> impl Strategy<Value = Condition> {
    let header = (
        select(vec!["a", "b", "host", ":path"]),
        values(texts(host())),
    );
    let header = header.prop_map(|(name, values)| Condition::Header {
        name: name.into(),
        values,
    });
    let claim = (vec("[ab]".prop_map(Arc::from), 0..3), values(texts(word())));
    prop_oneof![
        3 => header,
        3 => claim.prop_map(|(path, values)| Condition::Claim { path, values }),
        1 => values(request_principals()).prop_map(Condition::RequestPrincipal),
        1 => values(texts(word())).prop_map(Condition::Audiences),
        1 => values(texts(word())).prop_map(Condition::Presenter),
        1 => values(nets()).prop_map(Condition::SourceIp),
        1 => values(nets()).prop_map(Condition::RemoteIp),
        1 => values(texts(word())).prop_map(Condition::SourceNamespace),
        1 => values(texts(principal())).prop_map(Condition::SourcePrincipal),
        1 => values(accounts()).prop_map(Condition::SourceServiceAccount),
        1 => values(nets()).prop_map(Condition::DestinationIp),
        1 => values(ports()).prop_map(Condition::DestinationPort),
        1 => values(texts(word())).prop_map(Condition::Sni),
    ]
}

fn rule() -> impl Strategy<Value = RequestRule> {
    let lists = (
        vec(source(), 0..3),
        vec(operation(), 0..3),
        vec(condition(), 0..3),
    );
    (lists, 0..20).prop_map(|((from, to, when), unsupported)| RequestRule {
        from: from
            .into_iter()
            .filter(|source| unsupported < 2 || !source.is_empty())
            .collect(),
        to: to
            .into_iter()
            .filter(|one| unsupported < 2 || !one.is_empty())
            .collect(),
        when,
        unsupported: unsupported == 0,
    })
}

fn policy() -> impl Strategy<Value = RequestPolicy> {
    let action = select(vec![
        RequestAction::Allow,
        RequestAction::Deny,
        RequestAction::Audit,
    ]);
    (action, vec(rule(), 0..4))
        .prop_map(|(action, rules)| super::asking::policy("0", action, rules))
}

fn claim_value() -> impl Strategy<Value = Value> {
    let text = "[ab]{0,2}".prop_map(Value::from);
    prop_oneof![
        4 => text.clone(),
        2 => vec(text.clone(), 0..3).prop_map(Value::from),
        2 => ("[ab]", text).prop_map(|(name, value)| json!({name: value})),
        1 => Just(json!(1)),
    ]
}

fn token() -> impl Strategy<Value = Value> {
    let names = select(vec!["a", "b", "iss", "sub", "aud", "azp"]);
    let claims = vec((names, claim_value()), 0..7);
    claims.prop_map(|claims| {
        let pairs = claims
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Value::Object(pairs.collect())
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let line = (select(vec!["a", "b", "host"]), "[ab,]{0,2}");
    let line = line.prop_map(|(name, value)| (name.to_owned(), value.into_bytes()));
    let method = select(vec!["GET", "PUT", "get"]);
    let fields = (
        method,
        option::of(host()),
        path(),
        vec(line, 0..4),
        option::of(token()),
    );
    fields.prop_map(|(method, host, path, lines, token)| Asked {
        method: method.to_owned(),
        host,
        path,
        headers: Lines(lines),
        claims: token
            .clone()
            .map(|token| Claims::new(token.as_object().unwrap().clone())),
        token,
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let addresses = vec![
        "10.0.0.1",
        "10.0.0.2",
        "::ffff:10.0.0.3",
        "192.0.2.1",
        "fd00::1",
    ];
    let address = || select(addresses.clone()).prop_map(|text| text.parse().unwrap());
    let peer = (word(), word());
    let peer =
        peer.prop_map(|(namespace, account)| SpiffeId::from_parts("td", &namespace, &account));
    let connection = (option::of(peer), address(), address(), address(), ports());
    let request = option::weighted(0.8, asked());
    (connection, option::of(word()), request).prop_map(|(connection, sni, request)| {
        let (peer, source_ip, remote_ip, address, port) = connection;
        Ask {
            peer,
            source_ip,
            remote_ip,
            destination: (address, port).into(),
            sni,
            request,
        }
    })
}

/// Clients of which most rules are for one or two.
const CLIENTS: [&str; 3] = ["td/ns/a/sa/a", "td/ns/a/sa/b", "td/ns/b/sa/a"];

/// Rules by identity, most of them by whole ones, some of which ask for something else too.
fn rule_by_identity() -> impl Strategy<Value = RequestRule> {
    let whole = || select(CLIENTS.to_vec()).prop_map(|id| StringMatch::Exact(id.into()));
    let part = select(vec![
        StringMatch::Prefix("td/ns/a/".into()),
        StringMatch::Suffix("/sa/a".into()),
        StringMatch::Presence,
    ]);
    let names = move || {
        let one = prop_oneof![9 => whole(), 1 => part.clone()];
        let lists = (vec(one.clone(), 0..3), vec(one, 0..2));
        (lists, 0..4).prop_map(|((any, none), which)| Values {
            any,
            none: if which == 0 { none } else { Vec::new() },
        })
    };
    let namespaces =
        seldom(select(vec!["a", "b"]).prop_map(|name| StringMatch::Exact(name.into())));
    let source = (names(), namespaces).prop_map(|(principals, namespaces)| Source {
        principals,
        namespaces,
        ..Source::default()
    });
    let when = names().prop_map(Condition::SourcePrincipal);
    (vec(source, 0..3), vec(when, 0..2)).prop_map(|(from, when)| RequestRule {
        from: from
            .into_iter()
            .filter(|source| !source.is_empty())
            .collect(),
        when: when.into_iter().filter(|one| !one.is_empty()).collect(),
        ..RequestRule::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn policies_match_what_a_reader_of_the_model_would_match(policy in policy(), ask in ask()) {
        let matched = Policy::new(&policy).matched_by(&ask.attributes());
        prop_assert_eq!(matched, naive::first_rule(&policy, &ask));
    }

    #[test]
    fn single_rules_match_what_a_reader_of_the_model_would_match(rule in rule(), ask in ask()) {
        for action in [RequestAction::Allow, RequestAction::Deny] {
            let policy = super::asking::policy("0", action, vec![rule.clone()]);
            let matched = Policy::new(&policy).matched_by(&ask.attributes());
            prop_assert_eq!(matched, naive::first_rule(&policy, &ask), "{:?}", action);
        }
    }

    #[test]
    fn of_many_rules_by_identity_the_first_that_matches_is_found(
        rules in vec(rule_by_identity(), 1..12),
        client in option::of(select(CLIENTS.to_vec())),
        action in select(vec![RequestAction::Allow, RequestAction::Deny]),
    ) {
        let ask = match client {
            Some(id) => super::asking::web().peer(&format!("spiffe://{id}")),
            None => super::asking::web().plaintext(),
        };
        let policy = super::asking::policy("0", action, rules);
        let naive = naive::first_rule(&policy, &ask);
        let compiled = Policy::new(&policy);
        prop_assert_eq!(compiled.matched_by(&ask.attributes()), naive);
        // Nothing is asked about a request, so that the best one fares as any.
        prop_assert_eq!(compiled.matched_at_best(&ask.attributes()), naive);
    }

    #[test]
    fn paths_are_met_as_a_reader_of_the_pattern_would(pattern in paths(), path in path()) {
        let operation = Operation {
            paths: Values { any: vec![pattern], none: Vec::new() },
            ..Operation::default()
        };
        let rule = RequestRule { to: vec![operation], ..RequestRule::default() };
        let ask = super::asking::web().path(&path);
        let policy = super::asking::policy("0", RequestAction::Deny, vec![rule]);
        let matched = Policy::new(&policy).matched_by(&ask.attributes());
        prop_assert_eq!(matched, naive::first_rule(&policy, &ask));
    }
}
