//! What the authority shows of itself: the trust bundle for agents, its state for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_kit::clock;
use rustls_pki_types::CertificateDer;
use serde::{Serialize, Serializer};

use super::kept::Kept;
use super::rotation::{Phase, Report, Rotation};
use super::signer::{Shown, Signer};

/// The roots to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Grows with every change, also across restarts.
    pub generation: u64,
    /// The roots.
    pub roots: Vec<CertificateDer<'static>>,
    /// The roots as text, one after the other.
    pub pem: String,
    /// End of the life of what signs.
    pub signing_until: SystemTime,
}

impl Bundle {
    /// The roots to trust, as they are given away.
    pub(crate) fn of(kept: &Kept) -> Self {
        let mut shown: Vec<&Shown> = Vec::new();
        for anchor in kept.signers().flat_map(|signer| signer.anchors()) {
            if !shown.iter().any(|known| known.der == anchor.der) {
                shown.push(anchor);
            }
        }
        Self {
            generation: kept.generation,
            roots: shown.iter().map(|root| root.der.clone()).collect(),
            pem: shown.iter().map(|root| root.pem.as_str()).collect(),
            signing_until: kept.signing().not_after(),
        }
    }
}

/// Where the authority stands, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Generation of the bundle.
    pub generation: u64,
    /// Where a rotation stands; its name only.
    #[serde(serialize_with = "name_of")]
    pub phase: Phase,
    /// When that is over unless a connected agent holds it up, by RFC 3339.
    pub phase_until: Option<String>,
    /// Serial numbers of what signs or signed, with the end of its life.
    pub roots: BTreeMap<String, String>,
    /// Serial number of what signs.
    pub signing: String,
    /// Where what signs is from.
    pub made_by: &'static str,
    /// Connected agents that do not hold the bundle yet.
    pub waiting_for_connected: Vec<String>,
    /// Agents that are away and do not hold the bundle yet.
    pub waiting_for_away: Vec<String>,
}

impl Status {
    /// What is kept, and what a rotation waits for.
    pub(crate) fn of(kept: &Kept, rotation: &Rotation, others: &[Report]) -> Self {
        let (connected, away) = rotation.waiting_for(others);
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let life = |signer: &Arc<Signer>| {
            let end = clock::rfc3339(signer.not_after());
            (signer.serial().to_owned(), end)
        };
        let made_by = if kept.signing().is_given() {
            "user"
        } else {
            "ambit"
        };
        Self {
            generation: kept.generation,
            phase: kept.phase.clone(),
            phase_until: kept.phase.until().map(clock::rfc3339),
            roots: kept.signers().map(life).collect(),
            signing: kept.signing().serial().to_owned(),
            made_by,
            waiting_for_connected: owned(connected),
            waiting_for_away: owned(away),
        }
    }
}

fn name_of<S: Serializer>(phase: &Phase, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(phase.name())
}
