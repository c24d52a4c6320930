use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::config::objects::gateway::Gateway;
use crate::config::objects::{Object, read};

const NOW: &str = "2026-02-02T00:00:00Z";
const MESH: &str = r#"{"name": "mesh", "port": 15008, "protocol": "HBONE"}"#;

fn gateway(listeners: &str) -> Gateway {
    let listeners: Value = serde_json::from_str(&format!("[{listeners}]")).unwrap();
    let document = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "w", "namespace": "shop"},
        "spec": {"gatewayClassName": "ambit-waypoint", "listeners": listeners},
    });
    match read(document).unwrap() {
        Object::Gateway(gateway) => *gateway,
        other => panic!("{other:?}"),
    }
}

fn seen(listeners: &str) -> SeenGateway {
    SeenGateway {
        gateway: gateway(listeners),
        shown: Shown {
            generation: 3,
            ..Shown::default()
        },
        addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 9))],
        ready: 2,
    }
}

fn status(seen: &SeenGateway, making: &Making) -> Value {
    of_gateway(seen, &Acceptance::of(seen, Ok(())), making, NOW)
}

/// `TYPE=STATUS/REASON` of all conditions.
fn words(conditions: &Value) -> String {
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap().to_owned();
    let word = |it: &Value| {
        assert_eq!(it["observedGeneration"], 3);
        format!(
            "{}={}/{}",
            text(it, "type"),
            text(it, "status"),
            text(it, "reason")
        )
    };
    let words = conditions.as_array().unwrap().iter().map(word);
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_gateway_is_programmed_when_a_pod_is_ready_behind_an_address() {
    let good = seen(MESH);
    let said = |seen: &SeenGateway, making: &Making| words(&status(seen, making)["conditions"]);
    let programmed = "Accepted=True/Accepted Programmed=True/Programmed";
    assert_eq!(said(&good, &Making::Done), programmed);
    let pending = "Accepted=True/Accepted Programmed=False/Pending";
    assert_eq!(said(&good, &Making::NotTried), pending);
    let idle = SeenGateway {
        ready: 0,
        ..good.clone()
    };
    assert_eq!(said(&idle, &Making::Done), pending);
    let bare = SeenGateway {
        addresses: Vec::new(),
        ..good.clone()
    };
    let expected = "Accepted=True/Accepted Programmed=False/AddressNotAssigned";
    assert_eq!(said(&bare, &Making::Done), expected);
    let key = GatewayKey {
        namespace: "shop".into(),
        name: "w".into(),
    };
    let expected = "Accepted=True/Accepted Programmed=False/NameTaken";
    assert_eq!(said(&good, &taken("Service", &key)), expected);
    let addresses = &status(&good, &Making::Done)["addresses"];
    assert_eq!(
        *addresses,
        json!([{"type": "IPAddress", "value": "10.96.0.9"}])
    );
}

#[test]
fn what_cannot_be_is_not_accepted() {
    let good = seen(MESH);
    let error = ParameterError("no such ConfigMap".to_owned());
    let refused = Acceptance::of(&good, Err(&error));
    let said = of_gateway(&good, &refused, &Making::NotTried, NOW);
    let expected = "Accepted=False/InvalidParameters Programmed=False/Invalid";
    assert_eq!(words(&said["conditions"]), expected);
    assert_eq!(said["conditions"][0]["message"], "no such ConfigMap");
    let mut addressed = good;
    addressed.gateway.spec.addresses = vec![json!({"value": "192.0.2.1"})];
    let expected = "Accepted=False/UnsupportedAddress Programmed=False/Invalid";
    assert_eq!(
        words(&status(&addressed, &Making::NotTried)["conditions"]),
        expected
    );
}

#[test]
fn each_listener_is_told_what_is_wrong_with_it() {
    let good = "Accepted=True/Accepted Programmed=True/Programmed ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts";
    let wrong = |reason: &str| {
        format!(
            "Accepted=False/{reason} Programmed=False/Invalid ResolvedRefs=True/ResolvedRefs Conflicted=False/NoConflicts"
        )
    };
    let cases = [
        (MESH, good.to_owned(), 4),
        (
            r#"{"name": "x", "port": 15008, "protocol": "HTTP"}"#,
            wrong("UnsupportedProtocol"),
            0,
        ),
        (
            r#"{"name": "x", "port": 80, "protocol": "HBONE"}"#,
            wrong("PortUnavailable"),
            0,
        ),
        (
            r#"{"name": "x", "port": 15008, "protocol": "HBONE", "allowedRoutes": {"namespaces": {"from": "Some"}}}"#,
            wrong("UnsupportedValue"),
            0,
        ),
        (
            r#"{"name": "x", "port": 15008, "protocol": "HBONE", "allowedRoutes": {"kinds": [{"kind": "TCPRoute"}, {"kind": "OddRoute"}]}}"#,
            good.replace(
                "ResolvedRefs=True/ResolvedRefs",
                "ResolvedRefs=False/InvalidRouteKinds",
            ),
            1,
        ),
        (
            r#"{"name": "x", "port": 15008, "protocol": "HBONE", "allowedRoutes": {"kinds": [{"kind": "HTTPRoute", "group": "example.com"}]}}"#,
            good.replace(
                "ResolvedRefs=True/ResolvedRefs",
                "ResolvedRefs=False/InvalidRouteKinds",
            ),
            0,
        ),
    ];
    for (listener, expected, kinds) in cases {
        // A good one beside it makes the Gateway a waypoint all the same.
        let seen = seen(&format!("{listener}, {}", MESH.replace("mesh", "other")));
        let said = status(&seen, &Making::Done);
        assert_eq!(
            said["listeners"].as_array().unwrap().len(),
            2,
            "one for each"
        );
        let first = &said["listeners"][0];
        assert_eq!(words(&first["conditions"]), expected, "{listener}");
        assert_eq!(
            first["supportedKinds"].as_array().unwrap().len(),
            kinds,
            "{listener}"
        );
        assert_eq!(first["attachedRoutes"], 0);
    }
}

#[test]
fn the_second_listener_for_tunnels_is_in_conflict() {
    let said = status(
        &seen(&format!("{MESH}, {}", MESH.replace("mesh", "x"))),
        &Making::Done,
    );
    let expected = "Accepted=False/HostnameConflict Programmed=False/Invalid ResolvedRefs=True/ResolvedRefs Conflicted=True/HostnameConflict";
    assert_eq!(words(&said["listeners"][1]["conditions"]), expected);
    let expected = "Accepted=True/ListenersNotValid Programmed=True/Programmed";
    assert_eq!(words(&said["conditions"]), expected);
    let none = seen(r#"{"name": "x", "port": 80, "protocol": "HTTP"}"#);
    let expected = "Accepted=False/ListenersNotValid Programmed=False/Invalid";
    assert_eq!(
        words(&status(&none, &Making::NotTried)["conditions"]),
        expected
    );
}

/// As the API server shows what was written, with a condition of somebody else.
fn after(seen: &SeenGateway, written: &Value) -> SeenGateway {
    let mut document = json!({"metadata": {"generation": 3}, "status": written});
    let other = json!({"type": "Other", "status": "True"});
    document["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .insert(0, other);
    SeenGateway {
        shown: Shown::with_status(&document),
        ..seen.clone()
    }
}

#[test]
fn what_stands_there_is_not_written_again_and_keeps_its_time() {
    let first = seen(MESH);
    let written = status(&first, &Making::Done);
    assert!(!stands(&first.shown, &written));
    let second = after(&first, &written);
    let later = |seen: &SeenGateway, making| {
        let acceptance = Acceptance::of(seen, Ok(()));
        of_gateway(seen, &acceptance, making, "2026-03-03T00:00:00Z")
    };
    let same = later(&second, &Making::Done);
    assert_eq!(same, written, "with the time at which it became so");
    assert!(stands(&second.shown, &same));
    let worse = later(&second, &Making::NotTried);
    assert!(!stands(&second.shown, &worse));
    assert_eq!(worse["conditions"][0]["lastTransitionTime"], NOW);
    assert_eq!(
        worse["conditions"][1]["lastTransitionTime"],
        "2026-03-03T00:00:00Z"
    );
    let mut newer = second.clone();
    newer.shown.generation = 4;
    assert!(
        !stands(&newer.shown, &later(&newer, &Making::Done)),
        "for the new generation too"
    );
    let mut fewer = second;
    fewer.gateway.spec.listeners.clear();
    let said = later(&fewer, &Making::Done);
    assert!(
        !stands(&fewer.shown, &said),
        "a listener that is gone is taken away"
    );
}

#[test]
fn a_service_is_told_what_its_label_has_led_to() {
    let key = GatewayKey {
        namespace: "gw".into(),
        name: "w".into(),
    };
    let shown = Shown::default();
    let said = |binding: Binding| {
        let status = of_service(&binding, &shown, NOW);
        let condition = &status["conditions"][0];
        assert_eq!(condition["type"], WAYPOINT_BOUND);
        assert!(condition["message"].as_str().unwrap().contains("gw/w"));
        format!("{}/{}", condition["status"], condition["reason"]).replace('"', "")
    };
    assert_eq!(said(Binding::To(key.clone())), "True/WaypointAccepted");
    assert_eq!(
        said(Binding::OutOfScope(key.clone())),
        "False/UnsupportedTrafficType"
    );
    for (why, reason) in [
        (WhyRefused::Missing, "WaypointMissing"),
        (WhyRefused::NotAWaypoint, "NotAWaypoint"),
        (WhyRefused::NotAdmitted, "AttachmentDenied"),
    ] {
        assert_eq!(
            said(Binding::Refused(key.clone(), why)),
            format!("False/{reason}")
        );
    }
    let bound = of_service(&Binding::To(key), &shown, NOW);
    let document = json!({"status": bound});
    let shown = Shown::of(&document);
    assert!(stands(&shown, &bound));
    let free = of_service(&Binding::Free, &shown, NOW);
    assert!(!stands(&shown, &free), "ours is taken away");
    assert!(stands(&Shown::default(), &free));
}

#[test]
fn a_class_lists_its_features_in_order() {
    let mut sorted = FEATURES.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(FEATURES, sorted);
}
