//! The ledger: every counter that the proxy role keeps, in one table.
//!
//! A cell is a family and a set of labels. Cells live in one place for two reasons: a new
//! generation adds what its ancestor still counts ([`Ledger::deltas`], [`Ledger::add`]), so that
//! `/metrics` never goes backwards over a replacement; and the series of workloads that are gone
//! can be struck out ([`Ledger::retain`]). Label values come from whoever may write objects: a
//! full ledger counts what is new without names ([`Labels::nameless`]). A data-path connection looks its cells up once, when
//! it opens; after that it holds the counters themselves.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use serde::{Deserialize, Serialize};

/// Cells with names, and those up to which an ancestor is believed; each takes about a kilobyte.
const MOST_CELLS: usize = 100_000;
/// Labels of one cell that an ancestor is believed: Istio's set has 23.
const MOST_LABELS: usize = 32;
/// Longest label value that an ancestor is believed, in bytes: a SPIFFE id, and then some.
const LONGEST_VALUE: usize = 512;

/// The value of a label of which nothing is known.
pub(crate) const UNKNOWN: &str = "unknown";

/// A cumulative count, shared between the ledger and whoever counts.
pub(crate) type Cell = Arc<AtomicU64>;

/// The families of counters that the proxy role exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Family {
    /// Connections opened, Istio's labels.
    Opened,
    /// Connections closed, Istio's labels.
    Closed,
    /// Connections that were refused or could not be made, Istio's labels.
    Failed,
    /// Bytes sent, Istio's labels and direction convention.
    Sent,
    /// Bytes received, Istio's labels and direction convention.
    Received,
    /// Refusals by reason.
    Refusals,
    /// TLS handshakes by side and result.
    Handshakes,
    /// Connections that a policy in dry-run mode would have refused.
    DryRun,
    /// Times that accepting had to pause for want of file descriptors.
    AcceptPauses,
    /// Resources from the control plane that could not be understood.
    ConfigRejects,
    /// Access log lines dropped because the reader of the log was too slow.
    LogDrops,
    /// Misbehaviour on tunnels: floods, resets, broken frames.
    TunnelErrors,
}

impl Family {
    const ALL: [Self; 12] = [
        Self::Opened,
        Self::Closed,
        Self::Failed,
        Self::Sent,
        Self::Received,
        Self::Refusals,
        Self::Handshakes,
        Self::DryRun,
        Self::AcceptPauses,
        Self::ConfigRejects,
        Self::LogDrops,
        Self::TunnelErrors,
    ];

    /// Name without `_total`, which the encoder appends, and help text.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Opened => ("istio_tcp_connections_opened", "TCP connections opened"),
            Self::Closed => ("istio_tcp_connections_closed", "TCP connections closed"),
            Self::Failed => (
                "istio_tcp_connections_failed",
                "TCP connections that were refused or could not be made, response_flags says why",
            ),
            Self::Sent => (
                "istio_tcp_sent_bytes",
                "Bytes sent as responses over TCP connections",
            ),
            Self::Received => (
                "istio_tcp_received_bytes",
                "Bytes received as requests over TCP connections",
            ),
            Self::Refusals => ("ambit_refusals", "Connections refused, by reason"),
            Self::Handshakes => ("ambit_tls_handshakes", "TLS handshakes, by side and result"),
            Self::DryRun => (
                "ambit_policy_dry_run",
                "Connections a dry-run policy would have decided",
            ),
            Self::AcceptPauses => (
                "ambit_accept_pauses",
                "Pauses in accepting for want of file descriptors",
            ),
            Self::ConfigRejects => (
                "ambit_config_rejects",
                "Resources refused because they could not be understood",
            ),
            Self::LogDrops => ("ambit_access_log_dropped", "Access log lines dropped"),
            Self::TunnelErrors => (
                "ambit_tunnel_errors",
                "Tunnels ended by misbehaviour, by kind",
            ),
        }
    }
}

/// A set of labels: names are ours, values come from the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Labels(pub(crate) Arc<[(String, Arc<str>)]>);

impl Labels {
    /// Puts a set together from name and value pairs.
    pub(crate) fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, Arc<str>)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// True for a set such as this program makes.
    fn are_plausible(&self) -> bool {
        let is_name = |name: &str| {
            let mut letters = name.bytes();
            (1..=64).contains(&name.len()) && letters.all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        self.0.len() <= MOST_LABELS
            && self
                .0
                .iter()
                .all(|(name, value)| is_name(name) && value.len() <= LONGEST_VALUE)
    }

    /// The same without what is named by objects of the mesh: of such sets there are few.
    fn nameless(&self) -> Self {
        let is_of_objects = |name: &str| {
            name == "policy" || name.starts_with("source_") || name.starts_with("destination_")
        };
        let pairs = self
            .0
            .iter()
            .map(|(name, value)| match is_of_objects(name) {
                true => (name.as_str(), Arc::from(UNKNOWN)),
                false => (name.as_str(), Arc::clone(value)),
            });
        Self::new(pairs)
    }

    /// The value of one label, if the set has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.0.iter() {
            (name.as_str(), value.as_ref()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

use prometheus_client::encoding::EncodeLabel as _;

/// What one cell grew by since it was last told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta {
    family: Family,
    labels: Labels,
    grown: u64,
}

type Key = (Family, Labels);

/// Every counter of one proxy generation, with what it inherited.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    cells: Arc<RwLock<HashMap<Key, Cell>>>,
}

impl Ledger {
    /// The cell of these labels, made if it is new; one without names if there are too many.
    pub(crate) fn cell(&self, family: Family, labels: &Labels) -> Cell {
        let key = (family, labels.clone());
        if let Some(cell) = self.cells.read().get(&key) {
            return Arc::clone(cell);
        }
        let mut cells = self.cells.write();
        let key = match cells.len() < MOST_CELLS || cells.contains_key(&key) {
            true => key,
            false => (family, labels.nameless()),
        };
        Arc::clone(cells.entry(key).or_default())
    }

    /// Adds one to a cell that is named by a few short labels.
    pub(crate) fn count(&self, family: Family, labels: &[(&str, &str)]) {
        let labels = Labels::new(labels.iter().map(|&(name, value)| (name, Arc::from(value))));
        self.cell(family, &labels).fetch_add(1, Ordering::Relaxed);
    }

    /// What grew since the last call with the same `told`, which the caller keeps.
    pub(crate) fn deltas(&self, told: &mut HashMap<Key, u64>) -> Vec<Delta> {
        let mut deltas = Vec::new();
        for (key, cell) in self.cells.read().iter() {
            let value = cell.load(Ordering::Relaxed);
            let before = told.entry(key.clone()).or_default();
            let grown = value.saturating_sub(*before);
            if grown > 0 {
                *before = value;
                deltas.push(Delta {
                    family: key.0,
                    labels: key.1.clone(),
                    grown,
                });
            }
        }
        deltas
    }

    /// Adds what an ancestor counted. It may have been taken over: what it tells can spoil its
    /// own numbers, but neither the page nor the memory of its heir.
    pub(crate) fn add(&self, deltas: &[Delta]) {
        for delta in deltas.iter().filter(|delta| delta.labels.are_plausible()) {
            if self.cells.read().len() < MOST_CELLS {
                self.cell(delta.family, &delta.labels)
                    .fetch_add(delta.grown, Ordering::Relaxed);
            }
        }
    }

    /// Strikes out every cell of which `keep` says no. A cell that a connection still holds
    /// stays, since it would come back without its past.
    pub(crate) fn retain(&self, keep: impl Fn(&Labels) -> bool) {
        self.cells
            .write()
            .retain(|(_, labels), cell| Arc::strong_count(cell) > 1 || keep(labels));
    }

    /// Sum over a family.
    #[cfg(test)]
    pub(crate) fn total(&self, family: Family) -> u64 {
        let cells = self.cells.read();
        cells
            .iter()
            .filter(|((f, _), _)| *f == family)
            .map(|(_, cell)| cell.load(Ordering::Relaxed))
            .sum()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("cells", &self.cells.read().len())
            .finish()
    }
}

impl Collector for Ledger {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let cells = self.cells.read();
        for family in Family::ALL {
            let (name, help) = family.describe();
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for ((_, labels), cell) in cells.iter().filter(|((f, _), _)| *f == family) {
                let value = ConstCounter::new(cell.load(Ordering::Relaxed));
                prometheus_client::encoding::EncodeMetric::encode(
                    &value,
                    metric.encode_family(labels)?,
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
