//! Metrics: one registry per process, rendered for whoever asks.
//!
//! The registry speaks OpenMetrics. Scrapers that ask for nothing in particular get the older
//! Prometheus text format, in which the *family* of a counter carries the `_total` that
//! OpenMetrics keeps for its samples; both end up with the same names of series.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Metric;

pub use prometheus_client;

/// Content type of the Prometheus text format.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Content type of OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of this process; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    inner: Arc<RwLock<prometheus_client::registry::Registry>>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a metric and hands back a handle on it. Counters may be named with or without
    /// `_total`: their series always end in it.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let name = match metric.metric_type() {
            MetricType::Counter => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        // The encoder ends the help with a full stop of its own.
        let help = help.trim_end_matches('.');
        self.inner.write().register(name, help, metric.clone());
        metric
    }

    /// Adds something that makes its metrics when asked.
    pub fn register_collector(&self, collector: Box<dyn Collector>) {
        self.inner.write().register_collector(collector);
    }

    /// Content type and text for a scraper with this `Accept` header.
    pub fn render(&self, accept: Option<&str>) -> (&'static str, String) {
        let open = self.open_metrics();
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            (OPEN_METRICS, open)
        } else {
            (PROMETHEUS_TEXT, prometheus_text(&open))
        }
    }

    fn open_metrics(&self) -> String {
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.inner.read())
        {
            tracing::error!(%error, "metrics could not be encoded");
        }
        text
    }
}

/// OpenMetrics text as the Prometheus text format: the family of a counter is named like its
/// samples, and what that format does not know (units, end mark, info) is left out or a gauge.
pub fn prometheus_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 256);
    let mut help = None;
    for line in open_metrics.lines() {
        if line.starts_with("# HELP ") {
            help = line.strip_prefix("# HELP ");
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            head_of_family(&mut text, family, help.take());
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn head_of_family(text: &mut String, family: &str, help: Option<&str>) {
    let (name, kind) = family.split_once(' ').unwrap_or((family, "untyped"));
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        other => ("", other),
    };
    if let Some((_name, help)) = help.and_then(|help| help.split_once(' ')) {
        text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
    }
    text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
}

#[cfg(test)]
mod tests;
