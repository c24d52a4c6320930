//! The counters of one pair of ends, looked up once per connection.
//!
//! Making Istio's label set takes two dozen allocations, so the cells of a pair are kept here
//! under the addresses of the objects that the labels were made from: a changed object is another
//! object, and gets labels of its own. Entries hold what their key points at, so that an address
//! cannot be used again while it is a key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ambit_model::{Mesh, Service, SpiffeId, Workload};
use parking_lot::RwLock;

use super::labels::{Ends, Reporter, known, tcp_labels};
use super::ledger::{Cell, Family, Labels, Ledger, UNKNOWN};

/// Labels by which a cell is kept: an owner of a pod can change the latter two as often as they like.
const NAMES: [&str; 4] = ["workload", "workload_namespace", "app", "version"];

/// The four counters of one label set.
#[derive(Debug)]
pub(crate) struct Series {
    /// Connections opened.
    pub(crate) opened: Cell,
    /// Connections closed.
    pub(crate) closed: Cell,
    /// Bytes that the server answered.
    pub(crate) sent: Cell,
    /// Bytes that the client sent.
    pub(crate) received: Cell,
    ends: Ends,
}

/// Every series in use.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable {
    entries: RwLock<HashMap<Key, Arc<Series>>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    reporter: Reporter,
    source: usize,
    destination: usize,
    service: usize,
    source_id: Option<SpiffeId>,
    destination_id: Option<SpiffeId>,
}

impl Key {
    fn of(reporter: Reporter, ends: &Ends) -> Self {
        let workload = |w: &Option<Arc<Workload>>| w.as_ref().map_or(0, |w| Arc::as_ptr(w).addr());
        Self {
            reporter,
            source: workload(&ends.source),
            destination: workload(&ends.destination),
            service: ends
                .service
                .as_ref()
                .map_or(0, |s| Arc::<Service>::as_ptr(s).addr()),
            source_id: ends.source_id.clone(),
            destination_id: ends.destination_id.clone(),
        }
    }
}

impl SeriesTable {
    /// The counters of a pair of ends.
    pub(crate) fn of(&self, ledger: &Ledger, reporter: Reporter, ends: &Ends) -> Arc<Series> {
        let key = Key::of(reporter, ends);
        if let Some(series) = self.entries.read().get(&key) {
            return Arc::clone(series);
        }
        let labels = tcp_labels(reporter, ends, None);
        let series = Arc::new(Series {
            opened: ledger.cell(Family::Opened, &labels),
            closed: ledger.cell(Family::Closed, &labels),
            sent: ledger.cell(Family::Sent, &labels),
            received: ledger.cell(Family::Received, &labels),
            ends: ends.clone(),
        });
        Arc::clone(self.entries.write().entry(key).or_insert(series))
    }

    /// Forgets series whose workloads are gone from the mesh, or are called otherwise now, and
    /// strikes them from the ledger; those of open connections stay until they end. Costs a walk over the mesh: the caller does
    /// it seldom, after workloads went.
    pub(crate) fn sweep(&self, ledger: &Ledger, mesh: &Mesh) {
        let current = |w: &Option<Arc<Workload>>| {
            w.as_ref()
                .is_none_or(|w| mesh.workload(&w.uid).is_some_and(|now| Arc::ptr_eq(now, w)))
        };
        self.entries.write().retain(|_, series| {
            Arc::strong_count(series) > 1
                || (current(&series.ends.source) && current(&series.ends.destination))
        });
        let living: HashSet<[&str; 4]> = mesh.workloads().map(names_of).collect();
        ledger.retain(|labels| {
            ["source", "destination"]
                .iter()
                .all(|side| lives(&living, labels, side))
        });
    }
}

/// What a workload is called in labels, as [`NAMES`] lists it.
fn names_of(workload: &Arc<Workload>) -> [&str; 4] {
    let (name, revision) = (&workload.canonical_name, &workload.canonical_revision);
    [&workload.workload_name, &workload.namespace, name, revision].map(|name| known(name))
}

fn lives(living: &HashSet<[&str; 4]>, labels: &Labels, side: &str) -> bool {
    let value = |name| labels.get(&format!("{side}_{name}")).map(|value| &**value);
    match NAMES.map(value) {
        [Some(UNKNOWN), ..] => true,
        [Some(workload), Some(namespace), Some(app), Some(version)] => {
            living.contains(&[workload, namespace, app, version])
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
