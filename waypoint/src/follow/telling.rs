//! What is told of requests, as it comes over the wire. What cannot be followed is rejected, and what
//! held before stays.

use ambit_wire::decode;
use ambit_wire::delta::{Received, Update};
use ambit_wire::encode::MESH_TELEMETRY;

use crate::telling::{Telling, Tellings};

/// Whether it can be followed: if not, the control plane is told.
pub(super) fn readable(received: &Received) -> Result<(), String> {
    read(received).map(drop)
}

/// Takes it in.
pub(super) fn bring_in(tellings: &Tellings, update: &Update) {
    let of_mesh = |name: &str| name == MESH_TELEMETRY;
    if update.removed.iter().any(|name| of_mesh(name)) {
        tellings.set(Telling::default());
    }
    for received in update.changed.iter().filter(|one| of_mesh(&one.name)) {
        // What cannot be read was rejected before it came here.
        if let Ok(telling) = read(received) {
            tellings.set(telling);
        }
    }
}

fn read(received: &Received) -> Result<Telling, String> {
    let mesh = decode::telemetry_from_bytes(&received.body).map_err(|error| error.to_string())?;
    Telling::of(&mesh).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
