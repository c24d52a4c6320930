use serde_json::{Value, json};

use super::*;

fn spec(spec: &Value) -> NetworkPolicySpec {
    serde_json::from_value(spec.clone()).unwrap()
}

#[test]
fn a_port_passes_by_number_by_range_and_where_all_do() {
    for (ports, passes, passes_tcp) in [
        (json!([{"port": 15008}]), true, true),
        (json!([{"port": 15000, "endPort": 15010}]), true, true),
        (json!([{"protocol": "TCP"}]), true, true),
        (json!([]), true, true),
        (json!(null), true, true),
        (json!([{"port": 8080}, {"port": "http"}]), false, true),
        (json!([{"port": 15008, "protocol": "UDP"}]), false, false),
    ] {
        let spec = spec(&json!({"ingress": [{"ports": ports}]}));
        assert_eq!(spec.passes(Direction::Ingress, 15008), passes, "{ports}");
        assert_eq!(spec.passes_tcp(Direction::Ingress), passes_tcp, "{ports}");
        assert!(!spec.passes(Direction::Egress, 15008));
    }
}

#[test]
fn what_it_is_about_is_told_or_follows_from_its_rules() {
    let isolates = |value: Value| {
        let spec = spec(&value);
        [Direction::Ingress, Direction::Egress].map(|direction| spec.isolates(direction))
    };
    assert_eq!(isolates(json!({})), [true, false]);
    assert_eq!(isolates(json!({"egress": [{}]})), [true, true]);
    assert_eq!(isolates(json!({"policyTypes": ["Egress"]})), [false, true]);
}

#[test]
fn selectors_are_kubernetes_own() {
    let selects = |selector: Value, labels: Value| {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        selector.selects(&serde_json::from_value(labels).unwrap())
    };
    let one = |operator: &str| json!({"matchExpressions": [{"key": "app", "operator": operator, "values": ["web"]}]});
    let (web, db, none) = (json!({"app": "web"}), json!({"app": "db"}), json!({}));
    for (operator, expected) in [
        ("In", [true, false, false]),
        ("NotIn", [false, true, true]),
        ("Exists", [true, true, false]),
        ("DoesNotExist", [false, false, true]),
        ("Perhaps", [false, false, false]),
    ] {
        let selected = [&web, &db, &none].map(|labels| selects(one(operator), labels.clone()));
        assert_eq!(selected, expected, "{operator}");
    }
    assert!(selects(json!({}), none.clone()));
    assert!(selects(json!({"matchLabels": web.clone()}), web));
    assert!(!selects(json!({"matchLabels": {"app": "web"}}), db));
}
