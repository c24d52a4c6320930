//! The families of counters that the proxy role keeps, and the table that they are in. Where a new
//! generation goes on, it adds what its ancestor still counts (`proxy/generations.rs`).

use ambit_telemetry::TcpFamily;
use serde::{Deserialize, Serialize};

/// Every counter of one proxy generation, with what it inherited.
pub(crate) type Ledger = ambit_telemetry::Ledger<Family>;

/// What one of them grew by.
pub(crate) type Delta = ambit_telemetry::Delta<Family>;

/// The families of counters that the proxy role exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Family {
    /// Connections opened, Istio's labels.
    Opened,
    /// Connections closed, Istio's labels.
    Closed,
    /// Connections that were refused or could not be made, Istio's labels.
    Failed,
    /// Bytes sent, Istio's labels and direction convention.
    Sent,
    /// Bytes received, Istio's labels and direction convention.
    Received,
    /// Refusals by reason.
    Refusals,
    /// TLS handshakes by side and result.
    Handshakes,
    /// Connections that a policy in dry-run mode would have refused.
    DryRun,
    /// Times that accepting had to pause for want of file descriptors.
    AcceptPauses,
    /// Resources from the control plane that could not be understood.
    ConfigRejects,
    /// Access log lines dropped because the reader of the log was too slow.
    LogDrops,
    /// Misbehaviour on tunnels: floods, resets, broken frames.
    TunnelErrors,
    /// Questions of pods about names, by what became of them.
    Questions,
    /// Questions that were passed on, once for each resolver that was asked.
    ResolverRequests,
    /// Those that brought no answer.
    ResolverFailures,
    /// Connections for which a name had to be resolved.
    OnDemand,
}

impl ambit_telemetry::Family for Family {
    const ALL: &[Self] = &[
        Self::Opened,
        Self::Closed,
        Self::Failed,
        Self::Sent,
        Self::Received,
        Self::Refusals,
        Self::Handshakes,
        Self::DryRun,
        Self::AcceptPauses,
        Self::ConfigRejects,
        Self::LogDrops,
        Self::TunnelErrors,
        Self::Questions,
        Self::ResolverRequests,
        Self::ResolverFailures,
        Self::OnDemand,
    ];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Opened => ("istio_tcp_connections_opened", "TCP connections opened"),
            Self::Closed => ("istio_tcp_connections_closed", "TCP connections closed"),
            Self::Failed => (
                "istio_tcp_connections_failed",
                "TCP connections that were refused or could not be made, response_flags says why",
            ),
            Self::Sent => (
                "istio_tcp_sent_bytes",
                "Bytes sent as responses over TCP connections",
            ),
            Self::Received => (
                "istio_tcp_received_bytes",
                "Bytes received as requests over TCP connections",
            ),
            Self::Refusals => ("ambit_refusals", "Connections refused, by reason"),
            Self::Handshakes => ("ambit_tls_handshakes", "TLS handshakes, by side and result"),
            Self::DryRun => (
                "ambit_policy_dry_run",
                "Connections a dry-run policy would have decided",
            ),
            Self::AcceptPauses => (
                "ambit_accept_pauses",
                "Pauses in accepting for want of file descriptors",
            ),
            Self::ConfigRejects => (
                "ambit_config_rejects",
                "Resources refused because they could not be understood",
            ),
            Self::LogDrops => ("ambit_access_log_dropped", "Access log lines dropped"),
            Self::TunnelErrors => (
                "ambit_tunnel_errors",
                "Tunnels ended by misbehaviour, by kind",
            ),
            Self::Questions => (
                "istio_dns_requests",
                "Questions of pods about names, by result",
            ),
            Self::ResolverRequests => (
                "istio_dns_upstream_requests",
                "Questions passed on, one for each resolver asked",
            ),
            Self::ResolverFailures => (
                "istio_dns_upstream_failures",
                "Questions passed on that a resolver did not answer, by reason",
            ),
            Self::OnDemand => (
                "istio_on_demand_dns",
                "Connections to endpoints known by name, which was resolved",
            ),
        }
    }
}

impl TcpFamily for Family {
    const OPENED: Self = Self::Opened;
    const CLOSED: Self = Self::Closed;
    const SENT: Self = Self::Sent;
    const RECEIVED: Self = Self::Received;
}

#[cfg(test)]
mod tests;
