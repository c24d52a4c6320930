use super::*;

fn configuration(webhooks: &[(&str, Option<&str>)]) -> ValidatingWebhookConfiguration {
    let service = json!({"name": "ambit-control-plane", "namespace": "ambit-system"});
    let webhook = |(name, roots): &(&str, Option<&str>)| {
        let roots = roots.map(|roots| k8s_openapi::ByteString(roots.as_bytes().to_vec()));
        json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": service, "caBundle": roots},
        })
    };
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, "resourceVersion": "7"},
        "webhooks": webhooks.iter().map(webhook).collect::<Vec<_>>(),
    });
    serde_json::from_value(configuration).unwrap()
}

#[test]
fn roots_are_written_where_they_differ_and_to_our_webhooks_only() {
    let [judges, tells] = WEBHOOKS;
    let stranger = ("somebody.else", None);
    let expected = |names: &[&str]| {
        let changed = |name| json!({"name": name, "clientConfig": {"caBundle": "cm9vdHM="}});
        json!({
            "metadata": {"resourceVersion": "7"},
            "webhooks": names.iter().map(changed).collect::<Vec<_>>(),
        })
    };
    for roots in [None, Some("other roots")] {
        let there = configuration(&[stranger, (judges, roots), (tells, roots)]);
        assert_eq!(patch_of(&there, "roots"), Some(expected(&WEBHOOKS)));
        let one = configuration(&[stranger, (judges, Some("roots")), (tells, roots)]);
        assert_eq!(patch_of(&one, "roots"), Some(expected(&[tells])));
        let older = configuration(&[stranger, (judges, roots)]);
        assert_eq!(patch_of(&older, "roots"), Some(expected(&[judges])));
    }
    let there = configuration(&[stranger, (judges, Some("roots")), (tells, Some("roots"))]);
    assert_eq!(patch_of(&there, "roots"), None);
    assert_eq!(patch_of(&configuration(&[stranger]), "roots"), None);
}

#[test]
fn the_chart_has_the_webhooks_by_these_names() {
    let chart =
        include_str!("../../../manifests/charts/ambit/templates/control-plane/webhook.yaml");
    let names = chart
        .lines()
        .filter_map(|line| line.strip_prefix("  - name: "));
    assert_eq!(names.collect::<Vec<_>>(), WEBHOOKS);
}
