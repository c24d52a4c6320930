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
        let (client, to) = (ip("10.0.0.9"), addr("10.0.0.1:8080"));
        let judged = at_waypoint(&mesh, &web, client, to, Some(&peer));
        let explained = explain_at_waypoint(&mesh, &web, client, to, Some(&peer));
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
    let refusal = at_waypoint(&mesh, &web, ip("10.0.0.9"), addr("10.0.0.1:8080"), None);
    assert_eq!(refusal.unwrap_err().reason, Reason::PoliciesUnknown);
}
