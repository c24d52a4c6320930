use super::{DESTINATION_RULES, VIRTUAL_SERVICES, access_log, object};

mod fields;

#[test]
fn objects_are_found_by_name() {
    let rule = object(DESTINATION_RULES, "inventory-service");
    assert!(rule.contains("baseEjectionTime: 60s"), "{rule}");
    assert!(!rule.contains("payment"), "{rule}");
    let route = object(VIRTUAL_SERVICES, "frontend");
    assert!(route.contains("weight: 90"), "{route}");
    assert_eq!(object(VIRTUAL_SERVICES, "nobody"), "");
}

#[test]
fn the_access_log_is_all_that_is_said_of_it() {
    let written = access_log();
    assert!(
        written
            .starts_with("accessLogFile: /dev/stdout\naccessLogFormat: |\n  {\n    \"timestamp\"")
    );
    assert!(
        written.ends_with("    \"upstream_host\": \"%UPSTREAM_HOST%\"\n  }\n"),
        "{written}"
    );
    assert_eq!(written.lines().count(), 14);
}
