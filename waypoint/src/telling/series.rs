//! What is other than usual in the series of some requests: rules of objects, with the expressions of
//! their labels read.

use std::sync::Arc;

use ambit_logformat::{Entry, Needs, Tag};
use ambit_model::{Metrics, TelemetryRules};
use ambit_telemetry::Shape;

/// How series differ from the usual.
#[derive(Debug)]
pub(crate) struct Series {
    shape: Arc<Shape>,
    /// Its expressions, in their order.
    tags: Vec<Tag>,
}

/// Whether the expressions of these rules can be read.
pub(crate) fn check(rules: &TelemetryRules) -> Result<(), String> {
    let tags = rules.metrics.iter().flat_map(|rule| rule.tags.values());
    tags.flatten().try_for_each(|text| read(text).map(drop))
}

fn read(text: &str) -> Result<Tag, String> {
    Tag::read(text).map_err(|error| error.to_string())
}

impl Series {
    /// What comes of rules; none if they say nothing.
    pub(super) fn of(metrics: Metrics) -> Result<Option<Self>, String> {
        let Some(shape) = Shape::of(metrics) else {
            return Ok(None);
        };
        let tags = shape.expressions().iter().map(|text| read(text));
        Ok(Some(Self {
            tags: tags.collect::<Result<_, _>>()?,
            shape: Arc::new(shape),
        }))
    }

    /// Whether it came of the same.
    pub(super) fn is(&self, metrics: &Metrics) -> bool {
        self.shape.metrics() == metrics
    }

    pub(super) fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// What has to be kept until the end of a request.
    pub(super) fn needs(&self) -> impl Iterator<Item = &Needs> {
        self.tags.iter().map(Tag::needs)
    }

    /// What its expressions come to for an entry, which is made only where it is needed.
    pub(super) fn values<E: Entry>(&self, entry: impl FnOnce() -> E) -> Vec<Arc<str>> {
        if self.tags.is_empty() {
            return Vec::new();
        }
        let entry = entry();
        let tags = self.tags.iter().enumerate();
        tags.map(|(number, tag)| self.shape.known(number, tag.text(&entry)))
            .collect()
    }
}
