//! Series that are other than usual, as users ask: without some labels, with others, or not there at all.
//!
//! A [`Shape`] says so of some traffic. Values of labels are expressions, which somebody else can read:
//! what they come to for a request is handed in with it ([`Shaped`]). Whoever asks for a label may ask
//! for what clients make up, so that each expression has a bounded number of values ([`Shape::known`]), and
//! each shape a bounded number of label sets: those beyond have `other` for all that it makes, and the rest
//! as usual.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ambit_model::{Metric, MetricShape, Metrics};
use parking_lot::RwLock;

use crate::ends::Pairs;
use crate::labels::{Labels, UNKNOWN};

/// Values that one expression may have.
const MOST_VALUES: usize = 500;
/// Label sets of one family that one shape may make. A table has some thousands, for all of them.
const MOST_SETS: usize = 1000;
/// What stands for those beyond.
const OTHER: &str = "other";

/// How the series of some traffic differ from the usual.
#[derive(Debug, Default)]
pub struct Shape {
    metrics: Metrics,
    expressions: Vec<Arc<str>>,
    values: Vec<RwLock<HashSet<Arc<str>>>>,
    /// Label sets that it has made.
    sets: RwLock<BTreeMap<Metric, HashSet<Labels>>>,
    most_sets: usize,
}

/// The shape of the series of a request or connection, and what its expressions come to.
#[derive(Clone, Copy, Debug)]
pub struct Shaped<'a> {
    /// The shape.
    pub shape: &'a Arc<Shape>,
    /// Values of its expressions, in their order.
    pub values: &'a [Arc<str>],
}

/// Labels, and what they are once a table is full.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) labels: Labels,
    /// The same, with `other` for what a user has made.
    pub(crate) other: Labels,
    pub(crate) nameless: Labels,
    /// Whether the shape has had its share, so that the labels are those.
    pub(crate) is_folded: bool,
}

impl Made {
    fn usual(labels: Labels) -> Self {
        Self {
            nameless: labels.nameless(),
            other: labels.clone(),
            labels,
            is_folded: false,
        }
    }
}

/// A shape with values as a key: by its address. Whoever keeps it keeps the shape as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ShapeKey(usize, Box<[Arc<str>]>);

impl Shape {
    /// The shape that comes of rules; none if they say nothing.
    pub fn of(metrics: Metrics) -> Option<Self> {
        let shapes = metrics.0.values();
        let mut expressions: Vec<Arc<str>> = shapes
            .flat_map(|shape| shape.tags.values().flatten().cloned())
            .collect();
        expressions.sort_unstable();
        expressions.dedup();
        let values = expressions.iter().map(|_| RwLock::default()).collect();
        (!metrics.0.is_empty()).then_some(Self {
            metrics,
            expressions,
            values,
            sets: RwLock::default(),
            most_sets: MOST_SETS,
        })
    }

    /// What it is made of.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The expressions that its labels have, each once.
    pub fn expressions(&self) -> &[Arc<str>] {
        &self.expressions
    }

    /// A value of the expression of this number as it is told.
    pub fn known(&self, number: usize, value: Option<String>) -> Arc<str> {
        let value = value.filter(|value| !value.is_empty());
        let (Some(value), Some(seen)) = (value, self.values.get(number)) else {
            return UNKNOWN.into();
        };
        if let Some(known) = seen.read().get(value.as_str()) {
            return Arc::clone(known);
        }
        let mut seen = seen.write();
        if seen.len() >= MOST_VALUES {
            return OTHER.into();
        }
        let value: Arc<str> = value.into();
        seen.insert(Arc::clone(&value));
        value
    }

    /// The same with another number of label sets.
    #[cfg(test)]
    pub(crate) fn with_sets(mut self, most: usize) -> Self {
        self.most_sets = most;
        self
    }

    /// Forgets label sets that are not told any more.
    pub(crate) fn retain(&self, keep: impl Fn(&Labels) -> bool) {
        for sets in self.sets.write().values_mut() {
            sets.retain(&keep);
        }
    }

    /// Whether there is room for these labels, or they are known.
    fn admits(&self, metric: Metric, labels: &Labels) -> bool {
        let is_known = |sets: &HashSet<Labels>| sets.contains(labels);
        if self.sets.read().get(&metric).is_some_and(is_known) {
            return true;
        }
        let mut sets = self.sets.write();
        let sets = sets.entry(metric).or_default();
        let admits = sets.len() < self.most_sets || sets.contains(labels);
        if admits {
            sets.insert(labels.clone());
        }
        admits
    }

    fn place(&self, expression: &Arc<str>) -> Option<usize> {
        self.expressions.binary_search(expression).ok()
    }
}

impl Shaped<'_> {
    pub(crate) fn key(&self) -> ShapeKey {
        ShapeKey(Arc::as_ptr(self.shape).addr(), self.values.into())
    }

    /// The labels of a family, which has these otherwise; none if it is not there.
    fn made(&self, metric: Metric, usual: &Pairs) -> Option<Made> {
        let labels: Labels = usual.iter().cloned().collect();
        let Some(shape) = self.shape.metrics.0.get(&metric) else {
            return Some(Made::usual(labels));
        };
        if shape.disabled {
            return None;
        }
        let value = |expression: &Arc<str>| {
            let place = self.shape.place(expression)?;
            self.values.get(place).cloned()
        };
        let own = changed(&labels, shape, value);
        let other = changed(&labels, shape, |_| Some(OTHER.into()));
        let is_folded = own != other && !self.shape.admits(metric, &own);
        Some(Made {
            labels: if is_folded { other.clone() } else { own },
            other,
            nameless: changed(&labels.nameless(), shape, |_| None),
            is_folded,
        })
    }
}

/// The labels of a family; none if it is not there.
pub(crate) fn made(shaped: Option<Shaped<'_>>, metric: Metric, usual: &Pairs) -> Option<Made> {
    match shaped {
        Some(shaped) => shaped.made(metric, usual),
        None => {
            let labels: Labels = usual.iter().cloned().collect();
            Some(Made::usual(labels))
        }
    }
}

/// Of shapes each once.
pub(crate) fn each<'s>(shapes: impl Iterator<Item = &'s Arc<Shape>>) -> Vec<&'s Arc<Shape>> {
    let by_address = shapes.map(|shape| (Arc::as_ptr(shape).addr(), shape));
    let each: BTreeMap<usize, &Arc<Shape>> = by_address.collect();
    each.into_values().collect()
}

/// These labels as a shape has them, with what its expressions come to.
fn changed(
    usual: &Labels,
    shape: &MetricShape,
    value: impl Fn(&Arc<str>) -> Option<Arc<str>>,
) -> Labels {
    let told = |expression| value(expression).unwrap_or_else(|| UNKNOWN.into());
    let pairs = usual.pairs().iter();
    let mut labels: Pairs = pairs
        .filter_map(|(name, usual)| match shape.tags.get(name.as_str()) {
            None => Some((name.clone(), Arc::clone(usual))),
            Some(None) => None,
            Some(Some(expression)) => Some((name.clone(), told(expression))),
        })
        .collect();
    for (name, expression) in &shape.tags {
        let is_new = usual.get(name).is_none();
        let expression = expression.as_ref().filter(|_| is_new);
        labels.extend(expression.map(|expression| (name.to_string(), told(expression))));
    }
    labels.into_iter().collect()
}

#[cfg(test)]
mod tests;
