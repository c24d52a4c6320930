use std::sync::Arc;

use ambit_model::{AccessLog, MeshTelemetry};
use ambit_wire::encode::telemetry_entry;

use super::*;

fn received(access_log: AccessLog) -> Received {
    let (name, entry) = telemetry_entry(&MeshTelemetry { access_log });
    Received {
        name,
        version: entry.version,
        body: entry.body,
    }
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

#[test]
fn what_is_told_is_followed_until_it_is_told_no_longer() {
    let tellings = Tellings::new("");
    let text = received(AccessLog::Text("%PROTOCOL%".into()));
    readable(&text).unwrap();
    bring_in(&tellings, &update(vec![text.clone()], Vec::new()));
    assert!(tellings.now().lines().is_some());
    // Of another name, which a newer control plane may tell of.
    let other = Received {
        name: "other".into(),
        ..received(AccessLog::Off)
    };
    bring_in(&tellings, &update(vec![other], Vec::new()));
    assert!(tellings.now().lines().is_some());
    bring_in(&tellings, &update(Vec::new(), vec![text.name]));
    assert!(tellings.now().lines().is_none());
}

#[test]
fn what_cannot_be_followed_is_rejected() {
    let why = readable(&received(AccessLog::Text("%NOTHING%".into()))).unwrap_err();
    assert!(why.contains("%NOTHING%"), "{why}");
    let unknown = Received {
        body: vec![10, 2, b'{', b'x'].into(),
        ..received(AccessLog::Usual)
    };
    readable(&unknown).unwrap_err();
}
