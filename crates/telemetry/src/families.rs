//! The families of counters that a waypoint keeps, beside those of requests.

use crate::ledger::Family;
use crate::series::TcpFamily;

/// The families of counters that a waypoint keeps in its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Families {
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
    /// gRPC messages of requests, Istio's labels.
    RequestMessages,
    /// gRPC messages of responses, Istio's labels.
    ResponseMessages,
    /// Refusals of connections and requests, by reason.
    Refusals,
    /// What policies would have done that are only tried, by policy and verdict.
    DryRun,
    /// What AUDIT policies match, by policy.
    Audited,
    /// TLS handshakes by side and result.
    Handshakes,
    /// Misbehaviour on tunnels: floods, resets, broken frames.
    TunnelErrors,
    /// Times that accepting had to pause for want of descriptors.
    AcceptPauses,
    /// Resources from the control plane that could not be used.
    ConfigRejects,
    /// Access log lines dropped because the reader of the log was too slow.
    LogDrops,
}

impl Family for Families {
    const ALL: &'static [Self] = &[
        Self::Opened,
        Self::Closed,
        Self::Failed,
        Self::Sent,
        Self::Received,
        Self::RequestMessages,
        Self::ResponseMessages,
        Self::Refusals,
        Self::DryRun,
        Self::Audited,
        Self::Handshakes,
        Self::TunnelErrors,
        Self::AcceptPauses,
        Self::ConfigRejects,
        Self::LogDrops,
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
            Self::RequestMessages => ("istio_request_messages", "gRPC messages from clients"),
            Self::ResponseMessages => ("istio_response_messages", "gRPC messages from servers"),
            Self::Refusals => (
                "ambit_refusals",
                "Connections and requests refused, by reason",
            ),
            Self::DryRun => (
                "ambit_policy_dry_run",
                "Connections and requests a dry-run policy would have decided",
            ),
            Self::Audited => (
                "ambit_policy_audited",
                "Connections and requests an AUDIT policy matches",
            ),
            Self::Handshakes => ("ambit_tls_handshakes", "TLS handshakes, by side and result"),
            Self::TunnelErrors => (
                "ambit_tunnel_errors",
                "Tunnels ended by misbehaviour, by kind",
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
        }
    }
}

impl TcpFamily for Families {
    const OPENED: Self = Self::Opened;
    const CLOSED: Self = Self::Closed;
    const SENT: Self = Self::Sent;
    const RECEIVED: Self = Self::Received;
}
