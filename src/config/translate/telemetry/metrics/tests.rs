use serde_json::{Value, json};

use super::*;

/// The rules, and what is said with its severity.
fn translated(entries: Value) -> (Vec<MetricsRule>, Vec<String>) {
    let entries: Vec<Metrics> = serde_json::from_value(entries).unwrap();
    let mut findings = Findings::new();
    let rules = translate(&entries, &mut findings);
    let said = findings
        .into_iter()
        .map(|(severity, finding)| format!("{severity:?} {finding}"));
    (rules, said.collect())
}

#[test]
fn overrides_become_rules_in_their_order() {
    let (rules, said) = translated(json!([
        {"providers": [{"name": "prometheus"}], "overrides": [
            {"match": {"metric": "REQUEST_COUNT", "mode": "CLIENT_AND_SERVER"}, "tagOverrides": {
                "host": {"value": "request.host"},
                "source_app": {"operation": "REMOVE"},
            }},
            {"match": {"metric": "REQUEST_SIZE", "mode": "SERVER"}, "disabled": true},
        ]},
        {"overrides": [{"match": {"metric": "REQUEST_SIZE"}, "disabled": false}]},
    ]));
    assert_eq!(said, [""; 0]);
    let [count, off, on] = &rules[..] else {
        panic!("{rules:?}");
    };
    assert_eq!(count.metrics, [Metric::RequestCount]);
    assert_eq!(count.disabled, None);
    let tags: Vec<_> = count
        .tags
        .iter()
        .map(|(name, of)| (&**name, of.as_deref()))
        .collect();
    assert_eq!(tags, [("host", Some("request.host")), ("source_app", None)]);
    assert_eq!((off.disabled, on.disabled), (Some(true), Some(false)));
}

#[test]
fn all_metrics_are_meant_without_a_name_and_agents_are_spoken_of() {
    for matches in [json!(null), json!({}), json!({"metric": "ALL_METRICS"})] {
        let (rules, said) =
            translated(json!([{"overrides": [{"match": matches, "disabled": true}]}]));
        assert_eq!(rules[0].metrics, Metric::ALL);
        let [said] = &said[..] else {
            panic!("{said:?}");
        };
        assert!(said.starts_with("Warning spec.metrics"), "{said}");
        assert!(said.contains("agents"), "{said}");
    }
}

#[test]
fn what_cannot_be_followed_is_said_with_its_field() {
    let tag = |name: &str, of: Value| json!([{"overrides": [{"match": {"metric": "REQUEST_COUNT"}, "tagOverrides": {name: of}}]}]);
    let one = |entry: Value| json!([{"overrides": [entry]}]);
    let path = "spec.metrics[0].overrides[0]";
    for (entries, severity, field) in [
        (
            json!([{"reportingInterval": "5s"}]),
            "Warning",
            "spec.metrics[0].reportingInterval",
        ),
        (
            json!([{"providers": [{"name": "stackdriver"}], "overrides": [{"disabled": true}]}]),
            "Error",
            "spec.metrics[0].providers[0].name",
        ),
        (
            one(json!({"match": {"customMetric": "mine"}})),
            "Error",
            "match.customMetric",
        ),
        (
            one(json!({"match": {"metric": "REQUESTS"}})),
            "Error",
            "match.metric",
        ),
        (
            one(json!({"match": {"metric": "REQUEST_COUNT", "mode": "CLIENT"}})),
            "Warning",
            "match.mode",
        ),
        (
            tag("a-b", json!({"operation": "REMOVE"})),
            "Error",
            "tagOverrides.a-b",
        ),
        (
            tag("le", json!({"value": "'a'"})),
            "Error",
            "tagOverrides.le",
        ),
        (
            tag("__name__", json!({"value": "'a'"})),
            "Error",
            "tagOverrides.__name__",
        ),
        (tag("a", json!({})), "Error", "tagOverrides.a.value"),
        (
            tag("a", json!({"operation": "REMOVE", "value": "'a'"})),
            "Error",
            "tagOverrides.a.value",
        ),
        (
            tag("a", json!({"value": "request.hots"})),
            "Error",
            "tagOverrides.a.value",
        ),
        (
            tag("a", json!({"value": "request.headers['authorization']"})),
            "Error",
            "may hold a secret",
        ),
    ] {
        let (rules, said) = translated(entries);
        assert_eq!(said.len(), 1, "{field}: {said:?}");
        assert!(said[0].starts_with(severity), "{said:?}");
        assert!(said[0].contains(field), "{field}: {said:?}");
        assert!(
            rules.iter().all(|rule| rule.tags.is_empty()),
            "{path}: {rules:?}"
        );
    }
}

#[test]
fn overrides_and_labels_are_bounded() {
    let count = json!({"match": {"metric": "REQUEST_COUNT"}, "disabled": true});
    let (rules, said) = translated(json!([{"overrides": vec![count; MOST_RULES + 1]}]));
    assert_eq!(rules.len(), MOST_RULES);
    assert!(said[0].contains("more than 64"), "{said:?}");
    let tags: serde_json::Map<_, _> = (0..=MOST_TAGS)
        .map(|number| (format!("a{number}"), json!({"value": "'a'"})))
        .collect();
    let (rules, said) = translated(json!([{"overrides": [{
        "match": {"metric": "REQUEST_COUNT"}, "tagOverrides": tags,
    }]}]));
    assert_eq!(rules.len(), 0);
    assert!(
        said[0].contains("tagOverrides: has more than 32"),
        "{said:?}"
    );
}
