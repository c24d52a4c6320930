//! How long resolvers take to answer, as a histogram.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds in seconds: from a resolver on the node to one that is as good as dead.
const BOUNDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];

/// Counted durations; clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Durations(Arc<Histogram>);

impl Default for Durations {
    fn default() -> Self {
        Self(Arc::new(Histogram::new(BOUNDS)))
    }
}

impl Durations {
    /// Counts one.
    pub(crate) fn observe(&self, taken: Duration) {
        self.0.observe(taken.as_secs_f64());
    }
}

impl Collector for Durations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metric = encoder.encode_descriptor(
            "istio_dns_upstream_request_duration_seconds",
            "How long resolvers took to answer forwarded questions",
            None,
            MetricType::Histogram,
        )?;
        self.0.encode(metric)
    }
}
