//! The counters of connections between one pair of ends, looked up once per connection.
//!
//! Making Istio's label set takes two dozen allocations, so the cells of a pair are kept here
//! under the addresses of the objects that the labels were made from: a changed object is another
//! object, and gets labels of its own.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::{Mesh, Metric};
use parking_lot::RwLock;

use crate::ends::{Ends, PairKey, Reporter, tcp_pairs};
use crate::ledger::{Cell, Family, Ledger};
use crate::living::Living;
use crate::shape::{Shape, ShapeKey, Shaped, each, made};

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
    /// Also kept for its address, which is in the key.
    shape: Option<Arc<Shape>>,
}

/// Entries for looking up. With more, those are forgotten that no connection has, which costs time and
/// no count.
const MOST_ENTRIES: usize = 32_768;

type Key = (Reporter, PairKey, Option<ShapeKey>);

/// Every series in use.
#[derive(Debug, Default)]
pub struct SeriesTable {
    entries: RwLock<HashMap<Key, Arc<Series>>>,
}

impl SeriesTable {
    /// The counters of a pair of ends.
    pub fn of<F: TcpFamily>(
        &self,
        ledger: &Ledger<F>,
        reporter: Reporter,
        ends: &Ends,
    ) -> Arc<Series> {
        self.shaped(ledger, reporter, ends, None)
    }

    /// The same of series that are other than usual. What is not there is counted for nobody.
    pub(crate) fn shaped<F: TcpFamily>(
        &self,
        ledger: &Ledger<F>,
        reporter: Reporter,
        ends: &Ends,
        shaped: Option<Shaped<'_>>,
    ) -> Arc<Series> {
        let shape = shaped.map(|shaped| shaped.key());
        let key = (reporter, PairKey::of(ends), shape);
        if let Some(series) = self.entries.read().get(&key) {
            return Arc::clone(series);
        }
        let pairs = tcp_pairs(reporter, ends, "-");
        let cell = |family, metric| match shaped {
            None => ledger.cell(family, &pairs.iter().cloned().collect()),
            Some(_) => made(shaped, metric, &pairs)
                .map(|made| ledger.shaped(family, &made))
                .unwrap_or_default(),
        };
        let series = Arc::new(Series {
            opened: cell(F::OPENED, Metric::TcpOpenedConnections),
            closed: cell(F::CLOSED, Metric::TcpClosedConnections),
            sent: cell(F::SENT, Metric::TcpSentBytes),
            received: cell(F::RECEIVED, Metric::TcpReceivedBytes),
            ends: ends.clone(),
            shape: shaped.map(|shaped| Arc::clone(shaped.shape)),
        });
        let mut entries = self.entries.write();
        if entries.len() >= MOST_ENTRIES {
            entries.retain(|_, series| Arc::strong_count(series) > 1);
        }
        Arc::clone(entries.entry(key).or_insert(series))
    }

    /// Forgets series whose workloads are gone from the mesh, or are called otherwise now, and
    /// strikes them from the ledger; those of open connections stay until they end. Costs a walk
    /// over the mesh: the caller does it seldom, after workloads went.
    pub fn sweep<F: Family>(&self, ledger: &Ledger<F>, mesh: &Mesh) {
        let living = Living::of(mesh);
        let mut entries = self.entries.write();
        let shapes = entries.values().filter_map(|series| series.shape.as_ref());
        for shape in each(shapes) {
            shape.retain(|labels| living.has_names(labels));
        }
        entries.retain(|_, series| Arc::strong_count(series) > 1 || living.has_both(&series.ends));
        ledger.retain(|labels| living.has_names(labels));
    }
}

#[cfg(test)]
mod tests;
