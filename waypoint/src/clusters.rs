//! What is true of clusters, by the names that Envoy gives the series, so that dashboards and alerts
//! that were written for it go on. Every cluster that requests go to from here has them, calm or not.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ambit_model::ServiceName;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::proxy::Proxy;
use crate::view::Cluster;

/// Collects the series.
#[derive(Debug)]
pub(crate) struct Clusters(pub(crate) Arc<Proxy>);

/// A series: name, what it is, whether it only grows, its value.
type Series = (&'static str, &'static str, bool, fn(&Cluster) -> u64);

const SERIES: [Series; 12] = [
    (
        "envoy_cluster_outlier_detection_ejections_active",
        "Endpoints that are ejected for failing",
        false,
        |cluster| cluster.endpoints.ejections().active as u64,
    ),
    (
        "envoy_cluster_outlier_detection_ejections_enforced_total",
        "Ejections that there have been",
        true,
        |cluster| cluster.endpoints.ejections().enforced,
    ),
    (
        "envoy_cluster_outlier_detection_ejections_overflow",
        "Ejections that would have been one too many",
        true,
        |cluster| cluster.endpoints.ejections().overflow,
    ),
    (
        "envoy_cluster_upstream_cx_active",
        "Connections to endpoints",
        false,
        |cluster| cluster.terms.flow.pool.counts().connections,
    ),
    (
        "envoy_cluster_upstream_cx_overflow",
        "Connections that were one too many",
        true,
        |cluster| cluster.terms.flow.pool.counts().connection_overflow,
    ),
    (
        "envoy_cluster_upstream_rq_active",
        "Requests in flight",
        false,
        |cluster| cluster.terms.flow.pool.counts().requests,
    ),
    (
        "envoy_cluster_upstream_rq_pending_active",
        "Requests that wait for a connection",
        false,
        |cluster| cluster.terms.flow.pool.counts().pending,
    ),
    (
        "envoy_cluster_upstream_rq_pending_overflow",
        "Requests that were one too many, to wait or to be in flight",
        true,
        |cluster| cluster.terms.flow.pool.counts().request_overflow,
    ),
    (
        "envoy_cluster_upstream_rq_retry",
        "Tries after the first",
        true,
        |cluster| cluster.terms.flow.retries.load(Ordering::Relaxed),
    ),
    (
        "envoy_cluster_upstream_rq_retry_overflow",
        "Tries after the first that were one too many",
        true,
        |cluster| cluster.terms.flow.pool.counts().retry_overflow,
    ),
    (
        "envoy_cluster_membership_total",
        "Endpoints that are known",
        false,
        |cluster| cluster.endpoints.known() as u64,
    ),
    (
        "envoy_cluster_membership_healthy",
        "Endpoints that may be picked",
        false,
        |cluster| cluster.endpoints.ready() as u64,
    ),
];

impl Collector for Clusters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = self.0.view();
        let clusters = view.clusters().filter(|(name, _)| name.0 != view.own);
        let clusters: Vec<_> = clusters
            .map(|(name, one)| (envoy_name(&name.0, name.1, name.2.as_deref()), one))
            .collect();
        for (name, help, grows, value) in SERIES {
            // What only grows and is not called `_total` is no counter in OpenMetrics.
            let stem = name.strip_suffix("_total").filter(|_| grows);
            let kind = match (stem, grows) {
                (Some(_), _) => MetricType::Counter,
                (None, true) => MetricType::Unknown,
                (None, false) => MetricType::Gauge,
            };
            let mut family = encoder.encode_descriptor(stem.unwrap_or(name), help, None, kind)?;
            for (cluster, one) in &clusters {
                let of = [("cluster_name", cluster.as_str())];
                let metric = family.encode_family(&of)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(value(one)).encode(metric)?,
                    _ => ConstGauge::new(i64::try_from(value(one)).unwrap_or(i64::MAX))
                        .encode(metric)?,
                }
            }
        }
        Ok(())
    }
}

/// The name that Istio's Envoys give a cluster.
pub(crate) fn envoy_name(service: &ServiceName, port: u16, subset: Option<&str>) -> String {
    let (subset, host) = (subset.unwrap_or_default(), &service.hostname);
    let mut number = itoa::Buffer::new();
    // Of every request that has a line: without `fmt`.
    ["outbound", number.format(port), subset, host].join("|")
}

#[cfg(test)]
mod tests;
