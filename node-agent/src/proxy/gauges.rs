//! What is true now, asked when somebody scrapes: certificates, tunnels, the model and its age.

use std::fmt;
use std::sync::Arc;

use ambit_kit::clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::datapath::DataPath;
use super::feed::FeedState;
use super::pods::LocalPods;

/// Collects the gauges of one generation.
#[derive(Debug)]
pub(crate) struct Gauges {
    /// What the connections share.
    pub(crate) path: Arc<DataPath>,
    /// The pods of this node.
    pub(crate) pods: Arc<LocalPods>,
    /// What the control role reports.
    pub(crate) feed: Arc<FeedState>,
}

impl Gauges {
    fn simple(&self) -> Vec<(&'static str, &'static str, i64)> {
        let mesh = self.path.mesh();
        let pool = self.path.pool.stats();
        let status = *self.feed.status.lock();
        let now = i64::try_from(clock::unix_millis(clock::wall())).unwrap_or(i64::MAX);
        // Zero also before the first word of the control role.
        let stale_ms = if status.connected || status.since_unix_ms == 0 {
            0
        } else {
            (now - status.since_unix_ms).max(0)
        };
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        vec![
            (
                "ambit_workloads",
                "Workloads in the model",
                count(mesh.workload_count()),
            ),
            (
                "ambit_services",
                "Services in the model",
                count(mesh.service_count()),
            ),
            (
                "ambit_policies",
                "Policies in the model",
                count(mesh.policy_count()),
            ),
            (
                "ambit_pods",
                "Pods of this node attached",
                count(self.pods.all().len()),
            ),
            (
                "ambit_connections_open",
                "Open connections",
                count(self.path.connections.count(None)),
            ),
            (
                "ambit_pool_tunnels",
                "Tunnels in the pool",
                count(pool.connections),
            ),
            (
                "ambit_pool_streams",
                "Streams open in pooled tunnels",
                count(pool.streams),
            ),
            (
                "ambit_control_plane_connected",
                "1 while a stream to the control plane is up",
                i64::from(status.connected),
            ),
            (
                "ambit_config_staleness_seconds",
                "Time since the control plane was last heard while it is away",
                stale_ms / 1000,
            ),
        ]
    }

    /// Counted by the control role, from its start.
    fn counted(&self) -> [(&'static str, &'static str, u64); 3] {
        let status = *self.feed.status.lock();
        [
            (
                "ambit_certificate_failures",
                "Certificate requests that failed",
                status.certificate_failures,
            ),
            (
                "ambit_discovery_received_bytes",
                "Bytes of discovery received",
                status.received_bytes,
            ),
            (
                "ambit_discovery_received_resources",
                "Resources of discovery received",
                status.received_resources,
            ),
        ]
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in self.simple() {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        for (name, help, value) in self.counted() {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        let mut expiry = encoder.encode_descriptor(
            "ambit_certificate_expiry_timestamp_seconds",
            "When a workload's certificate expires, as Unix time",
            None,
            MetricType::Gauge,
        )?;
        for credential in self.path.identities.list() {
            let at = clock::unix_seconds(credential.not_after());
            ConstGauge::new(i64::try_from(at).unwrap_or(i64::MAX))
                .encode(expiry.encode_family(&[("identity", credential.id().as_str())])?)?;
        }
        let build = [
            ("component", "ambit-node-agent"),
            ("tag", env!("CARGO_PKG_VERSION")),
        ];
        let mut metric =
            encoder.encode_descriptor("istio_build", "Version", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(metric.encode_family(&build)?)
    }
}
