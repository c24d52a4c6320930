//! The ledger: every counter that a proxy keeps, in one table.
//!
//! A cell is a family and a set of labels; which families there are is the program's own affair
//! ([`Family`]). Cells live in one place so that the series of workloads that are gone can be
//! struck out ([`Ledger::retain`]), and so that a new generation of a process can go on where its
//! ancestor stopped ([`Ledger::deltas`], [`Ledger::add`]). A data-path connection looks its cells
//! up once, when it opens; after that it holds the counters themselves.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::cells::{Cells, MadeKey, Named};
use crate::labels::Labels;
use crate::shape::Made;

mod deltas;

pub use deltas::Delta;

/// Cells with names, and those up to which an ancestor is believed; each takes about a kilobyte.
const MOST_CELLS: usize = 100_000;
/// Cells up to which labels of a user's own making have names: their values may be a client's.
const MOST_SHAPED: usize = 20_000;

/// A cumulative count, shared between the ledger and whoever counts.
pub type Cell = Arc<AtomicU64>;

/// The families of counters that a program exports.
pub trait Family: Copy + Debug + Eq + Hash + Send + Sync + 'static {
    /// Every family, in the order of the page.
    const ALL: &'static [Self];

    /// Name without `_total`, which the encoder appends, and help text.
    fn describe(self) -> (&'static str, &'static str);
}

type Key<F> = (F, Labels);

impl<F: Family> Named for Key<F> {
    fn nameless(&self) -> Self {
        (self.0, self.1.nameless())
    }
}

/// Every counter of one process, with what it inherited. Clones share the counters.
#[derive(Clone, Debug)]
pub struct Ledger<F> {
    cells: Arc<Cells<Key<F>, AtomicU64>>,
}

impl<F: Family> Default for Ledger<F> {
    fn default() -> Self {
        Self {
            cells: Arc::new(Cells::new(MOST_CELLS)),
        }
    }
}

impl<F: Family> Ledger<F> {
    /// The cell of these labels, made if it is new; one without names if there are too many.
    pub fn cell(&self, family: F, labels: &Labels) -> Cell {
        self.cells.of((family, labels.clone()))
    }

    /// The same for labels that somebody has made other than usual.
    pub(crate) fn shaped(&self, family: F, made: &Made) -> Cell {
        let key = MadeKey {
            own: (family, made.labels.clone()),
            other: (family, made.other.clone()),
            nameless: (family, made.nameless.clone()),
            is_folded: made.is_folded,
        };
        self.cells.made(MOST_SHAPED, key)
    }

    /// How often labels that somebody has made found no room.
    pub(crate) fn folded(&self) -> u64 {
        self.cells.folded()
    }

    /// Adds one to a cell that is named by a few short labels.
    pub fn count(&self, family: F, labels: &[(&str, &str)]) {
        let labels = Labels::new(labels.iter().map(|&(name, value)| (name, Arc::from(value))));
        self.cell(family, &labels).fetch_add(1, Ordering::Relaxed);
    }

    /// Strikes out every cell of which `keep` says no. A cell that a connection still holds
    /// stays, since it would come back without its past.
    pub fn retain(&self, keep: impl Fn(&Labels) -> bool) {
        self.cells.retain(|(_, labels)| keep(labels));
    }

    /// Sum over a family.
    pub fn total(&self, family: F) -> u64 {
        let cells = self.cells.read();
        let of_family = cells.iter().filter(|((f, _), _)| *f == family);
        of_family
            .map(|(_, cell)| cell.load(Ordering::Relaxed))
            .sum()
    }
}

impl<F: Family> Collector for Ledger<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let cells = self.cells.read();
        for &family in F::ALL {
            let (name, help) = family.describe();
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for ((_, labels), cell) in cells.iter().filter(|((f, _), _)| *f == family) {
                let value = ConstCounter::new(cell.load(Ordering::Relaxed));
                value.encode(metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
