use std::sync::Arc;

use ambit_model::{AccessLogRule, LogLines, TelemetryScope};
use ambit_wire::delta::Entry;
use ambit_wire::encode::{telemetry_entry, telemetry_rules_entry};

use super::*;
use crate::scene::Scene;

fn received((name, entry): (Arc<str>, Entry)) -> Received {
    Received {
        name,
        version: entry.version,
        body: entry.body,
    }
}

fn mesh(format: &str) -> Received {
    received(telemetry_entry(&MeshTelemetry {
        lines: LogLines::Text(format.into()),
        ..MeshTelemetry::default()
    }))
}

fn rules(filter: &str) -> Received {
    received(telemetry_rules_entry(&TelemetryRules {
        namespace: "shop".into(),
        name: "errors".into(),
        since: "".into(),
        scope: TelemetryScope::Namespace,
        access_log: vec![AccessLogRule {
            disabled: false,
            filter: Some(filter.into()),
        }],
        tracing: Vec::new(),
        metrics: Vec::new(),
        client_identity: None,
    }))
}

fn update(changed: Vec<Received>, removed: Vec<Arc<str>>) -> Update {
    Update {
        nonce: String::new(),
        changed,
        removed,
        rejected: Vec::new(),
        complete: true,
    }
}

#[tokio::test]
async fn what_is_told_is_followed_until_it_is_told_no_longer() {
    let scene = Scene::new([]);
    let proxy = &scene.proxy;
    let is_kept = || proxy.tellings.of(None).kept().is_some();
    let (text, filter) = (mesh("%PROTOCOL%"), rules("response.code >= 400"));
    for told in [text, filter] {
        readable(&told).unwrap();
        bring_in(proxy, &update(vec![told.clone()], Vec::new()));
        assert!(is_kept());
        bring_in(proxy, &update(Vec::new(), vec![told.name]));
        assert!(!is_kept());
    }
    // What came here all the same counts as what was rejected before.
    let put = |told| bring_in(proxy, &update(vec![told], Vec::new()));
    put(mesh("%PROTOCOL%"));
    put(mesh("%NOTHING%"));
    assert!(is_kept());
    assert!((scene.sum("ambit_config_rejects_total", &[]) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn what_cannot_be_followed_is_rejected() {
    let why = readable(&mesh("%NOTHING%")).unwrap_err();
    assert!(why.contains("%NOTHING%"), "{why}");
    let why = readable(&rules("response.kode == 1")).unwrap_err();
    assert!(why.contains("response.kode"), "{why}");
    for body in [vec![10, 2, b'{', b'x'], vec![18, 2, b'{', b'}'], vec![7]] {
        let unknown = Received {
            body: body.into(),
            ..mesh("%PROTOCOL%")
        };
        readable(&unknown).unwrap_err();
    }
}
