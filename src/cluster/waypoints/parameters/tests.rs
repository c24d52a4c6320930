use super::*;
use crate::config::objects::{Object, read};

fn gateway(annotations: &Value) -> Gateway {
    let document = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "w", "namespace": "shop", "annotations": annotations},
        "spec": {"gatewayClassName": "ambit-waypoint"},
    });
    match read(document).unwrap() {
        Object::Gateway(gateway) => *gateway,
        other => panic!("{other:?}"),
    }
}

fn of_map(key: &str, text: &str) -> Result<Parameters, ParameterError> {
    let map = BTreeMap::from([(key.to_owned(), text.to_owned())]);
    Parameters::of(&gateway(&json!({})), Some(&map))
}

#[test]
fn annotations_are_checked() {
    let asked = |name: &str, text: &str| Parameters::of(&gateway(&json!({name: text})), None);
    assert_eq!(asked(REPLICAS, "3").unwrap().replicas, Some(3));
    assert_eq!(asked(CPU, "250m").unwrap().cpu.as_deref(), Some("250m"));
    assert_eq!(
        asked(MEMORY, "1.5Gi").unwrap().memory.as_deref(),
        Some("1.5Gi")
    );
    for (name, text) in [
        (REPLICAS, "many"),
        (REPLICAS, "-1"),
        (REPLICAS, "1001"),
        (CPU, "0"),
        (CPU, "1 core"),
        (CPU, "1e3"),
        (MEMORY, "Mi"),
        (MEMORY, "64MB"),
    ] {
        let error = asked(name, text).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(text), "{error}");
    }
}

#[test]
fn an_overlay_sets_what_is_listed_and_nothing_else() {
    for (key, text) in [
        (
            "deployment",
            "spec: {replicas: 3, template: {spec: {nodeSelector: {a: b}}}}",
        ),
        (
            "deployment",
            "spec: {template: {spec: {containers: [{name: waypoint, resources: {}}]}}}",
        ),
        ("service", "metadata: {annotations: {a: b}}"),
        ("serviceAccount", "metadata: {annotations: {a: b}}"),
        ("horizontalPodAutoscaler", "spec: {maxReplicas: 9}"),
        (
            "podDisruptionBudget",
            "spec: {minAvailable: 1, maxUnavailable: null}",
        ),
    ] {
        assert!(of_map(key, text).is_ok(), "{key}: {text}");
    }
    let refused = [
        ("deployments", "{}", "known"),
        ("deployment", "[]", "no object"),
        ("deployment", "spec: 1", "spec"),
        ("deployment", "{a: [}", "no YAML"),
        ("deployment", "metadata: {name: x}", "metadata.name"),
        (
            "deployment",
            "metadata: {ownerReferences: []}",
            "ownerReferences",
        ),
        ("deployment", "spec: {selector: {}}", "spec.selector"),
        (
            "deployment",
            "spec: {template: {spec: {hostNetwork: true}}}",
            "hostNetwork",
        ),
        (
            "deployment",
            "spec: {template: {spec: {serviceAccountName: x}}}",
            "serviceAccountName",
        ),
        (
            "deployment",
            "spec: {template: {spec: {volumes: []}}}",
            "volumes",
        ),
        (
            "deployment",
            "spec: {template: {spec: null}}",
            "spec.template.spec",
        ),
        (
            "deployment",
            "spec: {template: {spec: {containers: [{name: waypoint, image: x}]}}}",
            "image",
        ),
        (
            "deployment",
            "spec: {template: {spec: {containers: [{name: other}]}}}",
            "only waypoint",
        ),
        (
            "deployment",
            "spec: {template: {spec: {containers: [{name: waypoint}, {name: other}]}}}",
            "containers",
        ),
        (
            "deployment",
            "spec: {template: {spec: {initContainers: []}}}",
            "initContainers",
        ),
        ("deployment", "spec: {replicas: many}", "spec.replicas"),
        ("service", "spec: {selector: {a: b}}", "spec.selector"),
        ("service", "spec: {externalIPs: [192.0.2.1]}", "externalIPs"),
    ];
    for (key, text, word) in refused {
        let error = of_map(key, text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn an_overlay_is_merged() {
    let parameters = of_map(
        "deployment",
        "spec: {replicas: null, template: {spec: {tolerations: [{key: b}], \
         containers: [{name: waypoint, resources: {requests: {cpu: 1}}}]}}}",
    )
    .unwrap();
    let mut object = json!({"spec": {"replicas": 2, "minReadySeconds": 1, "template": {"spec": {
        "tolerations": [{"key": "a"}, {"key": "c"}],
        "containers": [{"name": "waypoint", "image": "i", "resources": {"requests": {"memory": "64Mi"}}}],
    }}}});
    parameters.put_over("deployment", &mut object);
    let expected = json!({"spec": {"minReadySeconds": 1, "template": {"spec": {
        "tolerations": [{"key": "b"}],
        "containers": [{"name": "waypoint", "image": "i",
            "resources": {"requests": {"memory": "64Mi", "cpu": 1}}}],
    }}}});
    assert_eq!(object, expected);
}

#[test]
fn a_map_that_cannot_be_read_now_is_as_it_was_and_only_a_missing_one_is_wrong() {
    let of = |text: &str| Ok(BTreeMap::from([("service".to_owned(), text.to_owned())]));
    let name: Arc<str> = "a".into();
    let failed = || Err(CallError::Failed("no quorum".to_owned()));
    let verdict = |map: &NamedMap| Parameters::of_map(&gateway(&json!({})), map).is_ok();

    assert_eq!(NamedMap::after(&name, failed(), None), None);
    let read = NamedMap::after(&name, of("metadata: {}"), None);
    assert!(verdict(read.as_ref().unwrap()));
    let late = Err(CallError::Late(std::time::Duration::ZERO));
    assert_eq!(NamedMap::after(&name, late, read.clone()), read);
    assert_eq!(NamedMap::after(&"b".into(), failed(), read.clone()), None);

    let missing = Err(CallError::Missing("not found".to_owned()));
    let missing = NamedMap::after(&name, missing, read).unwrap();
    assert!(!verdict(&missing));
    assert_eq!(
        NamedMap::after(&name, failed(), Some(missing.clone())),
        Some(missing)
    );
}
