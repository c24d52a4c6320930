//! What is found after policies came, changed and went.

use ambit_model::{RequestAction, RequestRule};

use super::*;
use crate::fixtures::{about_requests, name};

/// A policy of that name for these services, which asks for a server name or for nothing.
fn policy(short: &str, targets: &[&str], asks: bool) -> Arc<Policy> {
    let mut rule = RequestRule::default();
    if asks {
        let key = "connection.sni";
        let none: [&str; 0] = [];
        let condition = ambit_model::Condition::parse(key, &["a"], &none, &"shop".into());
        rule.when.push(condition.unwrap());
    }
    about_requests(short, RequestAction::Deny, vec![rule], targets)
}

#[test]
fn policies_are_found_by_name_and_by_what_they_are_bound_to_as_they_are_now() {
    let mut policies = Policies::default();
    let bound = |policies: &Policies, service: &str| -> Vec<String> {
        let service = name(service);
        let bound = policies.bound(&service);
        bound.map(|policy| policy.name.to_string()).collect()
    };
    let first = policy("first", &["cart", "waypoint"], true);
    let second = policy("second", &["cart"], false);
    policies.put(&first, None);
    policies.put(&second, None);
    assert_eq!(bound(&policies, "cart"), ["shop/first", "shop/second"]);
    assert_eq!(bound(&policies, "waypoint"), ["shop/first"]);
    assert!(policies.ask_for_server_name() && policies.ready(&first.name).is_some());

    let changed = policy("first", &["other"], false);
    policies.put(&changed, Some(&first));
    assert_eq!(bound(&policies, "cart"), ["shop/second"]);
    assert_eq!(bound(&policies, "other"), ["shop/first"]);
    assert!(bound(&policies, "waypoint").is_empty() && !policies.ask_for_server_name());

    let plain = Policy {
        requests: None,
        ..Policy::clone(&changed)
    };
    policies.put(&Arc::new(plain.clone()), Some(&changed));
    assert!(policies.ready(&plain.name).is_none());
    policies.remove(&plain.name, Some(&plain));
    policies.remove(&second.name, Some(&second));
    assert!(policies.is_empty() && policies.bound.is_empty());
}
