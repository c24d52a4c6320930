//! The endpoints of one service, so arranged that picking one does not mean looking at all.
//!
//! Endpoints stand in numbered slots without gaps: a random number names one in O(log n). The
//! last endpoint fills the slot of one that goes, so a change costs O(log n) as well. The largest
//! weight is known, which lets a caller pick by weight with a few draws.

use std::sync::Arc;

use imbl::{OrdMap, Vector};

use crate::names::WorkloadUid;
use crate::workload::Workload;

/// The endpoints of one service.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    slots: Vector<Arc<Workload>>,
    slot_of: OrdMap<WorkloadUid, usize>,
    /// How many endpoints have each weight.
    weights: OrdMap<u32, usize>,
}

impl Endpoints {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The endpoint in a slot from 0 up to [`len`](Self::len).
    pub fn get(&self, slot: usize) -> Option<&Arc<Workload>> {
        self.slots.get(slot)
    }

    /// All endpoints, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.slots.iter()
    }

    /// The weight that none exceeds; 0 only if there is no endpoint.
    pub fn largest_weight(&self) -> u32 {
        self.weights.get_max().map_or(0, |(weight, _)| *weight)
    }

    /// Adds an endpoint that is not among them yet.
    pub(crate) fn add(&mut self, endpoint: &Arc<Workload>) {
        self.slot_of.insert(endpoint.uid.clone(), self.slots.len());
        self.slots.push_back(Arc::clone(endpoint));
        *self.weights.entry(endpoint.weight()).or_insert(0) += 1;
    }

    /// Removes an endpoint, if it is among them.
    pub(crate) fn remove(&mut self, uid: &WorkloadUid) {
        let Some(slot) = self.slot_of.remove(uid) else {
            return;
        };
        let Some(last) = self.slots.pop_back() else {
            return;
        };
        let gone = if slot == self.slots.len() {
            last
        } else {
            self.slot_of.insert(last.uid.clone(), slot);
            self.slots.set(slot, last)
        };
        match self.weights.get_mut(&gone.weight()) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.weights.remove(&gone.weight());
            }
        }
    }
}
