//! Entries for tests.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::{Entry, Flag, Format, Redaction};

type Fields = Vec<(&'static str, Vec<u8>)>;

/// An entry of which everything can be said; nothing is by default.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) start: SystemTime,
    pub(crate) duration: Duration,
    pub(crate) request: Fields,
    pub(crate) response: Fields,
    pub(crate) trailers: Fields,
    pub(crate) code: Option<u16>,
    pub(crate) details: Option<&'static str>,
    pub(crate) flags: Vec<Flag>,
    pub(crate) grpc: Option<u32>,
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) remote: Option<SocketAddr>,
    /// True if all that is not above is known.
    pub(crate) is_full: bool,
}

/// The time of all entries.
pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_795_341_718, 271_450_000)
}

/// Nothing is known.
pub(crate) fn empty() -> Facts {
    Facts {
        start: start(),
        duration: Duration::ZERO,
        request: Vec::new(),
        response: Vec::new(),
        trailers: Vec::new(),
        code: None,
        details: None,
        flags: Vec::new(),
        grpc: None,
        server_name: None,
        remote: None,
        is_full: false,
    }
}

/// Everything is known.
pub(crate) fn full() -> Facts {
    let fields = |fields: &[(&'static str, &str)]| {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (*name, value.as_bytes().to_vec()))
            .collect()
    };
    Facts {
        duration: Duration::from_micros(42_900),
        request: fields(&[
            (":method", "GET"),
            (":path", "/new?x=1"),
            (":authority", "shop:80"),
            (":scheme", "http"),
            ("x-envoy-original-path", "/rewrite/q?x=1&token=abc"),
            ("x-a", "größe"),
            ("x-empty", ""),
            ("x-request-id", "5f3c"),
            ("user-agent", "curl/8"),
            ("authorization", "Bearer abc"),
            ("referer", "http://shop/?password=abc#end"),
        ]),
        response: fields(&[
            (":status", "200"),
            ("x-envoy-upstream-service-time", "7"),
            ("set-cookie", "a=b"),
        ]),
        trailers: fields(&[("grpc-status", "5")]),
        code: Some(200),
        details: Some("via upstream"),
        flags: vec![
            Flag::UpstreamRetryLimitExceeded,
            Flag::UpstreamConnectionFailure,
        ],
        grpc: Some(5),
        server_name: Some(b"shop.example".to_vec()),
        remote: Some(([10, 1, 10, 23], 4000).into()),
        is_full: true,
        ..empty()
    }
}

fn find<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let mut found = fields.iter().filter(|(known, _)| *known == name);
    found.next().map(|(_, value)| &**value)
}

impl Facts {
    fn known<T>(&self, value: T) -> Option<T> {
        self.is_full.then_some(value)
    }

    fn address(&self, port: u16) -> Option<SocketAddr> {
        self.known(([10, 0, 0, 2], port).into())
    }

    fn millis(&self, millis: u64) -> Option<Duration> {
        self.known(Duration::from_millis(millis))
    }
}

impl Entry for Facts {
    fn start_time(&self) -> SystemTime {
        self.start
    }
    fn duration(&self) -> Duration {
        self.duration
    }
    fn request_header(&self, name: &str) -> Option<&[u8]> {
        find(&self.request, name)
    }
    fn response_header(&self, name: &str) -> Option<&[u8]> {
        find(&self.response, name)
    }
    fn response_trailer(&self, name: &str) -> Option<&[u8]> {
        find(&self.trailers, name)
    }
    fn protocol(&self) -> Option<&str> {
        self.known("HTTP/1.1")
    }
    fn upstream_protocol(&self) -> Option<&str> {
        self.known("HTTP/2")
    }
    fn response_code(&self) -> Option<u16> {
        self.code
    }
    fn response_code_details(&self) -> Option<&str> {
        self.details
    }
    fn response_flags(&self) -> &[Flag] {
        &self.flags
    }
    fn connection_termination_details(&self) -> Option<&str> {
        self.known("too old")
    }
    fn bytes_received(&self) -> u64 {
        self.known(120).unwrap_or_default()
    }
    fn bytes_sent(&self) -> u64 {
        self.known(4000).unwrap_or_default()
    }
    fn request_duration(&self) -> Option<Duration> {
        self.millis(1)
    }
    fn request_tx_duration(&self) -> Option<Duration> {
        self.millis(2)
    }
    fn response_duration(&self) -> Option<Duration> {
        self.millis(3)
    }
    fn response_tx_duration(&self) -> Option<Duration> {
        self.millis(4)
    }
    fn upstream_host(&self) -> Option<SocketAddr> {
        self.address(8080)
    }
    fn upstream_cluster(&self) -> Option<&str> {
        self.known("outbound|80||cart.shop.svc.cluster.local")
    }
    fn upstream_cluster_raw(&self) -> Option<&str> {
        self.known("raw")
    }
    fn upstream_local_address(&self) -> Option<SocketAddr> {
        self.address(5001)
    }
    fn upstream_remote_address(&self) -> Option<SocketAddr> {
        self.address(5002)
    }
    fn upstream_transport_failure_reason(&self) -> Option<&str> {
        self.known("delayed_connect_error: Connection refused")
    }
    fn upstream_request_attempt_count(&self) -> u64 {
        self.known(3).unwrap_or_default()
    }
    fn downstream_remote_address(&self) -> Option<SocketAddr> {
        self.remote
    }
    fn downstream_direct_remote_address(&self) -> Option<SocketAddr> {
        self.address(4001)
    }
    fn downstream_local_address(&self) -> Option<SocketAddr> {
        let ip: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
        self.known((ip, 80).into())
    }
    fn downstream_peer_uri_san(&self) -> Option<&str> {
        self.known("spiffe://cluster.local/ns/shop/sa/web")
    }
    fn downstream_local_uri_san(&self) -> Option<&str> {
        self.known("spiffe://cluster.local/ns/shop/sa/waypoint")
    }
    fn upstream_peer_uri_san(&self) -> Option<&str> {
        self.known("spiffe://cluster.local/ns/shop/sa/cart")
    }
    fn downstream_tls_version(&self) -> Option<&str> {
        self.known("TLSv1.3")
    }
    fn requested_server_name(&self) -> Option<&[u8]> {
        self.server_name.as_deref()
    }
    fn route_name(&self) -> Option<&str> {
        self.known("shop/cart")
    }
    fn virtual_cluster_name(&self) -> Option<&str> {
        self.known("vc")
    }
    fn hostname(&self) -> Option<&str> {
        self.known("waypoint-0")
    }
    fn grpc_status(&self) -> Option<u32> {
        self.grpc
    }
    fn trace_id(&self) -> Option<&str> {
        self.known("4bf92f3577b34da6a3ce929d0e0e4736")
    }
    fn span_id(&self) -> Option<&str> {
        self.known("00f067aa0ba902b7")
    }
    fn stream_id(&self) -> Option<&[u8]> {
        self.known(b"5f3c")
    }
}

/// The line of an entry, without its end.
pub(crate) fn line(format: &Format, entry: &Facts) -> Vec<u8> {
    let mut line = b"before ".to_vec();
    format.write(entry, &mut line);
    let line = line.strip_prefix(b"before ").expect("lines are added");
    line.strip_suffix(b"\n")
        .expect("a line has an end")
        .to_vec()
}

/// What a text format makes of an entry, if it is UTF-8.
pub(crate) fn text(format: &str, entry: &Facts) -> String {
    let format = Format::text(format).unwrap();
    String::from_utf8(line(&format, entry)).unwrap()
}

/// The same without masks.
pub(crate) fn unmasked(format: &str, entry: &Facts) -> String {
    let format = Format::text(format).unwrap().redacting(Redaction::off());
    String::from_utf8(line(&format, entry)).unwrap()
}

/// What a reader of JSON finds in a line.
pub(crate) fn json(format: &Format, entry: &Facts) -> Value {
    let line = line(format, entry);
    assert!(!line.iter().any(|byte| *byte < b' '), "one line");
    serde_json::from_slice(&line).expect("a line is JSON")
}
