//! Certificates and trust of this node's pods, as the control role feeds them.
//!
//! Readers take what is current without a lock; whoever needs a certificate that has not come yet
//! waits a bounded time and lets the control role know that it is wanted now.

use std::sync::Arc;
use std::time::Duration;

use ambit_identity::{Credential, Trust};
use ambit_model::SpiffeId;
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{mpsc, watch};

/// How long a connection waits for the first certificate of its pod: a new pod's first
/// connection waits, it is not refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// Current credentials by identity, and the trust bundle.
#[derive(Debug)]
pub(crate) struct Identities {
    credentials: ArcSwap<imbl::HashMap<SpiffeId, Arc<Credential>>>,
    trust: ArcSwapOption<Trust>,
    changed: watch::Sender<u64>,
    wanted: mpsc::Sender<SpiffeId>,
}

/// What one end of a tunnel needs.
#[derive(Clone, Debug)]
pub(crate) struct Papers {
    /// The pod's own certificate and key.
    pub(crate) credential: Arc<Credential>,
    /// Whom to believe.
    pub(crate) trust: Arc<Trust>,
}

impl Identities {
    /// An empty store that announces missing identities on `wanted`.
    pub(crate) fn new(wanted: mpsc::Sender<SpiffeId>) -> Self {
        Self {
            credentials: ArcSwap::default(),
            trust: ArcSwapOption::empty(),
            changed: watch::Sender::new(0),
            wanted,
        }
    }

    /// Takes a new or renewed credential.
    pub(crate) fn put(&self, credential: Credential) {
        let credential = Arc::new(credential);
        self.credentials
            .rcu(|all| all.update(credential.id().clone(), Arc::clone(&credential)));
        self.changed.send_modify(|n| *n += 1);
    }

    /// Drops the credential of an identity that left the node.
    pub(crate) fn forget(&self, id: &SpiffeId) {
        self.credentials.rcu(|all| all.without(id));
        self.changed.send_modify(|n| *n += 1);
    }

    /// Takes a new trust bundle.
    pub(crate) fn set_trust(&self, trust: Trust) {
        self.trust.store(Some(Arc::new(trust)));
        self.changed.send_modify(|n| *n += 1);
    }

    /// What is there now.
    pub(crate) fn current(&self, id: &SpiffeId) -> Option<Papers> {
        let credential = Arc::clone(self.credentials.load().get(id)?);
        Some(Papers {
            credential,
            trust: self.trust.load_full()?,
        })
    }

    /// What is there, or comes within the bounded wait.
    pub(crate) async fn papers(&self, id: &SpiffeId) -> Option<Papers> {
        if let Some(papers) = self.current(id) {
            return Some(papers);
        }
        let mut changed = self.changed.subscribe();
        // A full channel means that the control role is being asked already.
        self.wanted.try_send(id.clone()).ok();
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(papers) = self.current(id) {
                    return Some(papers);
                }
                changed.changed().await.ok()?;
            }
        })
        .await
        .ok()
        .flatten()
    }

    /// Every credential, for pages.
    pub(crate) fn list(&self) -> Vec<Arc<Credential>> {
        self.credentials.load().values().cloned().collect()
    }

    /// The trust bundle, for pages.
    pub(crate) fn trust(&self) -> Option<Arc<Trust>> {
        self.trust.load_full()
    }

    /// Counts changes; a reader that saw one number knows nothing changed while it stays.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
