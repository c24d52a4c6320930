//! Who this waypoint is and whom it believes, as they are now.

use std::sync::Arc;

use ambit_identity::{Credential, Trust};
use tokio::sync::watch;

/// What a handshake needs; none of it is there at the very beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Papers {
    /// Who we are.
    pub(crate) credential: Option<Arc<Credential>>,
    /// Whom we believe.
    pub(crate) trust: Option<Arc<Trust>>,
}

/// The papers in force; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Identity(watch::Sender<Papers>);

impl Identity {
    /// No papers yet.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Papers::default()))
    }

    /// Puts a new certificate in force.
    pub(crate) fn set_credential(&self, credential: Credential) {
        self.0
            .send_modify(|papers| papers.credential = Some(Arc::new(credential)));
    }

    /// Puts other roots in force.
    pub(crate) fn set_trust(&self, trust: Trust) {
        self.0
            .send_modify(|papers| papers.trust = Some(Arc::new(trust)));
    }

    /// Both, if they are there.
    pub(crate) fn papers(&self) -> Option<(Arc<Credential>, Arc<Trust>)> {
        let papers = self.0.borrow();
        papers.credential.clone().zip(papers.trust.clone())
    }

    /// Whether roots are there.
    pub(crate) fn has_trust(&self) -> bool {
        self.0.borrow().trust.is_some()
    }
}
