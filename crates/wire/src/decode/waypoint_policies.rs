//! Policies with what they say of requests: there and back, and for those who do not read it.

use std::sync::Arc;

use ambit_model::{
    Action, Clause, Match, Operation, PolicyName, PolicyOrigin, RequestAction, RequestPolicy,
    RequestRule, Rule, Scope, ServiceName, WaypointPolicy,
};

use super::*;
use crate::encode::policy_to_wire;
use crate::extension;

/// `GET /cart*` on port 80 is allowed; without requests nothing is.
fn policy() -> Policy {
    let name = PolicyName::new("shop", "p");
    let mut operation = Operation::default();
    for (field, value) in [("methods", "GET"), ("paths", "/cart*"), ("ports", "80")] {
        operation.put(field, &[value]).unwrap();
    }
    let port = Match {
        destination_ports: vec![80],
        ..Match::default()
    };
    let clauses = vec![Clause {
        matches: vec![port],
    }];
    let requests = WaypointPolicy {
        policy: RequestPolicy {
            name: name.clone(),
            action: RequestAction::Allow,
            dry_run: false,
            rules: vec![RequestRule {
                to: vec![operation],
                ..RequestRule::default()
            }],
        },
        targets: vec![ServiceName::new("shop", "web.shop.svc.cluster.local")],
    };
    Policy {
        name,
        scope: Scope::Namespace,
        action: Action::Allow,
        rules: Vec::new(),
        dry_run: false,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: Some(vec![Rule { clauses }]),
        requests: Some(Arc::new(requests)),
    }
}

#[test]
fn a_waypoint_reads_all_of_it_and_others_what_is_about_connections() {
    let (whole, message) = (policy(), policy_to_wire(&policy()));
    assert_eq!(
        waypoint_policy_from_wire(message.clone()),
        Ok(whole.clone())
    );
    let for_others = Policy {
        requests: None,
        ..whole
    };
    assert_eq!(policy_from_wire(message.clone()), Ok(for_others));
    // A reader of another make sees a policy that allows nothing.
    assert!(message.rules.is_empty());
}

#[test]
fn what_is_not_understood_as_a_whole_is_rejected_by_waypoints_alone() {
    let json = |message: &mut security::Authorization, change: &dyn Fn(String) -> String| {
        let config = message.extensions[1].config.as_mut().unwrap();
        let read = extension::RequestsExtension::decode(config.value.as_slice()).unwrap();
        let text = change(String::from_utf8(read.policy.to_vec()).unwrap());
        let policy = text.into_bytes().into();
        config.value = extension::RequestsExtension { policy }.encode_to_vec();
    };
    for (what, change) in [
        ("unknown field", ("\"methods\"", "\"verbs\"")),
        ("name of another", ("\"name\":\"p\"", "\"name\":\"q\"")),
        ("no JSON", ("{", "[")),
    ] {
        let mut message = policy_to_wire(&policy());
        json(&mut message, &|text| text.replacen(change.0, change.1, 1));
        assert!(
            waypoint_policy_from_wire(message.clone()).is_err(),
            "{what}"
        );
        assert!(policy_from_wire(message).is_ok(), "{what}");
    }
    let mut message = policy_to_wire(&policy());
    message.extensions[0].config = None;
    assert!(policy_from_wire(message).is_err());
}

#[test]
fn without_the_extension_a_waypoint_judges_connections() {
    let plain = Policy {
        behind: None,
        requests: None,
        ..policy()
    };
    let message = policy_to_wire(&plain);
    assert!(message.extensions.is_empty());
    assert_eq!(waypoint_policy_from_wire(message), Ok(plain));
}
