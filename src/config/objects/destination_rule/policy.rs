//! A traffic policy: connections, ejections, TLS, and what differs by port.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::balancing::LoadBalancer;
use crate::config::objects::route_values::RoutePort;
use crate::config::objects::virtual_service::values::Span;
use crate::config::problem::Finding;

/// Most ports that have a policy of their own: Istio's.
const MAX_PORTS: usize = 4096;
/// Shortest duration that Istio takes.
const SHORTEST: Duration = Duration::from_millis(1);

/// A traffic policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct TrafficPolicy {
    pub load_balancer: Option<LoadBalancer>,
    pub connection_pool: Option<ConnectionPool>,
    pub outlier_detection: Option<OutlierDetection>,
    pub tls: Option<Tls>,
    pub port_level_settings: Vec<PortPolicy>,
    pub tunnel: Option<Tunnel>,
    pub proxy_protocol: Option<ProxyProtocol>,
    pub retry_budget: Option<RetryBudget>,
}

/// What holds on one port in the place of what holds on the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct PortPolicy {
    pub port: Option<PortNumber>,
    pub load_balancer: Option<LoadBalancer>,
    pub connection_pool: Option<ConnectionPool>,
    pub outlier_detection: Option<OutlierDetection>,
    pub tls: Option<Tls>,
}

/// A port by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortNumber {
    /// The number.
    pub number: RoutePort,
}

/// How much there may be at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct ConnectionPool {
    pub tcp: Option<TcpPool>,
    pub http: Option<HttpPool>,
}

/// Bounds of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct TcpPool {
    pub max_connections: Option<u32>,
    pub connect_timeout: Option<Span>,
    pub tcp_keepalive: Option<Keepalive>,
    pub max_connection_duration: Option<Span>,
    pub idle_timeout: Option<Span>,
}

/// Probes on connections that are silent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Keepalive {
    pub probes: Option<u32>,
    pub time: Option<Span>,
    pub interval: Option<Span>,
}

/// Bounds of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct HttpPool {
    pub http1_max_pending_requests: Option<u32>,
    pub http2_max_requests: Option<u32>,
    pub max_requests_per_connection: Option<u32>,
    pub max_retries: Option<u32>,
    pub idle_timeout: Option<Span>,
    pub h2_upgrade_policy: Option<UpgradePolicy>,
    pub use_client_protocol: bool,
    pub max_concurrent_streams: Option<u32>,
}

/// Whether endpoints are spoken to by HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are Istio's, documented there")]
pub enum UpgradePolicy {
    Default,
    DoNotUpgrade,
    Upgrade,
}

/// When endpoints are ejected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct OutlierDetection {
    #[serde(rename = "splitExternalLocalOriginErrors")]
    pub split_local_origin: bool,
    #[serde(rename = "consecutiveLocalOriginFailures")]
    pub consecutive_local_origin: Option<u32>,
    #[serde(rename = "consecutiveErrors")]
    pub consecutive: Option<u32>,
    #[serde(rename = "consecutiveGatewayErrors")]
    pub consecutive_gateway: Option<u32>,
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx: Option<u32>,
    pub interval: Option<Span>,
    #[serde(rename = "baseEjectionTime")]
    pub base_ejection_time: Option<Span>,
    #[serde(rename = "maxEjectionPercent")]
    pub max_ejection_percent: u32,
    #[serde(rename = "minHealthPercent")]
    pub min_health_percent: u32,
}

/// TLS towards the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Tls {
    pub mode: Option<TlsMode>,
    pub client_certificate: Option<Arc<str>>,
    pub private_key: Option<Arc<str>>,
    pub ca_certificates: Option<Arc<str>>,
    pub credential_name: Option<Arc<str>>,
    pub subject_alt_names: Vec<Arc<str>>,
    pub sni: Option<Arc<str>>,
    pub insecure_skip_verify: Option<bool>,
    pub ca_crl: Option<Arc<str>>,
}

/// Whose TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are Istio's, documented there")]
pub enum TlsMode {
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

/// A tunnel to outside hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Tunnel {
    pub protocol: Option<Arc<str>>,
    pub target_host: Option<Arc<str>>,
    pub target_port: Option<u32>,
}

/// The PROXY protocol towards endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct ProxyProtocol {
    pub version: Option<ProxyVersion>,
}

/// Its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words are Istio's, documented there")]
pub enum ProxyVersion {
    V1,
    V2,
}

/// Retries as a share of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct RetryBudget {
    pub percent: Option<serde_json::Number>,
    pub min_retry_concurrency: Option<u32>,
}

impl TrafficPolicy {
    /// Labels that its failover asks for.
    pub fn failover_labels(&self) -> impl Iterator<Item = &Arc<str>> {
        let own = self.load_balancer.as_ref();
        let of_ports = self.port_level_settings.iter();
        let all = own
            .into_iter()
            .chain(of_ports.filter_map(|port| port.load_balancer.as_ref()));
        all.flat_map(LoadBalancer::failover_labels)
    }

    pub(super) fn check(&self, field: &str) -> Result<(), Finding> {
        if *self == Self::default() {
            let advice = "say something, or leave it out";
            return Err(Finding::new(field, "empty", advice));
        }
        Part {
            balancer: self.load_balancer.as_ref(),
            pool: self.connection_pool.as_ref(),
            outliers: self.outlier_detection.as_ref(),
            tls: self.tls.as_ref(),
        }
        .check(field)?;
        let ports = &self.port_level_settings;
        if ports.len() > MAX_PORTS {
            let field = format!("{field}.portLevelSettings");
            return Err(Finding::new(field, "too many ports", "leave some out"));
        }
        for (index, port) in ports.iter().enumerate() {
            let field = format!("{field}.portLevelSettings[{index}]");
            if port.port.is_none() {
                let advice = "write `port: {number: ...}`";
                return Err(Finding::new(format!("{field}.port"), "missing", advice));
            }
            Part {
                balancer: port.load_balancer.as_ref(),
                pool: port.connection_pool.as_ref(),
                outliers: port.outlier_detection.as_ref(),
                tls: port.tls.as_ref(),
            }
            .check(&field)?;
        }
        Ok(())
    }
}

/// What a policy and that of a port have in common.
struct Part<'a> {
    balancer: Option<&'a LoadBalancer>,
    pool: Option<&'a ConnectionPool>,
    outliers: Option<&'a OutlierDetection>,
    tls: Option<&'a Tls>,
}

impl Part<'_> {
    fn check(&self, field: &str) -> Result<(), Finding> {
        if let Some(balancer) = self.balancer {
            balancer.check(&format!("{field}.loadBalancer"))?;
        }
        if let Some(pool) = self.pool {
            pool.check(&format!("{field}.connectionPool"))?;
        }
        if let Some(outliers) = self.outliers {
            outliers.check(&format!("{field}.outlierDetection"))?;
        }
        if let Some(tls) = self.tls {
            tls.check(&format!("{field}.tls"))?;
        }
        Ok(())
    }
}

impl ConnectionPool {
    fn check(&self, field: &str) -> Result<(), Finding> {
        let (tcp, http) = (self.tcp.as_ref(), self.http.as_ref());
        if tcp.is_none() && http.is_none() {
            return Err(Finding::new(
                field,
                "neither tcp nor http",
                "write one of them",
            ));
        }
        let numbers = [
            (
                "tcp.maxConnections",
                tcp.and_then(|tcp| tcp.max_connections),
            ),
            (
                "http.http1MaxPendingRequests",
                http.and_then(|http| http.http1_max_pending_requests),
            ),
            (
                "http.http2MaxRequests",
                http.and_then(|http| http.http2_max_requests),
            ),
            (
                "http.maxRequestsPerConnection",
                http.and_then(|http| http.max_requests_per_connection),
            ),
            ("http.maxRetries", http.and_then(|http| http.max_retries)),
            (
                "http.maxConcurrentStreams",
                http.and_then(|http| http.max_concurrent_streams),
            ),
        ];
        for (name, number) in numbers {
            check_number(&format!("{field}.{name}"), number)?;
        }
        let spans = [
            (
                "tcp.connectTimeout",
                tcp.and_then(|tcp| tcp.connect_timeout),
            ),
            (
                "tcp.maxConnectionDuration",
                tcp.and_then(|tcp| tcp.max_connection_duration),
            ),
            (
                "tcp.idleTimeout",
                tcp.and_then(|tcp| tcp.idle_timeout)
                    .filter(|span| span.limit().is_some()),
            ),
            (
                "http.idleTimeout",
                http.and_then(|http| http.idle_timeout)
                    .filter(|span| span.limit().is_some()),
            ),
        ];
        for (name, span) in spans {
            check_span(&format!("{field}.{name}"), span)?;
        }
        let upgrades = http.is_some_and(|http| {
            http.use_client_protocol && http.h2_upgrade_policy == Some(UpgradePolicy::Upgrade)
        });
        if upgrades {
            let field = format!("{field}.http.useClientProtocol");
            let what = "the client's protocol beside h2UpgradePolicy UPGRADE";
            return Err(Finding::new(field, what, "keep one of them"));
        }
        Ok(())
    }
}

impl OutlierDetection {
    fn check(&self, field: &str) -> Result<(), Finding> {
        check_span(&format!("{field}.interval"), self.interval)?;
        check_span(
            &format!("{field}.baseEjectionTime"),
            self.base_ejection_time,
        )?;
        for (name, percent) in [
            ("maxEjectionPercent", self.max_ejection_percent),
            ("minHealthPercent", self.min_health_percent),
        ] {
            if percent > 100 {
                let what = format!("{percent} is not from 0 to 100");
                return Err(Finding::new(
                    format!("{field}.{name}"),
                    what,
                    "write a percentage",
                ));
            }
        }
        Ok(())
    }
}

impl Tls {
    fn check(&self, field: &str) -> Result<(), Finding> {
        let has_credential = self.credential_name.is_some();
        for (name, given) in [
            ("clientCertificate", &self.client_certificate),
            ("privateKey", &self.private_key),
        ] {
            let is_mutual = self.mode == Some(TlsMode::Mutual) && !has_credential;
            if is_mutual && given.as_deref().is_none_or(str::is_empty) {
                let what = "missing, which mode MUTUAL needs";
                let advice = "write it, or a credentialName";
                return Err(Finding::new(format!("{field}.{name}"), what, advice));
            }
            if has_credential && given.is_some() {
                let what = "given beside credentialName";
                return Err(Finding::new(
                    format!("{field}.{name}"),
                    what,
                    "keep one of them",
                ));
            }
        }
        Ok(())
    }
}

/// Istio's numbers are those of `int32`.
fn check_number(field: &str, number: Option<u32>) -> Result<(), Finding> {
    let is_number = |number| i32::try_from(number).is_ok();
    match number.filter(|number| !is_number(*number)) {
        None => Ok(()),
        Some(number) => {
            let what = format!("{number} is more than {}", i32::MAX);
            Err(Finding::new(
                field,
                what,
                "write a smaller number, or leave it out",
            ))
        }
    }
}

pub(super) fn check_span(field: &str, span: Option<Span>) -> Result<(), Finding> {
    match span.filter(|span| span.length() < SHORTEST) {
        None => Ok(()),
        Some(span) => {
            let what = format!("{span} is shorter than 1ms");
            Err(Finding::new(
                field,
                what,
                "write 1ms or more, or leave it out",
            ))
        }
    }
}
