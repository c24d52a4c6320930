use serde_json::json;

use super::*;

fn template(variables: &[(&str, &str)]) -> PodTemplateSpec {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let container = json!({"name": "control-plane", "env": variables});
    serde_json::from_value(json!({"spec": {"containers": [container]}})).unwrap()
}

#[test]
fn the_control_planes_own_variables_beat_what_is_given() {
    let given = MeshNames::default();
    let template = template(&[
        ("AMBIT_TRUST_DOMAIN", "example.org"),
        ("AMBIT_ROOT_NAMESPACES", "istio-system,mesh"),
        ("AMBIT_CLUSTER", ""),
    ]);
    let names = of_template(&template, &given);
    assert_eq!(names.trust_domain, "example.org");
    assert_eq!(names.root_namespaces, ["istio-system", "mesh"]);
    assert_eq!(names.cluster, given.cluster);
    assert_eq!(names.excluded_namespaces, given.excluded_namespaces);
}

#[test]
fn the_agents_are_to_run_on_as_many_nodes_as_their_set_says() {
    let set = json!({
        "metadata": {}, "spec": {
            "selector": {}, "template": template(&[("AMBIT_EGRESS", "REGISTRY_ONLY")]),
        },
        "status": {
            "desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberMisscheduled": 0,
            "numberReady": 2,
        },
    });
    let set = agent_set(serde_json::from_value(set).unwrap());
    assert_eq!(
        (set.egress.as_deref(), set.nodes),
        (Some("REGISTRY_ONLY"), 3)
    );
    assert_eq!(agent_set(DaemonSet::default()), AgentSet::default());
}
