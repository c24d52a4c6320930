//! Certificates and keys that users give for TLS with hosts outside of the mesh, as the control plane hands them over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambit_identity::outside::OutsidePapers;
use ambit_kit::clock;
use ambit_model::CredentialUse;
use parking_lot::RwLock;

/// Those that are held, by `NAMESPACE/NAME`.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    held: RwLock<HashMap<Arc<str>, Held>>,
    /// Counts changes of that. It is counted while nobody else reads or writes them.
    changes: AtomicU64,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) papers: OutsidePapers,
    /// Tells it from what was held under that name before: the number of the change.
    pub(super) version: u64,
    /// The control plane does not tell of it any more.
    is_forsaken: bool,
}

impl Credentials {
    /// Holds this, in the place of what was held.
    pub(crate) fn put(&self, name: Arc<str>, papers: OutsidePapers) {
        tracing::info!(credential = %name, "for TLS with hosts outside of the mesh");
        let mut all = self.held.write();
        let held = Held {
            papers,
            version: self.change(),
            is_forsaken: false,
        };
        all.insert(name, held);
    }

    /// Holds it no longer.
    pub(crate) fn remove(&self, name: &str) {
        let mut all = self.held.write();
        if all.remove(name).is_some() {
            self.change();
            tracing::info!(credential = %name, "is gone");
        }
    }

    /// The control plane does not tell of it any more: it may not know it yet. It is held while it is named.
    pub(crate) fn forsake(&self, name: &str) {
        if let Some(held) = self.held.write().get_mut(name) {
            held.is_forsaken = true;
        }
    }

    /// Lets go of what nobody tells of or names any more.
    pub(crate) fn sweep(&self, is_named: impl Fn(&str) -> bool) {
        if self.held.read().values().any(|held| held.is_forsaken) {
            let stays = |name: &str, held: &Held| !held.is_forsaken || is_named(name);
            let mut all = self.held.write();
            all.retain(|name, held| stays(name, held));
            self.change();
        }
    }

    /// Counts a change, and says which one it is.
    fn change(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What tells connections that are begun from now on from those of before. Where nothing is held that is so
    /// after each change: a connection that is asked for just before something is held is begun by that, and must
    /// not be found when it is gone.
    pub(crate) fn version(&self, asked: &CredentialUse) -> u64 {
        let all = self.held.read();
        let held = all.get(&asked.name).map(|held| held.version);
        held.unwrap_or_else(|| self.changes.load(Ordering::Relaxed))
    }

    /// Whether something is held under this name.
    #[cfg(test)]
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.held.read().contains_key(name)
    }

    /// What is asked for, if it will do now; why not, in words.
    pub(super) fn held(&self, asked: &CredentialUse, unverified: bool) -> Result<Held, String> {
        let held = self.held.read().get(&asked.name).cloned();
        let why = |what: &str| format!("by Secret {}: {what}", asked.name);
        let held = held.ok_or_else(|| {
            why("it has not been handed over; see the status of the DestinationRule")
        })?;
        let will_do = held.papers.will_do(asked, unverified, clock::wall());
        will_do.map_err(|error| why(&error.to_string()))?;
        Ok(held)
    }
}
