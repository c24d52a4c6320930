use insta::assert_snapshot;

use super::*;
use crate::config::objects::{Object, read};

fn gateway(more: &Value) -> Gateway {
    let mut document = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "waypoint", "namespace": "shop"},
        "spec": {
            "gatewayClassName": "ambit-waypoint",
            "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
        },
    });
    for (path, value) in more.as_object().unwrap() {
        let (head, field) = path.split_once('.').unwrap();
        document[head][field] = value.clone();
    }
    match read(document).unwrap() {
        Object::Gateway(gateway) => *gateway,
        other => panic!("{other:?}"),
    }
}

fn settings() -> WaypointSettings {
    serde_json::from_value(json!({
        "image": "localhost/ambit-waypoint:dev",
        "imagePullPolicy": "IfNotPresent",
        "controlPlane": "ambit-control-plane.ambit-system.svc:15012",
    }))
    .unwrap()
}

fn objects(more: &Value, overlays: &[(&str, &str)], running: Option<u32>) -> Vec<Desired> {
    let gateway = gateway(more);
    let map = overlays.iter();
    let map = map
        .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
        .collect();
    let parameters = Parameters::of(&gateway, Some(&map)).unwrap();
    let design = Design {
        gateway: &gateway,
        uid: "u-1",
        settings: &settings(),
        parameters: &parameters,
        trust_domain: "cluster.local",
    };
    design.objects(running)
}

fn object(objects: &[Desired], part: Part) -> Option<&Value> {
    let mut found = objects.iter().filter(|desired| desired.part == part);
    found.next().map(|desired| &desired.object)
}

#[test]
fn a_waypoint_is_made_of_these() {
    let objects = objects(&json!({}), &[], None);
    let texts = objects
        .iter()
        .map(|desired| serde_saphyr::to_string(&desired.object).unwrap());
    assert_snapshot!(texts.collect::<Vec<_>>().join("---\n"));
}

#[test]
fn its_pods_know_who_they_are_by_every_name_that_may_be_told() {
    let names = |environment: &Value| {
        let mut settings = settings();
        settings.environment = serde_json::from_value(environment.clone()).unwrap();
        let gateway = gateway(&json!({}));
        let design = Design {
            gateway: &gateway,
            uid: "u-1",
            settings: &settings,
            parameters: &Parameters::default(),
            trust_domain: "cluster.local",
        };
        let objects = design.objects(None);
        let deployment = object(&objects, Part::Deployment).unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let variables = container["env"].as_array().unwrap().iter();
        let names = variables.map(|variable| variable["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    // The runtime sets the name of the host.
    let told = ambit_logformat::ENVIRONMENT.iter();
    for name in told.filter(|name| **name != "HOSTNAME") {
        for given in [json!({}), json!({*name: "else"})] {
            let names = names(&given);
            assert_eq!(
                names.iter().filter(|other| other == name).count(),
                1,
                "{name}: {names:?}"
            );
        }
    }
}

#[test]
fn the_autoscaler_decides_within_its_bounds() {
    let replicas = |running| {
        let objects = objects(&json!({}), &[], running);
        object(&objects, Part::Deployment).unwrap()["spec"]["replicas"].clone()
    };
    assert_eq!(replicas(None), 2);
    assert_eq!(replicas(Some(4)), 4);
    assert_eq!(replicas(Some(1)), 2);
    assert_eq!(replicas(Some(0)), 2);
    assert_eq!(replicas(Some(40)), 5);
}

#[test]
fn a_number_that_is_asked_for_is_kept_without_an_autoscaler() {
    let annotations = json!({"metadata.annotations": {"ambit.mesh/waypoint-replicas": "3"}});
    let asked = objects(&annotations, &[], Some(7));
    assert_eq!(
        object(&asked, Part::Deployment).unwrap()["spec"]["replicas"],
        3
    );
    assert_eq!(object(&asked, Part::HorizontalPodAutoscaler), None);
    let overlay = [("deployment", "spec: {replicas: 4}")];
    let asked = objects(&json!({}), &overlay, Some(7));
    assert_eq!(
        object(&asked, Part::Deployment).unwrap()["spec"]["replicas"],
        4
    );
    assert_eq!(object(&asked, Part::HorizontalPodAutoscaler), None);
    let overlay = [
        ("horizontalPodAutoscaler", "spec: {maxReplicas: 9}"),
        ("deployment", "spec: {replicas: 4}"),
    ];
    let scaled = objects(&json!({}), &overlay, Some(7));
    assert_eq!(
        object(&scaled, Part::Deployment).unwrap()["spec"]["replicas"],
        7
    );
    let scaler = object(&scaled, Part::HorizontalPodAutoscaler).unwrap();
    assert_eq!(scaler["spec"]["maxReplicas"], 9);
}

#[test]
fn what_the_gateway_says_of_its_infrastructure_is_passed_on() {
    let more = json!({"spec.infrastructure": {
        "labels": {"team": "a", "gateway.networking.k8s.io/gateway-name": "other"},
        "annotations": {"note": "n"},
    }});
    for Desired { part, object } in objects(&more, &[], None) {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["team"], "a", "{part:?}");
        assert_eq!(labels[GATEWAY_NAME], "waypoint", "{part:?}");
        assert_eq!(object["metadata"]["annotations"]["note"], "n", "{part:?}");
        if part == Part::Deployment {
            let pod = &object["spec"]["template"]["metadata"];
            assert_eq!(pod["labels"]["team"], "a");
            assert_eq!(pod["annotations"]["note"], "n");
        }
    }
}

#[test]
fn no_overlay_reaches_what_tells_a_waypoint_from_others() {
    let overlays = [(
        "deployment",
        "metadata: {labels: {app.kubernetes.io/managed-by: me, own: x}}\n\
         spec: {template: {metadata: {labels: {ambit.mesh/dataplane-mode: ambient}}}}",
    )];
    let objects = objects(&json!({}), &overlays, None);
    let deployment = object(&objects, Part::Deployment).unwrap();
    assert_eq!(deployment["metadata"]["labels"]["own"], "x");
    assert_eq!(
        deployment["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        "ambit"
    );
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["ambit.mesh/dataplane-mode"], "none");
}

#[test]
fn resources_are_asked_for_by_annotation() {
    let annotations = json!({"metadata.annotations": {
        "ambit.mesh/waypoint-cpu": "1", "ambit.mesh/waypoint-memory": "256Mi",
    }});
    let objects = objects(&annotations, &[], None);
    let deployment = object(&objects, Part::Deployment).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let expected = json!({"requests": {"cpu": "1", "memory": "256Mi"}});
    assert_eq!(container["resources"], expected);
}

#[test]
fn authorities_of_hosts_outside_are_mounted_where_there_are_any() {
    let gateway = gateway(&json!({}));
    let parameters = Parameters::of(&gateway, None).unwrap();
    let design = |settings: &WaypointSettings| {
        let design = Design {
            gateway: &gateway,
            uid: "u-1",
            settings,
            parameters: &parameters,
            trust_domain: "cluster.local",
        };
        let objects = design.objects(None);
        let pod = &object(&objects, Part::Deployment).unwrap()["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let args = container["args"].as_array().unwrap();
        (
            args.last().unwrap().clone(),
            pod["volumes"][2]["configMap"]["name"].clone(),
            container["volumeMounts"][2]["mountPath"].clone(),
        )
    };
    let given = WaypointSettings {
        outside_roots: "partners".to_owned(),
        ..settings()
    };
    let (argument, map, mount) = design(&given);
    assert_eq!(argument, "--outside-roots=/var/run/secrets/outside/ca.crt");
    assert_eq!(
        (map, mount),
        (json!("partners"), json!("/var/run/secrets/outside"))
    );
    assert_eq!(design(&settings()).1, Value::Null);
}
