use super::*;

#[test]
fn a_pod_s_name_on_the_wire_has_an_empty_group() {
    let uid = WorkloadUid::pod("Kubernetes", "shop", "web-0");
    assert_eq!(uid.as_str(), "Kubernetes//Pod/shop/web-0");
}

#[test]
fn a_service_s_name_needs_both_parts() {
    let name = ServiceName::new("shop", "web.shop.svc.cluster.local");
    assert_eq!(ServiceName::parse(&name.to_string()), Some(name));
    for text in ["", "web", "/web", "shop/"] {
        assert_eq!(ServiceName::parse(text), None, "{text}");
    }
}

#[test]
fn in_json_a_service_s_name_is_a_text_and_can_be_a_key() {
    let name = ServiceName::new("shop", "web.shop.svc.cluster.local");
    let keyed = std::collections::BTreeMap::from([(name, 80)]);
    let json = serde_json::to_string(&keyed).unwrap();
    assert_eq!(json, r#"{"shop/web.shop.svc.cluster.local":80}"#);
    let read: std::collections::BTreeMap<ServiceName, u16> = serde_json::from_str(&json).unwrap();
    assert_eq!(read, keyed);
    assert!(serde_json::from_str::<ServiceName>("\"web\"").is_err());
}

#[test]
fn a_policy_s_namespace_may_be_empty_and_its_name_may_not() {
    let name = PolicyName::new("", "istio_converted_static_strict");
    assert_eq!(PolicyName::parse(&name.to_string()), Some(name));
    for text in ["", "strict", "shop/", "/"] {
        assert_eq!(PolicyName::parse(text), None, "{text}");
    }
}
