//! What holds for the whole mesh: a file of a user's.

use ambit_logformat::Format;
use ambit_model::LogLines;
use ambit_wire::decode::{self, DecodedTelemetry};
use ambit_wire::encode;
use serde_json::Value;

/// The file: what is read of it waypoints are told as it is, and can follow.
pub fn mesh_config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(telemetry) = ambit::mesh_config::parse(&text) else {
        return;
    };
    let (_, entry) = encode::telemetry_entry(&telemetry);
    match decode::telemetry_from_bytes(&entry.body) {
        Ok(DecodedTelemetry::Mesh(told)) => assert_eq!(told, telemetry),
        other => unreachable!("told is {other:?}"),
    }
    let format = match &telemetry.lines {
        LogLines::Usual => None,
        LogLines::Text(text) => Some(Format::text(text)),
        LogLines::Json(text) => Some(Format::json(&Value::from(&**text))),
    };
    assert!(format.is_none_or(|format| format.is_ok()), "{telemetry:?}");
    let usual = telemetry.tracing.iter();
    for collector in usual.chain(telemetry.providers.values()) {
        assert!(collector.sampling <= 100_000_000, "{collector:?}");
        let (host, port) = collector.address.rsplit_once(':').unwrap_or_default();
        assert!(!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    }
}
