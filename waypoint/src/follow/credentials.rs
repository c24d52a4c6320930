//! What users give for TLS with hosts outside of the mesh, as it comes over the wire. What cannot be used is rejected,
//! and what was held before stays. Nothing of it is told to anybody.
//!
//! An empty one is known not to be there. One that the control plane does not tell of it may not have read yet, as when
//! it was just started: what is held stays as long as a service names it.

use ambit_identity::outside::OutsidePapers;
use ambit_model::{Mesh, OutsideCredential, Service};
use ambit_wire::decode;
use ambit_wire::delta::{Received, Update};

use crate::outside::tls::Credentials;

/// Whether it can be used: if not, the control plane is told.
pub(super) fn readable(received: &Received) -> Result<(), String> {
    read(received).map(drop)
}

/// Takes it in, and lets go of what a service may have ceased to name before.
pub(super) fn bring_in(credentials: &Credentials, update: &Update, mesh: &Mesh) {
    for name in &update.removed {
        credentials.forsake(name);
    }
    for received in &update.changed {
        match read(received) {
            Ok(Some(papers)) => credentials.put(received.name.clone(), papers),
            Ok(None) => credentials.remove(&received.name),
            // Rejected before it came here.
            Err(_) => {}
        }
    }
    sweep(credentials, mesh);
}

/// Lets go of what nobody tells of or names any more.
pub(super) fn sweep(credentials: &Credentials, mesh: &Mesh) {
    credentials.sweep(|name| mesh.services().any(|service| names(service, name)));
}

/// Whether the traffic policies of a service name a credential.
fn names(service: &Service, name: &str) -> bool {
    let Some(traffic) = &service.traffic else {
        return false;
    };
    let subsets = traffic.subsets.values().map(|subset| &subset.policies);
    let mut policies = std::iter::once(&traffic.whole)
        .chain(subsets)
        .flat_map(|part| part.ports.values().chain([&part.any]));
    policies.any(|policy| {
        let asked = policy.tls.as_ref().and_then(|tls| tls.credential.as_ref());
        asked.is_some_and(|asked| *asked.name == *name)
    })
}

fn read(received: &Received) -> Result<Option<OutsidePapers>, String> {
    let given = decode::credential_from_bytes(&received.body);
    let given = given.map_err(|error| error.to_string())?;
    if given == OutsideCredential::default() {
        return Ok(None);
    }
    let papers = OutsidePapers::read(&given);
    papers.map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
