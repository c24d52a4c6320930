use super::*;

fn configuration(name: &str, roots: Option<&str>) -> ValidatingWebhookConfiguration {
    let service = json!({"name": "ambit-control-plane", "namespace": "ambit-system"});
    let roots = roots.map(|roots| k8s_openapi::ByteString(roots.as_bytes().to_vec()));
    let webhook = |name: &str| {
        json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": service, "caBundle": roots},
        })
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, "resourceVersion": "7"},
        "webhooks": [webhook("somebody.else"), webhook(name)],
    });
    serde_json::from_value(configuration).unwrap()
}

#[test]
fn roots_are_written_where_they_differ_and_to_our_webhook_only() {
    let expected = json!({
        "metadata": {"resourceVersion": "7"},
        "webhooks": [{"name": WEBHOOK, "clientConfig": {"caBundle": "cm9vdHM="}}],
    });
    for roots in [None, Some("other roots")] {
        let there = configuration(WEBHOOK, roots);
        assert_eq!(patch_of(&there, "roots"), Some(expected.clone()));
    }
    assert_eq!(
        patch_of(&configuration(WEBHOOK, Some("roots")), "roots"),
        None
    );
    assert_eq!(patch_of(&configuration("another", None), "roots"), None);
}
