use serde_json::{Value, json};

use super::*;

/// The rule, and what is said with its severity, where the mesh has `otel`.
fn translated(entry: Value) -> (Option<TracingRule>, Vec<String>) {
    let entry: Tracing = serde_json::from_value(entry).unwrap();
    let mut findings = Findings::new();
    let known = ["otel".into()].into();
    let rule = rule(Some(&known), "spec.tracing[0]", &entry, &mut findings);
    let said = findings
        .into_iter()
        .map(|(severity, finding)| format!("{severity:?} {finding}"));
    (rule, said.collect())
}

#[test]
fn providers_and_tags_become_a_rule() {
    let (rule, said) = translated(json!({
        "providers": [{"name": "otel"}],
        "randomSamplingPercentage": 12.5,
        "disableSpanReporting": false,
        "customTags": {
            "a": {"literal": {"value": "x"}},
            "b": {"environment": {"name": "POD_NAME", "defaultValue": "y"}},
            "c": {"header": {"name": "X-Tenant"}},
        },
    }));
    assert_eq!(said, [""; 0]);
    let rule = rule.unwrap();
    assert_eq!(rule.provider.as_deref(), Some("otel"));
    assert_eq!(
        (rule.sampling, rule.unreported),
        (Some(12_500_000), Some(false))
    );
    let tags: Vec<TraceTag> = rule.tags.into_values().collect();
    assert_eq!(
        tags,
        [
            TraceTag::Literal("x".into()),
            TraceTag::Environment("POD_NAME".into(), Some("y".into())),
            TraceTag::Header("x-tenant".into(), None),
        ]
    );
}

#[test]
fn what_cannot_be_followed_is_said_with_its_field() {
    let tag = |tag: Value| json!({"customTags": {"t": tag}});
    for (entry, severity, said) in [
        (
            json!({"providers": [{"name": "zipkin"}]}),
            "Error",
            "providers[0].name: the mesh has no",
        ),
        (
            json!({"providers": [{"name": "otel"}, {"name": "b"}]}),
            "Error",
            "providers: names several",
        ),
        (
            json!({"match": {"mode": "CLIENT"}}),
            "Warning",
            "match.mode",
        ),
        (
            json!({"enableIstioTags": true}),
            "Warning",
            "enableIstioTags",
        ),
        (
            json!({"useRequestIdForTraceSampling": true}),
            "Warning",
            "useRequestIdForTraceSampling",
        ),
        (
            tag(json!({"environment": {"name": "AWS_SECRET"}})),
            "Error",
            "customTags.t.environment.name",
        ),
        (
            tag(json!({"header": {"name": "Authorization"}})),
            "Error",
            "customTags.t.header.name",
        ),
        (
            tag(json!({"header": {"name": "a b"}})),
            "Error",
            "is no name of a header",
        ),
        (
            tag(json!({"literal": {"value": "x".repeat(300)}})),
            "Error",
            "more than 256 bytes",
        ),
        (
            tag(json!({"formatter": {"value": "%PROTOCOL%"}})),
            "Error",
            "customTags.t.formatter",
        ),
    ] {
        let (rule, found) = translated(entry);
        assert_eq!(found.len(), 1, "{said}: {found:?}");
        assert!(
            found[0].starts_with(severity) && found[0].contains(said),
            "{said}: {found:?}"
        );
        assert!(rule.is_none_or(|rule| rule.tags.is_empty()));
    }
}

#[test]
fn where_nobody_has_said_what_collectors_there_are_any_name_may_be_one() {
    let entry: Tracing = serde_json::from_value(json!({"providers": [{"name": "a"}]})).unwrap();
    let mut findings = Findings::new();
    let rule = rule(None, "spec.tracing[0]", &entry, &mut findings).unwrap();
    assert!(findings.is_empty());
    assert_eq!(rule.provider.as_deref(), Some("a"));
}
