use super::*;

fn namespace(labels: &Value) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": "shop", "labels": labels}})).unwrap()
}

#[test]
fn enrolling_and_releasing_change_our_label_only_and_only_if_need_be() {
    const OURS: &str = "ambit.mesh/dataplane-mode";
    const ISTIOS: &str = "istio.io/dataplane-mode";
    for (labels, to_capture, to_release) in [
        (json!({}), Some(json!({OURS: "ambient"})), None),
        (json!({OURS: "ambient"}), None, Some(json!({OURS: null}))),
        (
            json!({ISTIOS: "ambient"}),
            None,
            Some(json!({OURS: "none"})),
        ),
        (
            json!({ISTIOS: "ambient", OURS: "none"}),
            Some(json!({OURS: "ambient"})),
            None,
        ),
    ] {
        let namespace = namespace(&labels);
        assert_eq!(
            change(Wish::Captured, &namespace),
            to_capture,
            "{namespace:?}"
        );
        assert_eq!(
            change(Wish::Released, &namespace),
            to_release,
            "{namespace:?}"
        );
    }
}

#[test]
fn changes_are_told_in_kubectls_words() {
    assert_eq!(told(&json!({"a/b": "ambient"})), "labelled a/b=ambient");
    assert_eq!(told(&json!({"a/b": null})), "label a/b taken off");
}

#[test]
fn what_the_mesh_leaves_out_is_never_enrolled() {
    let mesh = MeshNames {
        excluded_namespaces: vec!["storage".to_owned()],
        ..MeshNames::default()
    };
    for (name, expected) in [("storage", true), ("mesh", true), ("kube-system", false)] {
        assert_eq!(is_excluded(&mesh, "mesh", name), expected, "{name}");
    }
}
