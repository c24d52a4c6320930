//! The `baggage` header of HBONE (W3C Baggage, with Istio's keys): names for telemetry at the
//! other end. It is a courtesy, never evidence: nothing decides by it.

use ambit_model::{Workload, WorkloadType};

/// The header's value for a workload.
pub(crate) fn of(workload: &Workload) -> String {
    let kind = match workload.workload_type {
        WorkloadType::Deployment => "deployment",
        WorkloadType::CronJob => "cronjob",
        WorkloadType::Pod => "pod",
        WorkloadType::Job => "job",
    };
    let pairs: [(&str, &str); 7] = [
        ("k8s.cluster.name", &workload.cluster),
        ("k8s.namespace.name", &workload.namespace),
        (kind, &workload.workload_name),
        ("service.name", &workload.canonical_name),
        ("service.version", &workload.canonical_revision),
        ("cloud.region", &workload.locality.region),
        ("cloud.availability_zone", &workload.locality.zone),
    ];
    let mut text = String::with_capacity(192);
    for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        if !text.is_empty() {
            text.push(',');
        }
        if key == kind {
            text.push_str("k8s.");
            text.push_str(key);
            text.push_str(".name=");
        } else {
            text.push_str(key);
            text.push('=');
        }
        push_encoded(&mut text, value);
    }
    text
}

/// Percent-encodes what the W3C Baggage grammar (`baggage-octet`) does not let stand.
fn push_encoded(text: &mut String, value: &str) {
    for byte in value.bytes() {
        let plain = byte.is_ascii_graphic() && !b"\",;\\%".contains(&byte);
        if plain {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}
