//! The client is judged as the workload's own agent would judge it.

use ambit_model::{Action, Clause, Match, PolicyName, Rule, StringMatch};

use super::*;
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
