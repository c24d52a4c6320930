use serde_json::json;

use super::*;
use crate::config::objects::Kind;

fn document(name: &str, uid: &str, action: &str) -> String {
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"namespace": "a", "name": name, "uid": uid},
        "spec": {"action": action},
    })
    .to_string()
}

#[test]
fn a_version_is_for_the_very_object_that_it_was_one_of() {
    let kept = LastGood::of([
        document("one", "u-1", "DENY"),
        document("two", "u-2", "PERHAPS"),
        "not JSON".to_owned(),
    ]);
    let key = |name: &str| ObjectKey::new(Kind::AuthorizationPolicy, "a", name);
    assert!(kept.get(&key("one"), "u-1").is_some());
    assert!(
        kept.get(&key("one"), "u-9").is_none(),
        "another of that name"
    );
    assert!(kept.get(&key("two"), "u-2").is_none(), "cannot be read");
}

#[test]
fn every_policy_has_an_entry_of_its_own_that_a_config_map_admits() {
    let entry = |name: &str| entry_of(&ObjectKey::new(Kind::PeerAuthentication, "a", name));
    assert_eq!(entry("x.y"), "PeerAuthentication.a.x.y");
    let long = [
        format!("{}.1", "x".repeat(250)),
        format!("{}.2", "x".repeat(250)),
    ];
    let [one, two] = long.map(|name| entry(&name));
    assert!(one.len() <= LONGEST_KEY && one != two);
}
