//! What one process of the control plane needs to know beside its own state to drive the
//! authority: whether it leads, what the others' agents hold, and what the user wants to sign.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::rotation::Report;
use super::signer::Signer;

/// How long a user's authority has to be absent before a self-made root takes its place: who
/// replaces an object may delete it first.
pub(super) const ABSENT: Duration = Duration::from_secs(60);

/// What the user wants to sign.
#[derive(Clone, Debug)]
pub enum Offer {
    /// It is not known yet: whatever signs goes on.
    Unknown,
    /// Something that cannot be used: whatever signs goes on, but nothing is made in its place.
    Unusable {
        /// Why not.
        why: Arc<str>,
    },
    /// Nothing, since then: a self-made root is to sign.
    Nothing {
        /// Since when.
        since: SystemTime,
    },
    /// This authority.
    Given(Arc<Signer>),
}

/// The reports of the other replicas could not be read.
#[derive(Debug, thiserror::Error)]
#[error("what the agents of the other replicas hold cannot be told: {0}")]
pub struct PeersError(pub String);

/// The other replicas.
pub trait Peers: fmt::Debug + Send + Sync {
    /// What those of them that count say now.
    fn reports(&self) -> BoxFuture<'_, Result<Vec<Report>, PeersError>>;
}

/// What a process knows of its place among the replicas.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Whether it takes the steps.
    pub leads: watch::Receiver<bool>,
    /// What the user wants to sign.
    pub offer: watch::Receiver<Offer>,
    /// The others.
    pub peers: Arc<dyn Peers>,
}

impl Replica {
    /// The only process there is, with self-made roots.
    pub fn alone() -> Self {
        #[derive(Debug)]
        struct Nobody;
        impl Peers for Nobody {
            fn reports(&self) -> BoxFuture<'_, Result<Vec<Report>, PeersError>> {
                async { Ok(Vec::new()) }.boxed()
            }
        }
        Self {
            leads: watch::channel(true).1,
            offer: watch::channel(Offer::Unknown).1,
            peers: Arc::new(Nobody),
        }
    }
}
