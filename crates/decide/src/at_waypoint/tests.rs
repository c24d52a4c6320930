//! The client is judged as the workload's own agent would judge it.

use ambit_model::{
    Action, Clause, Match, PolicyName, RequestAction, RequestPolicy, Rule, StringMatch,
    WaypointPolicy,
};

use super::*;
use crate::authorize::DryRun;
use crate::fixtures::{addr, id, ip, mesh, policy, waypoint, workload};
use crate::refusal::Reason;

fn deny_account(account: &str) -> Vec<Rule> {
    let principal = format!("cluster.local/ns/shop/sa/{account}");
    let matches = vec![Match {
        principals: vec![StringMatch::Exact(principal.into())],
        ..Match::default()
    }];
    vec![Rule {
        clauses: vec![Clause { matches }],
    }]
}

#[test]
fn policies_about_clients_are_judged_here() {
    let mut web = workload("web", &["10.0.0.1"]);
    web.waypoint = waypoint();
    let deny = policy("deny", Action::Deny, deny_account("mallory"));
    let mesh = mesh([web.clone()], [], [deny]);
    let judge = |account: &str| {
        let peer = id("shop", account);
        let connection = Connection::new(ip("10.0.0.9"), addr("10.0.0.1:8080"), Some(&peer));
        let nothing = |_: &Policy| Said::Nothing;
        let judged = at_waypoint(&mesh, &web, &connection, nothing);
        let explained = explain_at_waypoint(&mesh, &web, &connection, nothing);
        assert_eq!(explained.outcome, judged, "explaining changes nothing");
        assert!(!explained.steps.is_empty());
        judged.map(drop).map_err(|refusal| refusal.reason)
    };
    assert_eq!(judge("alice"), Ok(()));
    assert_eq!(judge("mallory"), Err(Reason::PolicyDenied));
}

#[test]
fn a_workload_of_which_a_policy_is_missing_is_not_served() {
    let mut web = workload("web", &["10.0.0.1"]);
    web.applicable_policies = Some(vec![PolicyName::new("shop", "late")]);
    let mesh = mesh([web.clone()], [], []);
    let connection = Connection::new(ip("10.0.0.9"), addr("10.0.0.1:8080"), None);
    let refusal = at_waypoint(&mesh, &web, &connection, |_| Said::Nothing);
    assert_eq!(refusal.unwrap_err().reason, Reason::PoliciesUnknown);
}

#[test]
fn what_is_said_of_a_policy_decides_and_what_is_judged_elsewhere_does_not() {
    let everything = || vec![Rule::default()];
    let [deny, allow, other] = [
        policy("deny", Action::Deny, everything()),
        policy("allow", Action::Allow, Vec::new()),
        policy("other", Action::Allow, Vec::new()),
    ]
    .map(Arc::new);
    let connection = Connection::new(ip("10.0.0.9"), addr("10.0.0.1:8080"), None);
    let cases = [
        (Said::Nothing, Said::Nothing, Err(Reason::PolicyDenied)),
        (
            Said::Rule(None),
            Said::Nothing,
            Err(Reason::NoMatchingAllow),
        ),
        (Said::Elsewhere, Said::Rule(Some(2)), Ok(Some("allow"))),
        (Said::Elsewhere, Said::Elsewhere, Ok(None)),
        (
            Said::Rule(Some(0)),
            Said::Rule(Some(0)),
            Err(Reason::PolicyDenied),
        ),
    ];
    for (of_deny, of_allow, wanted) in cases {
        let say = |policy: &Policy| match &*policy.name.name {
            "deny" => of_deny,
            "allow" => of_allow,
            _ => Said::Elsewhere,
        };
        let policies = || [&deny, &allow, &other].into_iter();
        let judged = before_routing(policies, &"web", &connection, say);
        let allowed_by = judged.map(|admission| admission.allowed_by);
        let told = allowed_by.map_err(|refusal| {
            assert!(!refusal.detail.contains("other"), "{refusal}");
            refusal.reason
        });
        let wanted = wanted.map(|name| name.map(|name| PolicyName::new("shop", name)));
        assert_eq!(told, wanted, "{of_deny:?} {of_allow:?}");
    }
}

/// A policy about requests, of this action: one whose name begins with `dry` is only tried.
fn about_requests(name: &str, action: RequestAction) -> Policy {
    let is_audit = action == RequestAction::Audit;
    let (for_connections, rules) = match action {
        RequestAction::Allow => (Action::Allow, Vec::new()),
        RequestAction::Deny => (Action::Deny, vec![Rule::default()]),
        RequestAction::Audit => (Action::Deny, Vec::new()),
    };
    let told = RequestPolicy {
        name: PolicyName::new("shop", name),
        action,
        dry_run: false,
        rules: Vec::new(),
    };
    Policy {
        dry_run: is_audit || name.starts_with("dry"),
        requests: Some(Arc::new(WaypointPolicy {
            policy: told,
            targets: Vec::new(),
        })),
        ..policy(name, for_connections, rules)
    }
}

/// What comes of a request of which policies say this, before it is routed and at its endpoint alike: as
/// text, `allowed`, `allowed by NAME`, `denied by NAME RULE` or `not allowed`.
fn judged(policies: &[(&str, RequestAction, Option<usize>)]) -> (String, Vec<DryRun>) {
    let made = policies
        .iter()
        .map(|(name, action, _)| about_requests(name, *action));
    let all: Vec<_> = made.collect();
    let say = |policy: &Policy| {
        let mut named = policies
            .iter()
            .filter(|(name, ..)| **name == *policy.name.name);
        Said::Rule(named.next().unwrap().2)
    };
    let connection = Connection::new(ip("10.0.0.9"), addr("10.0.0.1:8080"), None);
    let shared: Vec<_> = all.iter().cloned().map(Arc::new).collect();
    let before = before_routing(|| shared.iter(), &"web", &connection, say);
    let web = workload("web", &["10.0.0.1"]);
    let at_endpoint = at_waypoint(&mesh([web.clone()], [], all), &web, &connection, say);
    let [before, at_endpoint] = [before, at_endpoint].map(|outcome| match outcome {
        Ok(admission) => {
            let by = admission.allowed_by;
            let by = by.map_or_else(String::new, |by| format!(" by {}", by.name));
            (format!("allowed{by}"), admission.dry_run)
        }
        Err(refusal) if refusal.reason == Reason::NoMatchingAllow => {
            ("not allowed".to_owned(), Vec::new())
        }
        Err(refusal) => {
            let by = refusal.policy.as_ref().unwrap();
            let rule = refusal.detail.rsplit(' ').next().unwrap();
            (format!("denied by {} {rule}", by.name), Vec::new())
        }
    });
    assert_eq!(before, at_endpoint, "{policies:?}");
    before
}

#[test]
fn a_deny_that_matches_refuses_and_one_allow_must_match_if_there_is_one() {
    use RequestAction::{Allow, Audit, Deny};
    let (yes, no) = (Some(0), None);
    for (policies, expected) in [
        (&[][..], "allowed"),
        (&[("d", Deny, no)], "allowed"),
        (&[("d", Deny, yes)], "denied by d 0"),
        (&[("d", Deny, Some(2))], "denied by d 2"),
        (&[("a", Allow, yes)], "allowed by a"),
        (&[("a", Allow, no)], "not allowed"),
        (&[("a", Allow, no), ("b", Allow, yes)], "allowed by b"),
        (&[("a", Allow, yes), ("b", Allow, no)], "allowed by a"),
        (&[("a", Allow, yes), ("b", Allow, yes)], "allowed by a"),
        (&[("a", Allow, no), ("b", Allow, no)], "not allowed"),
        (&[("a", Allow, yes), ("d", Deny, yes)], "denied by d 0"),
        (&[("d", Deny, yes), ("e", Allow, yes)], "denied by d 0"),
        (&[("a", Allow, yes), ("d", Deny, no)], "allowed by a"),
        (&[("a", Allow, no), ("d", Deny, no)], "not allowed"),
        (&[("a", Allow, no), ("d", Deny, yes)], "denied by d 0"),
        (&[("d", Deny, yes), ("e", Deny, yes)], "denied by d 0"),
        (&[("d", Deny, no), ("e", Deny, yes)], "denied by e 0"),
        (&[("u", Audit, yes)], "allowed"),
        (&[("a", Allow, no), ("u", Audit, yes)], "not allowed"),
        (&[("dry-d", Deny, yes)], "allowed"),
        (&[("dry-a", Allow, no)], "allowed"),
        (&[("a", Allow, no), ("dry-a", Allow, yes)], "not allowed"),
        (&[("a", Allow, yes), ("dry-d", Deny, yes)], "allowed by a"),
    ] {
        assert_eq!(judged(policies).0, expected, "{policies:?}");
    }
}

#[test]
fn audits_that_match_are_told_and_all_that_is_only_tried() {
    use RequestAction::{Allow, Audit, Deny};
    let policies = [
        ("dry-a-no", Allow, None),
        ("dry-a-yes", Allow, Some(0)),
        ("dry-d-no", Deny, None),
        ("dry-d-yes", Deny, Some(1)),
        ("u-no", Audit, None),
        ("u-yes", Audit, Some(1)),
    ];
    let (outcome, told) = judged(&policies);
    assert_eq!(outcome, "allowed");
    let told: Vec<_> = told
        .iter()
        .map(|one| {
            let name = &*one.policy.name;
            (name, one.matched, one.is_audit, one.would_refuse())
        })
        .collect();
    let expected = [
        ("dry-a-no", false, false, true),
        ("dry-a-yes", true, false, false),
        ("dry-d-no", false, false, false),
        ("dry-d-yes", true, false, true),
        ("u-yes", true, true, false),
    ];
    assert_eq!(told, expected);
    // What decides is not told twice.
    assert!(judged(&[("a", Allow, Some(0))]).1.is_empty());
}
