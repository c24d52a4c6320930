//! The proxies under test, each with the configuration that an expert would give it for this work:
//! one thread, connections to the server kept, an access log, counters on.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::traffic::{HTTP1, HTTP2};
use crate::lab::Program;
use crate::lab::address::Family;
use crate::mesh::Waypoint;
use crate::programs;
use crate::world::World;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Proxy {
    /// Ours.
    Ambit,
    /// Envoy.
    Envoy,
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
}

impl Proxy {
    /// Every one.
    pub(super) const ALL: [Self; 4] = [Self::Ambit, Self::Envoy, Self::Haproxy, Self::Nginx];

    /// For the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ambit => "ambit",
            Self::Envoy => "Envoy",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
        }
    }

    /// The pod that it runs in.
    pub(super) fn pod(self) -> &'static str {
        match self {
            Self::Ambit => "waypoint",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    /// Starts it in its pod, to pass on to `server` what comes to its ports.
    pub(super) fn start(self, world: &World, server: IpAddr) -> Result<Program> {
        let (pod, dir) = (world.pod(self.pod())?, world.dir(self.pod()));
        fs::create_dir_all(&dir).context("making a proxy's folder")?;
        match self {
            Self::Ambit => Ok(ambit(world)?.program),
            Self::Envoy => programs::envoy(&pod, &dir, &envoy(&dir, server), HTTP1),
            Self::Haproxy => programs::haproxy(&pod, &dir, &haproxy(server), HTTP1),
            Self::Nginx => programs::nginx(&pod, &dir, &nginx(&dir, server), HTTP1),
        }
    }
}

/// The waypoint with listeners without tunnels, on one thread.
pub(super) fn ambit(world: &World) -> Result<Waypoint> {
    let service = |port| world.service("server", Family::V4, port);
    let [http1, http2] = [(HTTP1, service(80)?), (HTTP2, service(HTTP2)?)]
        .map(|(port, service)| format!("0.0.0.0:{port}={service}"));
    let args = ["--threads", "1", "--plain", &http1, "--plain", &http2];
    world.waypoint("waypoint", &args)
}

/// The line that Envoy writes for a request: as many fields as ours has.
pub(super) fn envoy_log(dir: &Path) -> String {
    let fields = [
        ("time", "%START_TIME%"),
        ("request_id", "%REQ(X-REQUEST-ID)%"),
        ("method", "%REQ(:METHOD)%"),
        ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
        ("host", "%REQ(:AUTHORITY)%"),
        ("protocol", "%PROTOCOL%"),
        ("user_agent", "%REQ(USER-AGENT)%"),
        ("status", "%RESPONSE_CODE%"),
        ("response_flags", "%RESPONSE_FLAGS%"),
        ("reason", "%RESPONSE_CODE_DETAILS%"),
        ("src.addr", "%DOWNSTREAM_REMOTE_ADDRESS%"),
        ("dst.addr", "%DOWNSTREAM_LOCAL_ADDRESS%"),
        ("dst.service", "%UPSTREAM_CLUSTER%"),
        ("upstream", "%UPSTREAM_HOST%"),
        ("bytes_sent", "%BYTES_SENT%"),
        ("bytes_recv", "%BYTES_RECEIVED%"),
        ("duration", "%DURATION%"),
    ];
    let fields = fields
        .map(|(name, value)| format!("{name}: \"{value}\""))
        .join(", ");
    format!(
        "access_log: [{{name: file, typed_config: {{\"@type\": \
         type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: \
         {}/access.log, log_format: {{json_format: {{{fields}}}}}}}}}]",
        dir.display()
    )
}

/// What Envoy does with a connection that speaks HTTP: everything goes to one cluster.
pub(super) fn envoy_http(dir: &Path, name: &str, cluster: &str) -> String {
    format!(
        "{{name: http, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.\
         network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: {name}, \
         use_remote_address: true, {}, route_config: {{virtual_hosts: [{{name: all, domains: \
         [\"*\"], routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}}}}}]}}]}}, \
         http_filters: [{{name: router, typed_config: {{\"@type\": \
         type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]}}}}",
        envoy_log(dir)
    )
}

/// Options of a cluster of Envoy's that speaks HTTP/2.
pub(super) const ENVOY_HTTP2: &str = "typed_extension_protocol_options: \
     {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": \
     type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
     explicit_http_config: {http2_protocol_options: {}}}}";

/// Bounds of a cluster of Envoy's, far away: Istio has none either.
pub(super) const ENVOY_BOUNDS: &str = "circuit_breakers: {thresholds: [{max_connections: 100000, \
     max_pending_requests: 100000, max_requests: 100000}]}, ";

fn envoy(dir: &Path, server: IpAddr) -> String {
    let listener = |name: &str, port: u16| {
        format!(
            "  - {{name: {name}, address: {{socket_address: {{address: 0.0.0.0, port_value: \
             {port}}}}}, filter_chains: [{{filters: [{}]}}]}}\n",
            envoy_http(dir, name, name)
        )
    };
    let cluster = |name: &str, port: u16, more: &str| {
        format!(
            "  - {{name: {name}, {ENVOY_BOUNDS}{more}load_assignment: {{cluster_name: {name}, endpoints: \
             [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {server}, \
             port_value: {port}}}}}}}}}]}}]}}}}\n"
        )
    };
    format!(
        "static_resources:\n  listeners:\n{}{}  clusters:\n{}{}",
        listener("http1", HTTP1),
        listener("http2", HTTP2),
        cluster("http1", HTTP1, ""),
        cluster("http2", HTTP2, &format!("{ENVOY_HTTP2}, ")),
    )
}

fn haproxy(server: IpAddr) -> String {
    let hop = |name: &str, port: u16, protocol: &str| {
        format!(
            "frontend {name}-in\n  bind :{port} {protocol}\n  default_backend {name}\n\
             backend {name}\n  server server {server}:{port} {protocol}\n"
        )
    };
    format!(
        "global\n  nbthread 1\n  maxconn 8000\n  log stdout format raw local0\ndefaults\n  \
         mode http\n  log global\n  option httplog\n  option forwardfor\n  http-reuse always\n  \
         timeout connect 5s\n  timeout client 10m\n  timeout server 60s\n  \
         unique-id-format %[uuid]\n  unique-id-header x-request-id\n{}{}",
        hop("http1", HTTP1, ""),
        hop("http2", HTTP2, "proto h2")
    )
}

/// nginx speaks HTTP/2 to servers for gRPC alone; all else goes on as HTTP/1.1.
fn nginx(dir: &Path, server: IpAddr) -> String {
    let log = dir.join("access.log");
    let fields = [
        ("time", "$time_iso8601"),
        ("request_id", "$request_id"),
        ("method", "$request_method"),
        ("path", "$uri"),
        ("host", "$host"),
        ("protocol", "$server_protocol"),
        ("user_agent", "$http_user_agent"),
        ("status", "$status"),
        ("src.addr", "$remote_addr:$remote_port"),
        ("dst.addr", "$server_addr:$server_port"),
        ("upstream", "$upstream_addr"),
        ("bytes_sent", "$bytes_sent"),
        ("bytes_recv", "$request_length"),
        ("duration", "$request_time"),
    ];
    let fields = fields.map(|(name, value)| format!("\"{name}\":\"{value}\""));
    let site = |listen: &str| {
        format!(
            "server {{ listen {listen} backlog=4096; access_log {} line buffer=64k flush=1s;\n\
             location / {{ proxy_pass http://http1; proxy_set_header Connection \"\"; \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
             proxy_set_header X-Request-Id $request_id; }}\n\
             location /bench.Echo/ {{ grpc_pass grpc://http2; \
             grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
             grpc_set_header X-Request-Id $request_id; }} }}\n",
            log.display()
        )
    };
    format!(
        "log_format line escape=json '{{{}}}';\nproxy_max_temp_file_size 0;\n\
         proxy_buffers 16 16k;\nkeepalive_timeout 600s;\n\
         upstream http1 {{ server {server}:{HTTP1}; keepalive 128; \
         keepalive_requests 1000000; }}\n\
         upstream http2 {{ server {server}:{HTTP2}; keepalive 128; \
         keepalive_requests 1000000; }}\n{}{}",
        fields.join(","),
        site(&HTTP1.to_string()),
        site(&format!("{HTTP2} http2"))
    )
}
