//! What is true now, asked when somebody scrapes: what is open, what is known and how old it is, the
//! certificate. Names are those of the node agent where both have the same.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::pressure::Level;
use crate::proxy::Proxy;

/// Task of one tunnel of a client.
pub(crate) const SESSION: &str = "session";
/// Task of one stream in it.
pub(crate) const STREAM: &str = "stream";
/// Task of one connection to an endpoint.
pub(crate) const UPSTREAM: &str = "upstream connection";

/// Since when the control plane is away; a stream is up if that is `None`.
#[derive(Debug)]
pub(crate) struct Away(Mutex<Option<Instant>>);

impl Default for Away {
    fn default() -> Self {
        Self(Mutex::new(Some(clock::now())))
    }
}

impl Away {
    /// A stream to the control plane is up, or no longer.
    pub(crate) fn set(&self, is_away: bool) {
        *self.0.lock() = is_away.then(clock::now);
    }
}

/// Collects the gauges.
#[derive(Debug)]
pub(crate) struct Gauges {
    /// What the connections share.
    pub(crate) proxy: Arc<Proxy>,
    /// What runs beside them.
    pub(crate) tasks: Tasks,
}

type Gauge = (&'static str, &'static str, usize);

impl Gauges {
    fn open(&self) -> [Gauge; 5] {
        let (connections, rest) = (self.proxy.tasks.running(), self.tasks.running());
        let running =
            |tasks: &BTreeMap<_, usize>, name| tasks.get(name).copied().unwrap_or_default();
        let tunnels = self.proxy.linker.stats();
        [
            (
                "ambit_sessions_open",
                "Tunnels of clients",
                running(&connections, SESSION),
            ),
            (
                "ambit_connections_open",
                "Open connections of clients, each a stream of a tunnel",
                running(&connections, STREAM),
            ),
            (
                "ambit_pool_connections",
                "HTTP connections to endpoints",
                running(&rest, UPSTREAM),
            ),
            (
                "ambit_pool_tunnels",
                "Tunnels in the pool",
                tunnels.connections,
            ),
            (
                "ambit_pool_streams",
                "Streams open in pooled tunnels",
                tunnels.streams,
            ),
        ]
    }

    fn memory(&self) -> [Gauge; 3] {
        let pressure = &self.proxy.pressure;
        let bytes = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        [
            (
                "ambit_memory_bytes",
                "Resident memory, as it is held under its limit",
                bytes(pressure.used()),
            ),
            (
                "ambit_memory_limit_bytes",
                "Memory that the process may have",
                bytes(pressure.limit()),
            ),
            (
                "ambit_overloaded",
                "1 while memory is short and what begins is refused",
                usize::from(pressure.has_reached(Level::High)),
            ),
        ]
    }

    fn known(&self) -> [Gauge; 5] {
        let view = self.proxy.view();
        let mesh = &view.mesh;
        let away = *self.proxy.away.0.lock();
        let stale = away.map_or(0, |since| clock::now().duration_since(since).as_secs());
        [
            (
                "ambit_workloads",
                "Workloads in the model",
                mesh.workload_count(),
            ),
            (
                "ambit_services",
                "Services in the model",
                mesh.service_count(),
            ),
            (
                "ambit_policies",
                "Policies in the model",
                mesh.policy_count(),
            ),
            (
                "ambit_control_plane_connected",
                "1 while a stream to the control plane is up",
                usize::from(away.is_none()),
            ),
            (
                "ambit_config_staleness_seconds",
                "Time since the control plane was last heard while it is away",
                usize::try_from(stale).unwrap_or(usize::MAX),
            ),
        ]
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = self.open().into_iter().chain(self.memory());
        for (name, help, value) in gauges.chain(self.known()) {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
        }
        let mut expiry = encoder.encode_descriptor(
            "ambit_certificate_expiry_timestamp_seconds",
            "When a workload's certificate expires, as Unix time",
            None,
            MetricType::Gauge,
        )?;
        if let Some((credential, _)) = self.proxy.identity.papers() {
            let at = clock::unix_seconds(credential.not_after());
            let of = [("identity", credential.id().as_str())];
            ConstGauge::new(i64::try_from(at).unwrap_or(i64::MAX))
                .encode(expiry.encode_family(&of)?)?;
        }
        let help = "Spans of traces, by what became of them";
        let mut spans =
            encoder.encode_descriptor("ambit_spans", help, None, MetricType::Counter)?;
        for (result, count) in self.proxy.traces.counts() {
            ConstCounter::new(count).encode(spans.encode_family(&[("result", result)])?)?;
        }
        let help = "Look-ups of names of hosts outside of the mesh, by what came of them";
        let mut lookups =
            encoder.encode_descriptor("ambit_outside_lookups", help, None, MetricType::Counter)?;
        for (outcome, count) in self.proxy.lookups.all() {
            let of = [("outcome", outcome)];
            ConstCounter::new(count).encode(lookups.encode_family(&of)?)?;
        }
        let build = [
            ("component", "ambit-waypoint"),
            ("tag", env!("CARGO_PKG_VERSION")),
        ];
        let mut metric =
            encoder.encode_descriptor("istio_build", "Version", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(metric.encode_family(&build)?)
    }
}
