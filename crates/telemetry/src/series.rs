//! The counters of connections between one pair of ends, looked up once per connection.
//!
//! Making Istio's label set takes two dozen allocations, so the cells of a pair are kept here
//! under the addresses of the objects that the labels were made from: a changed object is another
//! object, and gets labels of its own.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Mesh;
use parking_lot::RwLock;

use crate::ends::{Ends, PairKey, Reporter, tcp_labels};
use crate::ledger::{Cell, Family, Ledger};
use crate::living::Living;

/// Which families of a program count carried connections.
pub trait TcpFamily: Family {
    /// `istio_tcp_connections_opened`
    const OPENED: Self;
    /// `istio_tcp_connections_closed`
    const CLOSED: Self;
    /// `istio_tcp_sent_bytes`
    const SENT: Self;
    /// `istio_tcp_received_bytes`
    const RECEIVED: Self;
}

/// The four counters of one label set.
#[derive(Debug)]
pub struct Series {
    /// Connections opened.
    pub opened: Cell,
    /// Connections closed.
    pub closed: Cell,
    /// Bytes that the server answered.
    pub sent: Cell,
    /// Bytes that the client sent.
    pub received: Cell,
    ends: Ends,
}

/// Every series in use.
#[derive(Debug, Default)]
pub struct SeriesTable {
    entries: RwLock<HashMap<(Reporter, PairKey), Arc<Series>>>,
}

impl SeriesTable {
    /// The counters of a pair of ends.
    pub fn of<F: TcpFamily>(
        &self,
        ledger: &Ledger<F>,
        reporter: Reporter,
        ends: &Ends,
    ) -> Arc<Series> {
        let key = (reporter, PairKey::of(ends));
        if let Some(series) = self.entries.read().get(&key) {
            return Arc::clone(series);
        }
        let labels = tcp_labels(reporter, ends, "-");
        let series = Arc::new(Series {
            opened: ledger.cell(F::OPENED, &labels),
            closed: ledger.cell(F::CLOSED, &labels),
            sent: ledger.cell(F::SENT, &labels),
            received: ledger.cell(F::RECEIVED, &labels),
            ends: ends.clone(),
        });
        Arc::clone(self.entries.write().entry(key).or_insert(series))
    }

    /// Forgets series whose workloads are gone from the mesh, or are called otherwise now, and
    /// strikes them from the ledger; those of open connections stay until they end. Costs a walk
    /// over the mesh: the caller does it seldom, after workloads went.
    pub fn sweep<F: Family>(&self, ledger: &Ledger<F>, mesh: &Mesh) {
        let living = Living::of(mesh);
        self.entries
            .write()
            .retain(|_, series| Arc::strong_count(series) > 1 || living.has_both(&series.ends));
        ledger.retain(|labels| living.has_names(labels));
    }
}

#[cfg(test)]
mod tests;
