//! What one reader of the model has not been told yet: names, not contents.
//!
//! Every proxy and the keeper of files has a backlog of its own. Changes are marked in it by the
//! one task that changes the model; the reader takes the marks and looks up what stands under the
//! names by then. So a slow reader holds up nobody, and what waits for it is bounded by the number
//! of names, however often they change.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::SpiffeId;
use ambit_wire::node::{Certificate, Resources, Status, TrustUpdate};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::model::{Kind, Model};

/// One change of the model.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// A resource came, changed or went.
    Resource(Kind, Arc<str>),
    /// The certificate of an identity came or changed.
    Certificate(SpiffeId),
    /// The identity left the node.
    Forget(SpiffeId),
    /// The trust bundle.
    Trust,
    /// The state of the connection.
    Status,
    /// The model became complete.
    Complete,
}

#[derive(Debug, Default)]
struct Marks {
    through: u64,
    resources: BTreeSet<(Kind, Arc<str>)>,
    certificates: BTreeSet<SpiffeId>,
    forget: BTreeSet<SpiffeId>,
    trust: bool,
    status: bool,
    complete: bool,
    touched: bool,
}

/// The marks of one reader; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog {
    marks: Arc<Mutex<Marks>>,
    changed: Arc<Notify>,
}

/// What a reader took: the state of what had been marked.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Whom to trust, if that changed.
    pub(crate) trust: Option<Arc<TrustUpdate>>,
    /// Identities that left.
    pub(crate) forget: Vec<SpiffeId>,
    /// Certificates that came or changed.
    pub(crate) certificates: Vec<Arc<Certificate>>,
    /// State of the connection, if that changed.
    pub(crate) status: Option<Status>,
    /// Changed resources; policies never later than the workloads they apply to.
    pub(crate) resources: Resources,
    /// True once the model is complete, in the batch that tells so.
    pub(crate) complete: bool,
    /// True if more resources wait.
    more: bool,
    /// Every change up to this number is in this batch or was in an earlier one, unless there are
    /// more.
    pub(crate) through: u64,
}

impl Backlog {
    /// Everything that the model holds is to be told.
    pub(crate) fn all_of(model: &Model, through: u64) -> Self {
        let backlog = Self::default();
        let names = |kind| {
            model
                .of(kind)
                .keys()
                .map(move |name| Mark::Resource(kind, Arc::clone(name)))
        };
        let resources = names(Kind::Policy).chain(names(Kind::Address));
        let certificates = model.certificates.keys().cloned().map(Mark::Certificate);
        let rest = [Mark::Trust, Mark::Status, Mark::Complete];
        backlog.mark(through, resources.chain(certificates).chain(rest));
        backlog
    }

    /// Notes changes; `through` is the number of the newest.
    pub(crate) fn mark(&self, through: u64, marks: impl IntoIterator<Item = Mark>) {
        let mut noted = self.marks.lock();
        noted.through = through;
        noted.touched = true;
        for mark in marks {
            match mark {
                Mark::Resource(kind, name) => {
                    noted.resources.insert((kind, name));
                }
                Mark::Certificate(id) => {
                    noted.forget.remove(&id);
                    noted.certificates.insert(id);
                }
                Mark::Forget(id) => {
                    noted.certificates.remove(&id);
                    noted.forget.insert(id);
                }
                Mark::Trust => noted.trust = true,
                Mark::Status => noted.status = true,
                Mark::Complete => noted.complete = true,
            }
        }
        drop(noted);
        self.changed.notify_one();
    }

    /// Waits until something is marked. May be dropped and called again.
    pub(crate) async fn wait(&self) {
        while !self.marks.lock().touched {
            self.changed.notified().await;
        }
    }

    /// Takes the marks, of resources at most `limit`, with what stands in the model by now.
    ///
    /// The model is read after the marks were taken, and is always stored before they are made: so
    /// a batch is never older than its marks.
    pub(crate) fn take(&self, limit: usize, models: &ArcSwap<Model>) -> Batch {
        let (taken, more) = self.take_marks(limit);
        let model = models.load_full();
        let mut batch = Batch {
            trust: model.trust.clone().filter(|_| taken.trust),
            forget: taken.forget.into_iter().collect(),
            certificates: Vec::new(),
            status: taken.status.then(|| model.status),
            resources: Resources::default(),
            complete: taken.complete && model.complete && !more,
            more,
            through: taken.through,
        };
        let certificates = taken
            .certificates
            .iter()
            .filter_map(|id| model.certificates.get(id));
        batch.certificates.extend(certificates.cloned());
        for (kind, name) in taken.resources {
            batch.put(kind, &name, &model);
        }
        batch
    }

    fn take_marks(&self, limit: usize) -> (Marks, bool) {
        let mut noted = self.marks.lock();
        let mut taken = std::mem::take(&mut *noted);
        if taken.resources.len() > limit {
            let rest = taken.resources.iter().nth(limit).cloned();
            noted.resources = rest
                .map(|rest| taken.resources.split_off(&rest))
                .unwrap_or_default();
            noted.through = taken.through;
            noted.complete = taken.complete;
            noted.touched = true;
        }
        (taken, noted.touched)
    }
}

impl Batch {
    /// True if nothing that was marked before waits any more.
    pub(crate) fn is_caught_up(&self) -> bool {
        !self.more
    }

    /// True if applying it changes what connections are decided by.
    pub(crate) fn needs_answer(&self) -> bool {
        self.trust.is_some() || self.complete || self.resources != Resources::default()
    }

    fn put(&mut self, kind: Kind, name: &Arc<str>, model: &Model) {
        let resources = &mut self.resources;
        match (kind, model.named(kind, name)) {
            (Kind::Policy, Some(policy)) => resources.policies.push(policy),
            (Kind::Policy, None) => resources.removed_policies.push(name.to_string()),
            (Kind::Address, Some(address)) => resources.addresses.push(address),
            (Kind::Address, None) => resources.removed_addresses.push(name.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
