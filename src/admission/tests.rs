use super::*;

fn policy(spec: &Value) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {
            "name": "p", "namespace": "shop", "uid": "u-1", "generation": 1,
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": spec,
    })
}

fn review(operation: &str, object: &Value, old: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "7", "operation": operation, "namespace": "shop", "name": "p",
            "userInfo": {"username": "alice"}, "dryRun": false,
            "object": object, "oldObject": old,
        },
    })
}

fn question(review: &Value) -> Question {
    Question::read(review.to_string().as_bytes()).unwrap()
}

#[test]
fn an_object_is_read_as_it_will_be_from_the_watch() {
    let good = policy(&json!({"action": "DENY"}));
    let broken = policy(&json!({"action": "PERHAPS"}));
    let asked = question(&review("UPDATE", &broken, &good));
    assert_eq!((&*asked.uid, &*asked.namespace), ("7", "shop"));
    let finding = asked.new.unwrap().unwrap_err();
    assert_eq!(finding.field, "spec.action");
    assert!(asked.old.unwrap().is_ok());
    let asked = question(&review("CREATE", &good, &Value::Null));
    assert!(asked.new.unwrap().is_ok() && asked.old.is_none());
}

#[test]
fn deletions_statuses_and_strangers_are_not_judged() {
    let broken = policy(&json!({"action": "PERHAPS"}));
    let mut leaving = broken.clone();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut status = review("UPDATE", &broken, &broken);
    status["request"]["subResource"] = json!("status");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
    for review in [
        review("DELETE", &Value::Null, &broken),
        review("UPDATE", &leaving, &broken),
        review("CREATE", &pod, &Value::Null),
        status,
    ] {
        assert!(question(&review).new.is_none(), "{review}");
    }
}

#[test]
fn what_is_for_sidecars_is_never_refused_and_said_to_have_no_effect() {
    for (kind, version) in [("Sidecar", "v1"), ("EnvoyFilter", "v1alpha3")] {
        let object = json!({
            "apiVersion": format!("networking.istio.io/{version}"), "kind": kind,
            "metadata": {"name": "s", "namespace": "shop"}, "spec": {"whatever": 7},
        });
        let asked = question(&review("CREATE", &object, &Value::Null));
        assert!(asked.new.is_none());
        let said = asked.aside.unwrap();
        assert!(said.what.contains("has no effect"), "{said}");
        let deleted = question(&review("DELETE", &Value::Null, &object));
        assert!(deleted.aside.is_none());
    }
}

#[test]
fn routes_are_judged_too() {
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "shop"},
        "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": 7},
    });
    let asked = question(&review("CREATE", &route, &Value::Null));
    assert_eq!(asked.new.unwrap().unwrap_err().field, "spec.rules");
}

#[test]
fn what_is_no_review_of_that_version_is_said_to_be_none() {
    let mut old = review("CREATE", &Value::Null, &Value::Null);
    old["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let said = |body: &[u8]| Question::read(body).unwrap_err().to_string();
    let text = said(old.to_string().as_bytes());
    assert!(text.contains("v1beta1"), "{text}");
    for body in [
        "",
        "[]",
        "{\"apiVersion\": 1}",
        "{\"kind\": \"AdmissionReview\"}",
    ] {
        assert!(said(body.as_bytes()).starts_with("not an AdmissionReview"));
    }
}

#[test]
fn an_answer_refuses_with_field_and_remedy() {
    let finding = |field: &str| Finding::new(field, "wrong", "correct it");
    let all = ["a", "b", "c", "d", "e", "f"].map(finding);
    let verdict = Verdict {
        refused: all.to_vec(),
        warned: vec![Finding::new("", "x".repeat(999), "shorten it")],
    };
    let answer = answer("7", &verdict);
    assert_eq!(answer["response"]["uid"], "7");
    assert_eq!(answer["response"]["allowed"], false);
    let message = &answer["response"]["status"]["message"];
    let expected = "a: wrong; correct it. b: wrong; correct it. c: wrong; correct it. \
                    d: wrong; correct it. And 2 more.";
    assert_eq!(message, expected);
    let warning = answer["response"]["warnings"][0].as_str().unwrap();
    assert_eq!(warning.len(), LONGEST_WARNING);
    let allowed = super::answer("8", &Verdict::default());
    assert_eq!(allowed["response"]["allowed"], true);
    assert!(allowed["response"]["status"].is_null());
}
