//! A connection that is no HTTP as a line of the access log that has a format.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use ambit_decide::Reason;
use ambit_kit::clock;
use ambit_logformat::{Entry, Flag};
use ambit_model::SpiffeId;
use ambit_telemetry::Connection;

use crate::request::Target;
use crate::request::record::line::cluster;

/// What is known of a connection when its line is written: at its end, or when it is refused.
pub(crate) struct ConnectionLine<'c> {
    connection: &'c Connection<'c>,
    hostname: &'c str,
    upstream: Option<SocketAddr>,
    cluster: Option<String>,
    server_name: Option<&'c str>,
    flags: &'static [Flag],
}

impl<'c> ConnectionLine<'c> {
    /// The line of a connection.
    pub(crate) fn new(connection: &'c Connection<'c>, hostname: &'c str) -> Self {
        Self {
            connection,
            hostname,
            upstream: None,
            cluster: None,
            server_name: None,
            flags: connection
                .refusal
                .map_or(&[], |refusal| flags(refusal.reason)),
        }
    }

    /// The same of a client that asks for this server name.
    pub(crate) fn asking_for(self, server_name: Option<&'c str>) -> Self {
        Self {
            server_name,
            ..self
        }
    }

    /// The same of one that was passed on, to there.
    pub(crate) fn carried(self, upstream: SocketAddr, to: &Target) -> Self {
        Self {
            upstream: Some(upstream),
            cluster: cluster(to),
            ..self
        }
    }
}

/// Envoy's words for a reason, where it has some.
fn flags(reason: Reason) -> &'static [Flag] {
    match reason {
        Reason::NoEndpoint | Reason::NoWaypoint => &[Flag::NoHealthyUpstream],
        Reason::ConnectRefused
        | Reason::ConnectTimeout
        | Reason::ConnectFailed
        | Reason::PeerRefused => &[Flag::UpstreamConnectionFailure],
        Reason::UnknownDestination | Reason::InvalidRoute => &[Flag::NoRouteFound],
        Reason::UnknownSubset => &[Flag::NoClusterFound],
        Reason::ConnectionOverflow => &[Flag::UpstreamOverflow],
        Reason::ConnectionDuration => &[Flag::DurationTimeout],
        Reason::IdleTimeout => &[Flag::StreamIdleTimeout],
        Reason::Overloaded => &[Flag::OverloadManagerTerminated],
        _ => &[],
    }
}

impl Entry for ConnectionLine<'_> {
    fn start_time(&self) -> SystemTime {
        let now = clock::wall();
        now.checked_sub(self.connection.duration).unwrap_or(now)
    }

    fn duration(&self) -> Duration {
        self.connection.duration
    }

    fn response_flags(&self) -> &[Flag] {
        self.flags
    }

    fn connection_termination_details(&self) -> Option<&str> {
        self.connection.refusal.map(|refusal| refusal.reason.word())
    }

    fn bytes_received(&self) -> u64 {
        self.connection.sent
    }

    fn bytes_sent(&self) -> u64 {
        self.connection.received
    }

    fn upstream_host(&self) -> Option<SocketAddr> {
        self.upstream
    }

    fn upstream_cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    fn upstream_remote_address(&self) -> Option<SocketAddr> {
        self.upstream
    }

    fn downstream_remote_address(&self) -> Option<SocketAddr> {
        Some(self.connection.source)
    }

    fn downstream_local_address(&self) -> Option<SocketAddr> {
        Some(self.connection.destination)
    }

    fn downstream_peer_uri_san(&self) -> Option<&str> {
        let proved = &self.connection.ends.source_id;
        proved.as_ref().map(SpiffeId::as_str)
    }

    fn upstream_peer_uri_san(&self) -> Option<&str> {
        let proved = &self.connection.ends.destination_id;
        proved.as_ref().map(SpiffeId::as_str)
    }

    fn downstream_tls_version(&self) -> Option<&str> {
        // Tunnels are of no other version.
        self.downstream_peer_uri_san().map(|_| "TLSv1.3")
    }

    fn requested_server_name(&self) -> Option<&[u8]> {
        self.server_name.map(str::as_bytes)
    }

    fn hostname(&self) -> Option<&str> {
        (!self.hostname.is_empty()).then_some(self.hostname)
    }

    fn access_log_type(&self) -> Option<&str> {
        Some("TcpConnectionEnd")
    }
}
