use super::{DESTINATION_RULES, VIRTUAL_SERVICES, object};

#[test]
fn objects_are_found_by_name() {
    let rule = object(DESTINATION_RULES, "inventory-service");
    assert!(rule.contains("baseEjectionTime: 60s"), "{rule}");
    assert!(!rule.contains("payment"), "{rule}");
    let route = object(VIRTUAL_SERVICES, "frontend");
    assert!(route.contains("weight: 90"), "{route}");
    assert_eq!(object(VIRTUAL_SERVICES, "nobody"), "");
}
