use serde_json::{Value, json};

use crate::config::objects::{Object, read};

fn document(spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": spec,
    })
}

/// The field that an error names, and what is wrong with it.
fn wrong(spec: &Value) -> (String, String) {
    let error = read(document(spec)).unwrap_err();
    assert!(!error.finding.advice.is_empty());
    (error.finding.field, error.finding.what)
}

fn web() -> Value {
    json!({"destination": {"host": "web"}})
}

#[test]
fn every_version_is_read_and_what_is_read_is_written_as_it_was() {
    let spec = json!({
        "hosts": ["web"],
        "http": [{
            "name": "one",
            "match": [{
                "uri": {"prefix": "/a"}, "headers": {"x-a": {}}, "port": 80,
                "queryParams": {"q": {"regex": "a+"}}, "sourceLabels": {"app": "x"},
            }],
            "route": [{"destination": {"host": "web", "subset": "v1", "port": {"number": 80}}, "weight": 90}],
            "timeout": "10s",
            "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"},
            "fault": {"delay": {"fixedDelay": "5s", "percentage": {"value": 0.1}}},
            "corsPolicy": {"allowOrigins": [{"exact": "*"}], "maxAge": "24h", "unmatchedPreflights": "FORWARD"},
            "mirrorPercentage": {"value": 10},
        }],
    });
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let mut whole = document(&spec);
        whole["apiVersion"] = format!("networking.istio.io/{version}").into();
        whole["status"] = json!({"conditions": []});
        let object = read(whole).unwrap();
        let again = read(object.document().unwrap()).unwrap();
        assert_eq!(object, again);
        assert!(matches!(object, Object::VirtualService(_)));
    }
}

#[test]
fn a_field_that_is_not_known_or_not_right_is_an_error_that_names_it() {
    let rule = |rule: Value| json!({"hosts": ["web"], "http": [rule]});
    let matching = |one: Value| rule(json!({"match": [one], "route": [web()]}));
    for (spec, field) in [
        (json!({"hosts": ["web"]}), "spec"),
        (json!({"hosts": ["web"], "htp": []}), "spec.htp"),
        (rule(json!({})), "spec.http[0]"),
        (
            rule(json!({"route": [web()], "redirect": {"uri": "/"}})),
            "spec.http[0]",
        ),
        (
            rule(json!({"route": [web()], "timeOut": "1s"})),
            "spec.http[0].timeOut",
        ),
        (
            rule(json!({"route": [web()], "timeout": "soon"})),
            "spec.http[0].timeout",
        ),
        (
            rule(json!({"route": [{"destination": {}}]})),
            "spec.http[0].route[0].destination",
        ),
        (
            matching(json!({"uri": {"exact": "/a", "prefix": "/"}})),
            "spec.http[0].match[0].uri",
        ),
        (matching(json!({"uri": {}})), "spec.http[0].match[0].uri"),
        (
            matching(json!({"uri": {"suffix": "a"}})),
            "spec.http[0].match[0].uri.suffix",
        ),
        (
            matching(json!({"headers": {"x": {"exact": "a", "regex": "b"}}})),
            "spec.http[0].match[0].headers.x",
        ),
        (
            json!({"http": [{"delegate": {"name": "other"}}]}),
            "spec.http[0].delegate",
        ),
        (
            json!({"tcp": [{"route": [web()]}], "http": [{"route": [web()]}]}),
            "spec.tcp",
        ),
        (
            json!({"gateways": ["mesh"], "http": [{"route": [web()]}]}),
            "spec.gateways",
        ),
        (
            rule(json!({"route": [web()], "fault": {"delay": {"percentage": {"value": 101}}}})),
            "spec.http[0].fault.delay.percentage.value",
        ),
    ] {
        let (found, what) = wrong(&spec);
        assert_eq!(found, field, "{what}");
    }
}
