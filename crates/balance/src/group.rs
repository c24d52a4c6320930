//! Endpoints that are equally near and may all be picked: what a pick works on. Those that are
//! ejected sit on a bench beside them, and are never picked.
//!
//! They stand in numbered slots without gaps; the last one fills the slot of one that goes. Beside
//! them stand their weights, measured in units: the largest number known to divide every weight,
//! so that endpoints of equal weight have one unit each, whatever the weight is.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use imbl::{OrdMap, Vector};

use crate::endpoint::Member;
use crate::random::{GOLDEN, part_of};
use crate::settings::Hashing;
use crate::spread::Strength;
use crate::table::Table;
use crate::weights::Weights;

/// Endpoints that are equally near.
#[derive(Debug)]
pub(crate) struct Group<K: Ord, T> {
    members: Vector<Arc<Member<K, T>>>,
    weights: Weights,
    /// Divides every weight; 0 as long as there was none.
    unit: u64,
    /// See [`Group::in_turn`]; has no divisor in common with the number of units.
    stride: u64,
    /// Turns that have been given.
    turns: Arc<AtomicU64>,
    /// Those that are ejected.
    bench: OrdMap<K, Arc<Member<K, T>>>,
    /// How many would stand here but are not ready any more.
    lost: usize,
    /// Of the members, and after them the bench: an ejection leaves it as it is. Built when first
    /// asked for.
    table: Arc<OnceLock<Table>>,
}

impl<K: Clone + Ord, T> Group<K, T> {
    /// Puts an endpoint on the bench.
    pub(crate) fn bench(&mut self, member: Arc<Member<K, T>>) {
        self.bench.insert(member.endpoint.key.clone(), member);
        self.table = Arc::default();
    }

    /// Takes an endpoint off the bench.
    pub(crate) fn unbench(&mut self, key: &K) {
        self.bench.remove(key);
        self.table = Arc::default();
    }
}

impl<K: Ord, T> Group<K, T> {
    /// A group without endpoints. The number says whose turn is first.
    pub(crate) fn new(turn: u64) -> Self {
        Self {
            turns: Arc::new(AtomicU64::new(turn)),
            ..Self::default()
        }
    }

    /// How many turns have been given.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// How many sit on the bench.
    pub(crate) fn benched(&self) -> usize {
        self.bench.len()
    }

    /// Notes that one that would stand here is not ready any more.
    pub(crate) fn lose(&mut self) {
        self.lost += 1;
    }

    /// Notes that such a one is ready, or gone.
    pub(crate) fn find(&mut self) {
        self.lost = self.lost.saturating_sub(1);
    }

    /// How much of it is left, of all but those on the bench, or those that are lost too.
    pub(crate) fn strength(&self, minds_illness: bool) -> Strength {
        let lost = if minds_illness { self.lost } else { 0 };
        let left = self.len();
        Strength {
            left,
            all: left + self.benched() + lost,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The endpoint in a slot.
    pub(crate) fn get(&self, slot: usize) -> Option<&Arc<Member<K, T>>> {
        self.members.get(slot)
    }

    /// Adds an endpoint; says its slot.
    pub(crate) fn add(&mut self, member: Arc<Member<K, T>>) -> usize {
        self.weights.push(member.weight());
        self.reckon(member.weight());
        self.members.push_back(member);
        self.members.len() - 1
    }

    /// Removes the endpoint in a slot; gives the one that stands there now, if another does.
    pub(crate) fn remove(&mut self, slot: usize) -> Option<&Arc<Member<K, T>>> {
        let last = self.members.pop_back()?;
        self.weights.pop();
        if slot < self.members.len() {
            self.weights.set(slot, last.weight());
            self.members.set(slot, last);
        }
        self.reckon(0);
        self.members.get(slot)
    }

    /// Puts an endpoint in the place of an older version of itself.
    pub(crate) fn replace(&mut self, slot: usize, member: Arc<Member<K, T>>) {
        let weight = member.weight();
        let Some(old) = self.members.get_mut(slot) else {
            return;
        };
        let before = std::mem::replace(old, member).weight();
        if before != weight {
            self.weights.set(slot, weight);
            self.reckon(weight);
        }
    }

    /// How many units of weight there are.
    pub(crate) fn units(&self) -> u64 {
        self.weights
            .total()
            .checked_div(self.unit)
            .unwrap_or_default()
    }

    /// The endpoint that has this unit of weight.
    pub(crate) fn at(&self, unit: u64) -> Option<&Arc<Member<K, T>>> {
        let slot = if self.units() == u64::try_from(self.len()).ok()? {
            // All have one unit: no need to search.
            usize::try_from(unit).ok()?
        } else {
            self.weights.find(unit * self.unit)?
        };
        self.members.get(slot)
    }

    /// The unit of weight whose turn it is: in as many turns as there are units each has one,
    /// and those of one endpoint are spread evenly among them.
    pub(crate) fn in_turn(&self) -> u64 {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let steps = u128::from(turn) * u128::from(self.stride);
        let unit = steps.checked_rem(u128::from(self.units()));
        unit.and_then(|unit| u64::try_from(unit).ok())
            .unwrap_or_default()
    }

    /// The endpoints from the one on that a hash leads to, without those on the bench.
    pub(crate) fn hashed(
        &self,
        hashing: Hashing,
        hash: u64,
    ) -> impl Iterator<Item = &Arc<Member<K, T>>>
    where
        K: Hash + Ord,
    {
        let all = || self.members.iter().chain(self.bench.values());
        let table = self.table.get_or_init(|| Table::build(hashing, all()));
        table.from(hash).filter_map(|slot| self.members.get(slot))
    }

    /// Brings in line what depends on the weights, after one has come (or, 0, gone).
    fn reckon(&mut self, weight: u64) {
        self.unit = greatest_divisor(self.unit, weight);
        self.stride = stride(self.units());
        self.table = Arc::default();
    }
}

impl<K: Ord, T> Default for Group<K, T> {
    fn default() -> Self {
        Self {
            members: Vector::new(),
            weights: Weights::default(),
            unit: 0,
            stride: 1,
            turns: Arc::default(),
            bench: OrdMap::new(),
            lost: 0,
            table: Arc::default(),
        }
    }
}

// Derived, it would ask for `T: Clone`.
impl<K: Ord, T> Clone for Group<K, T> {
    fn clone(&self) -> Self {
        Self {
            members: self.members.clone(),
            weights: self.weights.clone(),
            turns: Arc::clone(&self.turns),
            bench: self.bench.clone(),
            table: Arc::clone(&self.table),
            ..*self
        }
    }
}

/// The first number from `units` divided by the golden ratio that has no divisor in common with
/// it: multiples of it reach every unit, and come back to a neighbourhood as late as they can.
fn stride(units: u64) -> u64 {
    let from = part_of(units, GOLDEN).max(1);
    let mut candidates = from..from.saturating_add(units);
    let found = candidates.find(|candidate| greatest_divisor(*candidate, units) == 1);
    found.unwrap_or(1)
}

fn greatest_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
