//! What is told of requests, as it comes over the wire. What cannot be followed is rejected, and what
//! held before stays.

use ambit_model::{MeshTelemetry, TelemetryRules};
use ambit_wire::decode::{self, DecodedTelemetry};
use ambit_wire::delta::{Received, Update};
use ambit_wire::encode::MESH_TELEMETRY;

use crate::proxy::Proxy;
use crate::telling;

/// Whether it can be followed: if not, the control plane is told.
pub(super) fn readable(received: &Received) -> Result<(), String> {
    match read(received)? {
        DecodedTelemetry::Mesh(mesh) => telling::format(&mesh.lines).map(drop),
        DecodedTelemetry::Rules(rules) => check(&rules),
    }
}

fn check(rules: &TelemetryRules) -> Result<(), String> {
    let filters = rules
        .access_log
        .iter()
        .filter_map(|rule| rule.filter.as_deref());
    let mut read = filters.map(telling::filter);
    read.try_for_each(|read| read.map(drop))?;
    telling::series::check(rules)
}

/// Takes it in. What cannot be followed leaves in force what held before.
pub(super) fn bring_in(proxy: &Proxy, update: &Update) {
    let wrong = proxy.tellings.change(|told| {
        for name in &update.removed {
            match &**name == MESH_TELEMETRY {
                true => told.mesh = MeshTelemetry::default(),
                false => drop(told.rules.remove(name)),
            }
        }
        for received in &update.changed {
            // What cannot be read was rejected before it came here.
            match read(received) {
                Ok(DecodedTelemetry::Mesh(mesh)) if &*received.name == MESH_TELEMETRY => {
                    told.mesh = mesh;
                }
                Ok(DecodedTelemetry::Rules(rules)) => {
                    told.rules.insert(received.name.clone(), rules);
                }
                Ok(DecodedTelemetry::Mesh(_)) | Err(_) => {}
            }
        }
    });
    for error in wrong {
        tracing::error!(%error, "what is to be told cannot be followed; what held before stays in force");
        proxy.telemetry.config_rejected();
    }
}

fn read(received: &Received) -> Result<DecodedTelemetry, String> {
    decode::telemetry_from_bytes(&received.body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
