//! What a ledger grew by, told by one generation of a process to the next, so that `/metrics`
//! never goes backwards over a replacement.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::{Family, Ledger};
use crate::labels::Labels;

/// Labels of one cell that an ancestor is believed: Istio's set has 23.
const MOST_LABELS: usize = 32;
/// Longest label value that an ancestor is believed, in bytes: a SPIFFE id, and then some.
const LONGEST_VALUE: usize = 512;

/// What one cell grew by since it was last told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta<F> {
    family: F,
    labels: Labels,
    grown: u64,
}

impl<F: Family> Ledger<F> {
    /// What grew since the last call with the same `told`, which the caller keeps.
    pub fn deltas(&self, told: &mut HashMap<(F, Labels), u64>) -> Vec<Delta<F>> {
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
    pub fn add(&self, deltas: &[Delta<F>]) {
        for delta in deltas.iter().filter(|delta| are_plausible(&delta.labels)) {
            if self.cells.has_room() {
                self.cell(delta.family, &delta.labels)
                    .fetch_add(delta.grown, Ordering::Relaxed);
            }
        }
    }
}

/// True for a set such as this program makes.
fn are_plausible(labels: &Labels) -> bool {
    let is_name = |name: &str| {
        let mut letters = name.bytes();
        (1..=64).contains(&name.len()) && letters.all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let pairs = labels.pairs();
    pairs.len() <= MOST_LABELS
        && pairs
            .iter()
            .all(|(name, value)| is_name(name) && value.len() <= LONGEST_VALUE)
}
