//! What is known of a request, or of a connection that is no HTTP, when its line is written.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::flags::Flag;

/// Getters of what a format may ask for. What is not known is `None`, which is also the answer of
/// whoever does not implement a getter. Nothing is copied: only what a format asks for is asked.
pub trait Entry {
    /// Time of day at which it began.
    fn start_time(&self) -> SystemTime;

    /// Time from there to its last byte.
    fn duration(&self) -> Duration;

    /// First value of a request header, by its name in small letters: one of
    /// [`Needs::request_headers`](crate::Needs), among them `:method`, `:path`, `:authority` and
    /// `:scheme`. Headers are as the endpoint gets them, so `:path` is what a rewrite made of it,
    /// and `x-envoy-original-path` then tells what the client asked for.
    fn request_header(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// First value of a header of the answer that the client got, `:status` among them.
    fn response_header(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// First value of a trailer of the answer.
    fn response_trailer(&self, _name: &str) -> Option<&[u8]> {
        None
    }

    /// What the client speaks: `HTTP/1.1`, `HTTP/2`.
    fn protocol(&self) -> Option<&str> {
        None
    }

    /// What the endpoint is spoken to in.
    fn upstream_protocol(&self) -> Option<&str> {
        None
    }

    /// Status that the client got. Without one `0` is written, as Envoy does.
    fn response_code(&self) -> Option<u16> {
        None
    }

    /// Why it is that one: `via_upstream`, `route_not_found`. White space is written as `_`.
    fn response_code_details(&self) -> Option<&str> {
        None
    }

    /// What went wrong, in the order in which it did.
    fn response_flags(&self) -> &[Flag] {
        &[]
    }

    /// Why the proxy ended the client's connection. White space is written as `_`.
    fn connection_termination_details(&self) -> Option<&str> {
        None
    }

    /// Bytes of the body that came from the client.
    fn bytes_received(&self) -> u64 {
        0
    }

    /// Bytes of the body that the client got.
    fn bytes_sent(&self) -> u64 {
        0
    }

    /// Time until the last byte of the request had come.
    fn request_duration(&self) -> Option<Duration> {
        None
    }

    /// Time until the last byte of the request had been sent on.
    fn request_tx_duration(&self) -> Option<Duration> {
        None
    }

    /// Time until the first byte of the answer had come.
    fn response_duration(&self) -> Option<Duration> {
        None
    }

    /// Time from there until the client had the last byte.
    fn response_tx_duration(&self) -> Option<Duration> {
        None
    }

    /// Address of the endpoint that was chosen last.
    fn upstream_host(&self) -> Option<SocketAddr> {
        None
    }

    /// The name of what was chosen: `outbound|80||cart.shop.svc.cluster.local`.
    fn upstream_cluster(&self) -> Option<&str> {
        None
    }

    /// The same without the name that metrics may know it by.
    fn upstream_cluster_raw(&self) -> Option<&str> {
        self.upstream_cluster()
    }

    /// The proxy's own end of the connection to the endpoint.
    fn upstream_local_address(&self) -> Option<SocketAddr> {
        None
    }

    /// The other end of that connection; none if it was never made.
    fn upstream_remote_address(&self) -> Option<SocketAddr> {
        None
    }

    /// Why there is no connection to the endpoint. White space is written as `_`.
    fn upstream_transport_failure_reason(&self) -> Option<&str> {
        None
    }

    /// How often it was sent on, or would have been.
    fn upstream_request_attempt_count(&self) -> u64 {
        0
    }

    /// Address of the client, told by a proxy before us if one is believed.
    fn downstream_remote_address(&self) -> Option<SocketAddr> {
        None
    }

    /// Address that the client's connection comes from.
    fn downstream_direct_remote_address(&self) -> Option<SocketAddr> {
        self.downstream_remote_address()
    }

    /// Address that the client connected to.
    fn downstream_local_address(&self) -> Option<SocketAddr> {
        None
    }

    /// The client's identity, proved by its certificate.
    fn downstream_peer_uri_san(&self) -> Option<&str> {
        None
    }

    /// The identity that was shown to the client.
    fn downstream_local_uri_san(&self) -> Option<&str> {
        None
    }

    /// The endpoint's identity, proved by its certificate.
    fn upstream_peer_uri_san(&self) -> Option<&str> {
        None
    }

    /// Version of TLS that the client speaks: `TLSv1.3`.
    fn downstream_tls_version(&self) -> Option<&str> {
        None
    }

    /// Server name in the client's hello. Comes from the client.
    fn requested_server_name(&self) -> Option<&[u8]> {
        None
    }

    /// Name of the route that it met.
    fn route_name(&self) -> Option<&str> {
        None
    }

    /// Name of the virtual cluster that it met.
    fn virtual_cluster_name(&self) -> Option<&str> {
        None
    }

    /// Name of the machine or pod that the proxy runs in.
    fn hostname(&self) -> Option<&str> {
        None
    }

    /// gRPC status that the client got; none if it did not speak gRPC.
    fn grpc_status(&self) -> Option<u32> {
        None
    }

    /// The trace that it is part of, 32 letters.
    fn trace_id(&self) -> Option<&str> {
        None
    }

    /// Its span in that trace, 16 letters.
    fn span_id(&self) -> Option<&str> {
        None
    }

    /// A name of its own: `x-request-id` for requests. May come from the client.
    fn stream_id(&self) -> Option<&[u8]> {
        None
    }

    /// What the line is written for: `DownstreamEnd` for requests, `TcpConnectionEnd` for
    /// connections.
    fn access_log_type(&self) -> Option<&str> {
        Some("DownstreamEnd")
    }
}
