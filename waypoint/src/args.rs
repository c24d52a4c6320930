//! The command line, each flag also as an `AMBIT_*` variable.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ambit_model::ServiceName;
use ambit_route::Normalization;
use ambit_telemetry::Reporter;

use crate::plain::Listen;
use crate::pressure;

/// The waypoint: the L7 proxy of a namespace or service.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "ambit-waypoint", version)]
pub struct Args {
    /// The control plane, HOST:PORT.
    #[arg(long, env = "AMBIT_CONTROL_PLANE")]
    pub control_plane: String,
    /// File with the token of this pod.
    #[arg(long, env = "AMBIT_TOKEN_FILE")]
    pub token_file: PathBuf,
    /// File with the roots (PEM) that the control plane is verified against.
    #[arg(long, env = "AMBIT_ROOT_CERT")]
    pub root_cert: PathBuf,
    /// Name in the control plane's certificate.
    #[arg(long, env = "AMBIT_SERVER_NAME", default_value = "ambit-control-plane")]
    pub server_name: String,
    /// Namespace of the Gateway.
    #[arg(long, env = "AMBIT_NAMESPACE")]
    pub namespace: String,
    /// Name of the Gateway.
    #[arg(long, env = "AMBIT_GATEWAY")]
    pub gateway: String,
    /// Service account of this pod, whose identity the waypoint has; the Gateway's name if not given.
    #[arg(long, env = "AMBIT_SERVICE_ACCOUNT")]
    pub service_account: Option<String>,
    /// Name of the node.
    #[arg(long, env = "AMBIT_NODE", default_value = "")]
    pub node: String,
    /// Name of this pod.
    #[arg(long, env = "AMBIT_POD_NAME", default_value = "")]
    pub pod_name: String,
    /// Kubernetes' uid of this pod.
    #[arg(long, env = "AMBIT_POD_UID", default_value = "waypoint")]
    pub pod_uid: String,
    /// Address of this pod.
    #[arg(long, env = "AMBIT_POD_IP")]
    pub pod_ip: IpAddr,
    /// Where tunnels are taken.
    #[arg(long, env = "AMBIT_LISTEN", default_value = "[::]:15008")]
    pub listen: SocketAddr,
    /// Where metrics are shown.
    #[arg(long, env = "AMBIT_METRICS", default_value = "[::]:15020")]
    pub metrics: SocketAddr,
    /// Where readiness is shown.
    #[arg(long, env = "AMBIT_READY", default_value = "[::]:15021")]
    pub ready: SocketAddr,
    /// Where administration is served.
    #[arg(long, env = "AMBIT_ADMIN", default_value = "127.0.0.1:15000")]
    pub admin: SocketAddr,
    /// Name of the cluster.
    #[arg(long, env = "AMBIT_CLUSTER", default_value = "Kubernetes")]
    pub cluster: String,
    /// Domain of the cluster's services.
    #[arg(long, env = "AMBIT_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Trust domain of the mesh.
    #[arg(long, env = "AMBIT_TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// Namespace whose policies are for the whole mesh, as the control plane is told; once for each.
    #[arg(
        long = "root-namespace",
        env = "AMBIT_ROOT_NAMESPACES",
        value_delimiter = ',',
        default_values = ["ambit-system", "istio-system"]
    )]
    pub root_namespaces: Vec<String>,
    /// Threads that serve; 0 is one for each processor.
    #[arg(long, env = "AMBIT_THREADS", default_value_t = 0)]
    pub threads: usize,
    /// Seconds that open requests get to end when the program is asked to stop.
    #[arg(long, env = "AMBIT_DRAIN_TIME", default_value = "20", value_parser = seconds)]
    pub drain_time: Duration,
    /// Connections that all clients together may have open; each may have a quarter of them.
    #[arg(long, env = "AMBIT_MAX_CONNECTIONS", default_value_t = 40_000)]
    pub max_connections: usize,
    /// Memory that the process may have, in MiB; 0 is what its control group may, or the machine has.
    #[arg(long, env = "AMBIT_MEMORY_LIMIT", default_value_t = 0)]
    pub memory_limit: u64,
    /// Who reports requests, in their series: `destination`, which dashboards ask for, or
    /// `waypoint`, as Istio's waypoints say.
    #[arg(long, env = "AMBIT_REPORTER", default_value = "destination", value_parser = reporter)]
    pub reporter: Reporter,
    /// Log the queries of requests, with parameters that usually are secrets masked; others may hold some.
    #[arg(long, env = "AMBIT_LOG_QUERIES")]
    pub log_queries: bool,
    /// Repeat requests of POST and other methods that are not idempotent only if no endpoint has seen
    /// them, also where a route's `retry` says more.
    #[arg(long, env = "AMBIT_RETRY_IDEMPOTENT_ONLY")]
    pub retry_idempotent_only: bool,
    /// The form in which paths are routed, judged and sent on: NONE, BASE, MERGE_SLASHES or
    /// DECODE_AND_MERGE_SLASHES.
    #[arg(long, env = "AMBIT_PATH_NORMALIZATION", default_value = "BASE")]
    pub path_normalization: Normalization,
    /// File with authorities (PEM) that are believed about hosts outside of the mesh, beside those of the
    /// system.
    #[arg(long, env = "AMBIT_OUTSIDE_ROOTS")]
    pub outside_roots: Option<PathBuf>,
    /// Serve a service without tunnels too, at LISTEN=DESTINATION: to measure beside other
    /// proxies. Clients prove no identity there.
    #[arg(long, hide = true)]
    pub plain: Vec<Listen>,
    /// Log lines as JSON.
    #[arg(long, env = "AMBIT_LOG_JSON")]
    pub log_json: bool,
    /// Log level, such as `info` or `info,ambit_waypoint=debug`.
    #[arg(long, env = "AMBIT_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

impl Args {
    /// The service by which the mesh knows this waypoint: it has the Gateway's name.
    pub(crate) fn own_service(&self) -> ServiceName {
        let (gateway, namespace) = (&self.gateway, &self.namespace);
        let hostname = format!("{gateway}.{namespace}.svc.{}", self.cluster_domain);
        ServiceName::new(namespace.as_str(), hostname)
    }

    /// Bytes of memory that the process may have; as good as no limit if nothing tells one.
    pub(crate) fn memory(&self) -> u64 {
        match self.memory_limit {
            0 => pressure::limit().unwrap_or(u64::MAX),
            mib => mib.saturating_mul(1 << 20),
        }
    }

    /// The service account whose identity the waypoint has.
    pub(crate) fn account(&self) -> &str {
        self.service_account.as_deref().unwrap_or(&self.gateway)
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}

fn reporter(text: &str) -> Result<Reporter, String> {
    [Reporter::Destination, Reporter::Waypoint]
        .into_iter()
        .find(|reporter| reporter.word() == text)
        .ok_or_else(|| "neither `destination` nor `waypoint`".to_owned())
}

#[cfg(test)]
mod tests;
