use ambit_model::{Action, Clause, Match, Policy, PolicyOrigin, Rule, Scope, StringMatch};

use super::*;
use crate::authorize::DryRun;
use crate::fixtures::{addr, id, ip, mesh, policy, workload};
use crate::trace::Step;

const CLIENT: &str = "10.0.0.9";

fn one(matched: Match) -> Vec<Rule> {
    vec![Rule {
        clauses: vec![Clause {
            matches: vec![matched],
        }],
    }]
}

fn from_account(account: &str) -> Vec<Rule> {
    let principal = format!("cluster.local/ns/shop/sa/{account}");
    one(Match {
        principals: vec![StringMatch::Exact(principal.into())],
        ..Match::default()
    })
}

fn strict() -> Policy {
    let rules = one(Match {
        not_principals: vec![StringMatch::Presence],
        ..Match::default()
    });
    let origin = PolicyOrigin::PeerAuthentication;
    Policy {
        origin,
        ..policy("strict", Action::Deny, rules)
    }
}

/// Sends a connection of this peer to port 8080 of a pod under these policies.
fn send(policies: &[Policy], peer: Option<&SpiffeId>) -> Result<Admission, Reason> {
    let web = workload("web", &["10.0.0.1"]);
    let mesh = mesh([web.clone()], [], policies.iter().cloned());
    let query = InboundQuery {
        workload: &web,
        destination: addr("10.0.0.1:8080"),
        source: ip(CLIENT),
        peer,
    };
    let decided = inbound(&mesh, &query);
    assert_eq!(
        explain_inbound(&mesh, &query).outcome,
        decided,
        "explaining changes nothing"
    );
    decided.map_err(|refusal| refusal.reason)
}

fn allowed_by(name: &str) -> Result<Admission, Reason> {
    Ok(Admission {
        allowed_by: Some(PolicyName::new("shop", name)),
        dry_run: Vec::new(),
        from_waypoint: false,
    })
}

#[test]
fn deny_comes_before_allow_and_allow_needs_a_match_where_it_applies() {
    let client = id("shop", "client");
    let allow = |account: &str| policy("allow", Action::Allow, from_account(account));
    let deny = |account: &str| policy("deny", Action::Deny, from_account(account));
    let all = || policy("all", Action::Allow, vec![Rule::default()]);
    let none = || policy("none", Action::Allow, vec![]);
    let open = || Ok(Admission::default());
    let cases: Vec<(&str, Vec<Policy>, Result<Admission, Reason>)> = vec![
        ("no policy", vec![], open()),
        ("a DENY for somebody else", vec![deny("other")], open()),
        (
            "a DENY that matches",
            vec![deny("client")],
            Err(Reason::PolicyDenied),
        ),
        (
            "an ALLOW that matches",
            vec![allow("client")],
            allowed_by("allow"),
        ),
        (
            "an ALLOW for somebody else",
            vec![allow("other")],
            Err(Reason::NoMatchingAllow),
        ),
        (
            "one ALLOW of two",
            vec![allow("other"), all()],
            allowed_by("all"),
        ),
        (
            "DENY and ALLOW",
            vec![all(), deny("client")],
            Err(Reason::PolicyDenied),
        ),
        (
            "ALLOW without rules",
            vec![none()],
            Err(Reason::NoMatchingAllow),
        ),
        (
            "DENY without rules",
            vec![policy("deny", Action::Deny, vec![])],
            open(),
        ),
        (
            "ALLOW without rules and one that matches",
            vec![none(), all()],
            allowed_by("all"),
        ),
    ];
    for (name, policies, expected) in cases {
        assert_eq!(send(&policies, Some(&client)), expected, "{name}");
    }
}

#[test]
fn plaintext_is_refused_by_a_strict_peer_authentication_under_its_own_word() {
    let client = id("shop", "client");
    assert_eq!(send(&[strict()], None), Err(Reason::PlaintextRefused));
    assert_eq!(send(&[strict()], Some(&client)), Ok(Admission::default()));

    let by_hand = Policy {
        origin: PolicyOrigin::AuthorizationPolicy,
        ..strict()
    };
    assert_eq!(send(&[by_hand], None), Err(Reason::PolicyDenied));

    let everybody = Policy {
        rules: vec![Rule::default()],
        ..strict()
    };
    assert_eq!(send(&[everybody], Some(&client)), Err(Reason::PolicyDenied));
}

#[test]
fn a_port_exempt_from_strict_takes_plaintext() {
    let mut exempt = strict();
    let not_there = Match {
        not_destination_ports: vec![8080],
        ..Match::default()
    };
    exempt.rules[0].clauses.push(Clause {
        matches: vec![not_there],
    });
    assert_eq!(send(&[exempt.clone()], None), Ok(Admission::default()));
    exempt.rules[0].clauses[1].matches[0].not_destination_ports = vec![9090];
    assert_eq!(send(&[exempt], None), Err(Reason::PlaintextRefused));
}

#[test]
fn a_dry_run_is_reported_and_never_enforced() {
    let client = id("shop", "client");
    let dry = |name: &str, action, account: &str| Policy {
        dry_run: true,
        ..policy(name, action, from_account(account))
    };
    let policies = [
        dry("a", Action::Deny, "client"),
        dry("b", Action::Allow, "other"),
        dry("c", Action::Deny, "other"),
    ];
    let admission = send(&policies, Some(&client)).unwrap();
    assert_eq!(admission.allowed_by, None);
    let said: Vec<_> = admission
        .dry_run
        .iter()
        .map(|run: &DryRun| (&*run.policy.name, run.matched, run.would_refuse()))
        .collect();
    assert_eq!(
        said,
        [("a", true, true), ("b", false, true), ("c", false, false)]
    );
}

#[test]
fn a_workload_of_which_a_policy_is_not_known_is_not_served() {
    let known = policy("known", Action::Allow, vec![Rule::default()]);
    let (here, missing) = (known.name.clone(), PolicyName::new("shop", "missing"));
    let serve = |applicable: Option<Vec<PolicyName>>, listed: Vec<PolicyName>| {
        let mut web = workload("web", &["10.0.0.1"]);
        web.applicable_policies = applicable;
        web.policies = listed;
        let mesh = mesh([], [], [known.clone()]);
        let destination = addr("10.0.0.1:8080");
        let query = InboundQuery {
            workload: &web,
            destination,
            source: ip(CLIENT),
            peer: None,
        };
        inbound(&mesh, &query).map_err(|refusal| (refusal.reason, refusal.policy))
    };
    let refused = Err((Reason::PoliciesUnknown, Some(missing.clone())));
    assert!(serve(None, vec![]).is_ok());
    assert!(serve(Some(vec![here.clone()]), vec![here.clone()]).is_ok());
    assert_eq!(
        serve(Some(vec![here.clone(), missing.clone()]), vec![]),
        refused
    );
    assert_eq!(
        serve(Some(vec![here.clone()]), vec![missing.clone()]),
        refused
    );
    assert_eq!(serve(None, vec![missing.clone()]), refused);
}

#[test]
fn a_tunnel_asks_for_the_pod_it_arrived_at_and_nobody_asks_for_the_agent_s_ports() {
    let web = workload("web", &["10.0.0.1", "fd00::1"]);
    let mesh = mesh([web.clone()], [], []);
    let client = id("shop", "client");
    let ask = |destination: &str, peer: Option<&SpiffeId>| {
        let destination = addr(destination);
        let query = InboundQuery {
            workload: &web,
            destination,
            source: ip(CLIENT),
            peer,
        };
        inbound(&mesh, &query)
            .map(drop)
            .map_err(|refusal| refusal.reason)
    };
    let cases = [
        ("10.0.0.1:80", Ok(()), Ok(())),
        ("[fd00::1]:80", Ok(()), Ok(())),
        ("[::ffff:10.0.0.1]:80", Ok(()), Ok(())),
        // A second address of the pod that the mesh does not know: the kernel brought it here.
        ("10.0.0.2:80", Err(Reason::WrongDestination), Ok(())),
        ("127.0.0.1:80", Err(Reason::WrongDestination), Ok(())),
        (
            "10.0.0.1:15001",
            Err(Reason::SelfCall),
            Err(Reason::SelfCall),
        ),
        (
            "10.0.0.1:15006",
            Err(Reason::SelfCall),
            Err(Reason::SelfCall),
        ),
        (
            "10.0.0.1:15008",
            Err(Reason::SelfCall),
            Err(Reason::SelfCall),
        ),
        ("10.0.0.1:15020", Ok(()), Ok(())),
    ];
    for (destination, in_tunnel, in_plaintext) in cases {
        assert_eq!(
            ask(destination, Some(&client)),
            in_tunnel,
            "{destination} in a tunnel"
        );
        assert_eq!(
            ask(destination, None),
            in_plaintext,
            "{destination} in plaintext"
        );
    }
}

#[test]
fn scopes_select_their_workloads() {
    let web = workload("web", &["10.0.0.1"]);
    let mut listing = web.clone();
    listing.policies = vec![PolicyName::new("shop", "deny")];
    let deny = |namespace: &str, scope| Policy {
        name: PolicyName::new(namespace, "deny"),
        scope,
        ..policy("deny", Action::Deny, vec![Rule::default()])
    };
    let cases = [
        (&web, deny("", Scope::Global), false),
        (&web, deny("shop", Scope::Namespace), false),
        (&web, deny("bank", Scope::Namespace), true),
        (&web, deny("shop", Scope::Workload), true),
        (&listing, deny("shop", Scope::Workload), false),
    ];
    for (workload, policy, passes) in cases {
        let said = format!("{:?} of {}", policy.scope, policy.name);
        let mesh = mesh([], [], [policy]);
        let destination = addr("10.0.0.1:80");
        let query = InboundQuery {
            workload,
            destination,
            source: ip(CLIENT),
            peer: None,
        };
        assert_eq!(inbound(&mesh, &query).is_ok(), passes, "{said}");
    }
}

#[test]
fn the_steps_name_every_policy_and_what_came_of_it() {
    let web = workload("web", &["10.0.0.1"]);
    let policies = [
        policy("allow", Action::Allow, from_account("client")),
        policy("deny", Action::Deny, from_account("other")),
    ];
    let mesh = mesh([], [], policies);
    let explain = |account: &str| {
        let peer = id("shop", account);
        let destination = addr("10.0.0.1:80");
        let peer = Some(&peer);
        let query = InboundQuery {
            workload: &web,
            destination,
            source: ip(CLIENT),
            peer,
        };
        let steps = explain_inbound(&mesh, &query).steps;
        steps
            .into_iter()
            .map(|Step { text, object }| (text, object.unwrap()))
            .collect::<Vec<_>>()
    };
    let step = |text: &str, object: &str| (text.to_owned(), object.to_owned());
    let arrival = |account: &str| {
        let text = format!(
            "spiffe://cluster.local/ns/shop/sa/{account} from 10.0.0.9 in a tunnel to 10.0.0.1:80"
        );
        (text, "workload Kubernetes//Pod/shop/web".to_owned())
    };
    assert_eq!(
        explain("client"),
        [
            arrival("client"),
            step("ALLOW policy matches", "policy shop/allow"),
            step("DENY policy does not match", "policy shop/deny"),
            step("admitted", "policy shop/allow"),
        ]
    );
    let refused = "refused: policy_denied: spiffe://cluster.local/ns/shop/sa/other from 10.0.0.9 \
                   to Kubernetes//Pod/shop/web port 80 by policy shop/deny";
    assert_eq!(
        explain("other"),
        [
            arrival("other"),
            step("ALLOW policy does not match", "policy shop/allow"),
            step("DENY policy matches", "policy shop/deny"),
            step(refused, "policy shop/deny"),
        ]
    );
}
