//! Series that are other than usual, as users ask: without some labels, with others, or not there at all.
//!
//! A [`Shape`] says so of some traffic. Values of labels are expressions, which somebody else can read:
//! what they come to for a request is handed in with it ([`Shaped`]). Whoever asks for a label may ask
//! for what clients make up, so that each expression has a bounded number of values ([`Shape::known`]),
//! and a full table leaves them out.

use std::collections::HashSet;
use std::sync::Arc;

use ambit_model::{Metric, MetricShape, Metrics};
use parking_lot::RwLock;

use crate::ends::Pairs;
use crate::labels::{Labels, UNKNOWN};

/// Values that one expression may have.
const MOST_VALUES: usize = 500;
/// What stands for those beyond.
const OTHER: &str = "other";

/// How the series of some traffic differ from the usual.
#[derive(Debug, Default)]
pub struct Shape {
    metrics: Metrics,
    expressions: Vec<Arc<str>>,
    values: Vec<RwLock<HashSet<Arc<str>>>>,
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
    pub(crate) nameless: Labels,
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
        let nameless = labels.nameless();
        let Some(shape) = self.shape.metrics.0.get(&metric) else {
            return Some(Made { labels, nameless });
        };
        if shape.disabled {
            return None;
        }
        let value = |expression: &Arc<str>| {
            let place = self.shape.place(expression)?;
            self.values.get(place).cloned()
        };
        Some(Made {
            labels: changed(&labels, shape, value),
            nameless: changed(&nameless, shape, |_| None),
        })
    }
}

/// The labels of a family; none if it is not there.
pub(crate) fn made(shaped: Option<Shaped<'_>>, metric: Metric, usual: &Pairs) -> Option<Made> {
    match shaped {
        Some(shaped) => shaped.made(metric, usual),
        None => {
            let labels: Labels = usual.iter().cloned().collect();
            let nameless = labels.nameless();
            Some(Made { labels, nameless })
        }
    }
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
