use crate::config::objects::{Kind, Object, ObjectKey, read};
use serde_json::{Value, json};

fn document(spec: &Value) -> Value {
    json!({
        "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
        "metadata": {"name": "t", "namespace": "shop"}, "spec": spec,
    })
}

fn wrong(spec: &Value) -> String {
    let error = read(document(spec)).unwrap_err();
    error.finding.to_string()
}

#[test]
fn everything_of_istio_s_is_read_and_kept() {
    let spec = json!({
        "targetRefs": [{"group": "", "kind": "Service", "name": "cart"}],
        "tracing": [{
            "match": {"mode": "SERVER"},
            "providers": [{"name": "otel"}],
            "randomSamplingPercentage": 10.5,
            "disableSpanReporting": false,
            "customTags": {
                "a": {"literal": {"value": "x"}},
                "b": {"environment": {"name": "B", "defaultValue": "y"}},
                "c": {"header": {"name": "c"}},
            },
        }],
        "metrics": [{
            "providers": [{"name": "prometheus"}],
            "overrides": [{
                "match": {"metric": "REQUEST_COUNT", "mode": "CLIENT"},
                "disabled": true,
                "tagOverrides": {"x": {"operation": "REMOVE"}, "y": {"operation": "UPSERT", "value": "z"}},
            }],
        }],
        "accessLogging": [{
            "providers": [{"name": "envoy"}], "disabled": false,
            "filter": {"expression": "response.code >= 400"},
        }],
    });
    let object = read(document(&spec)).unwrap();
    assert_eq!(object.key(), ObjectKey::new(Kind::Telemetry, "shop", "t"));
    // What is kept is read as the same.
    let again = read(object.document().unwrap()).unwrap();
    assert_eq!(object, again);
    let Object::Telemetry(telemetry) = object else {
        panic!("another kind");
    };
    assert_eq!(telemetry.targets().count(), 1);
    assert_eq!(telemetry.spec.access_logging.len(), 1);
    let mut older = document(&json!({}));
    older["apiVersion"] = "telemetry.istio.io/v1alpha1".into();
    read(older).unwrap();
}

#[test]
fn slips_of_the_pen_lead_to_the_field() {
    for (spec, field) in [
        (json!({"accessLoging": []}), "spec.accessLoging"),
        (
            json!({"accessLogging": [{"filter": {"expresion": "true"}}]}),
            "spec.accessLogging[0].filter.expresion",
        ),
        (
            json!({"tracing": [{"randomSamplingPercentage": 101}]}),
            "spec.tracing[0].randomSamplingPercentage",
        ),
        (
            json!({"tracing": [{"customTags": {"a": {}}}]}),
            "spec.tracing[0].customTags.a",
        ),
        (
            json!({"selector": {"matchLabels": {"a": "b"}},
                   "targetRefs": [{"kind": "Service", "name": "cart"}]}),
            "spec.selector",
        ),
        (
            json!({"accessLogging": [{"match": {"mode": "BOTH"}}]}),
            "spec.accessLogging[0].match.mode",
        ),
    ] {
        let said = wrong(&spec);
        assert!(said.starts_with(&format!("{field}: ")), "{said}");
    }
}
