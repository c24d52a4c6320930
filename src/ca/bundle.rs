//! What the authority shows of itself: the trust bundle for agents, its state for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_kit::clock;
use rustls_pki_types::CertificateDer;
use serde::Serialize;

use super::root::Root;
use super::rotation::{Phase, Rotation};
use super::store::Kept;

/// The roots to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Grows with every change, also across restarts.
    pub generation: u64,
    /// The roots.
    pub roots: Vec<CertificateDer<'static>>,
    /// The roots as text, one after the other.
    pub pem: String,
    /// End of the life of the root that signs.
    pub signing_until: SystemTime,
}

impl Kept {
    /// The root that signs.
    pub(crate) fn signing(&self) -> &Arc<Root> {
        match (&self.phase, &self.next) {
            (Phase::Retiring { .. }, Some(next)) => next,
            _ => &self.first,
        }
    }

    /// The roots to trust, the oldest first.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &Arc<Root>> {
        std::iter::once(&self.first).chain(&self.next)
    }

    /// The roots to trust, as they are given away.
    pub(crate) fn bundle(&self) -> Bundle {
        Bundle {
            generation: self.generation,
            roots: self.roots().map(|root| root.der().clone()).collect(),
            pem: self.roots().map(|root| root.pem()).collect(),
            signing_until: self.signing().not_after(),
        }
    }
}

/// Where the authority stands, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Generation of the bundle.
    pub generation: u64,
    /// Where a rotation stands.
    pub phase: Phase,
    /// Serial numbers of the trusted roots, with the end of their life.
    pub roots: BTreeMap<String, String>,
    /// Serial number of the one that signs.
    pub signing: String,
    /// Connected agents that do not hold the bundle yet.
    pub waiting_for_connected: Vec<String>,
    /// Agents that are away and do not hold the bundle yet.
    pub waiting_for_away: Vec<String>,
}

impl Status {
    /// What is kept, and what a rotation waits for.
    pub(crate) fn of(kept: &Kept, rotation: &Rotation) -> Self {
        let (connected, away) = rotation.waiting_for();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let life = |root: &Arc<Root>| (root.serial().to_owned(), clock::rfc3339(root.not_after()));
        Self {
            generation: kept.generation,
            phase: kept.phase.clone(),
            roots: kept.roots().map(life).collect(),
            signing: kept.signing().serial().to_owned(),
            waiting_for_connected: owned(connected),
            waiting_for_away: owned(away),
        }
    }
}
