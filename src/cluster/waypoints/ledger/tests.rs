use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::*;

fn key() -> GatewayKey {
    GatewayKey {
        namespace: "shop".into(),
        name: "w".into(),
    }
}

fn mark(generation: i64, version: &str, label: &str) -> Mark {
    let metadata = ObjectMeta {
        uid: Some("u".to_owned()),
        generation: Some(generation),
        resource_version: Some(version.to_owned()),
        labels: Some(BTreeMap::from([("team".to_owned(), label.to_owned())])),
        owner_references: Some(vec![OwnerReference {
            uid: "g".to_owned(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    };
    Mark::of(&metadata)
}

fn desired(text: &str) -> [Desired; 1] {
    let object = json!({"say": text});
    [Desired {
        part: Part::Deployment,
        object,
    }]
}

/// With one object applied.
fn applied() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.note(&key(), &desired("a")[0], mark(1, "10", "x"));
    ledger
}

#[test]
fn what_differs_is_due() {
    let due = |ledger: &Ledger, text: &str| ledger.due(&key(), &desired(text)).len();
    assert_eq!(due(&Ledger::default(), "a"), 1, "never applied");
    assert_eq!(due(&applied(), "a"), 0);
    assert_eq!(due(&applied(), "b"), 1, "something else is wanted");
    let after = |mark: Mark| {
        let mut ledger = applied();
        ledger.take(Part::Deployment, Seen::There(key(), mark));
        due(&ledger, "a")
    };
    assert_eq!(after(mark(1, "11", "x")), 0, "only its status changed");
    assert_eq!(after(mark(2, "11", "x")), 1, "somebody edited it");
    assert_eq!(after(mark(1, "11", "y")), 1, "somebody labelled it");
    assert_eq!(
        after(mark(0, "11", "x")),
        1,
        "of a kind without a generation"
    );
    let mut deleted = applied();
    deleted.take(Part::Deployment, Seen::Gone(key()));
    assert_eq!(due(&deleted, "a"), 1, "somebody deleted it");
    let mut other_leader = applied();
    other_leader.forget();
    assert_eq!(due(&other_leader, "a"), 1);
}

#[test]
fn what_is_no_longer_wanted_is_in_excess() {
    let ledger = applied();
    assert!(ledger.excess(&key(), "g", &desired("b")).is_empty());
    assert!(
        ledger.excess(&key(), "h", &[]).is_empty(),
        "somebody else's"
    );
    let excess = ledger.excess(&key(), "g", &[]);
    assert_eq!(excess, [((Part::Deployment, key()), "u".to_owned())]);
    let mut ledger = ledger;
    ledger.gone(&excess[0].0);
    assert!(ledger.excess(&key(), "g", &[]).is_empty());
    assert!(ledger.gateways().is_empty());
}

#[test]
fn a_new_listing_takes_away_what_it_does_not_show() {
    let mut ledger = applied();
    let there = || Seen::There(key(), mark(1, "10", "x"));
    for seen in [Seen::Listing, there(), Seen::Complete] {
        ledger.take(Part::Deployment, seen);
    }
    assert!(ledger.due(&key(), &desired("a")).is_empty());
    for seen in [Seen::Listing, Seen::Complete] {
        ledger.take(Part::Deployment, seen);
    }
    assert_eq!(ledger.due(&key(), &desired("a")).len(), 1);
    assert!(!ledger.is_complete());
    for part in Part::ALL {
        ledger.take(part, Seen::Complete);
    }
    assert!(ledger.is_complete());
}
