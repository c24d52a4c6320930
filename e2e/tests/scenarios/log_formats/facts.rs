//! What is known of a request: what we knew before, and what Envoy has told.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambit_logformat::{Entry, Flag};
use serde_json::Value;

use super::cases::Case;
use super::envoy::LISTENER;

/// The facts that only Envoy knows.
pub(super) const FACTS: [&str; 15] = [
    "START_TIME(%s %9f)",
    "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)",
    "RESPONSE_CODE",
    "RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)",
    "BYTES_RECEIVED",
    "BYTES_SENT",
    "DURATION",
    "REQUEST_DURATION",
    "REQUEST_TX_DURATION",
    "RESPONSE_DURATION",
    "RESPONSE_TX_DURATION",
    "UPSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "STREAM_ID",
];

/// What Envoy has said of a request, with what we knew before.
pub(super) struct Facts {
    pub(super) case: Case,
    told: Value,
    paths: BTreeMap<&'static str, String>,
}

impl Facts {
    pub(super) fn new(case: Case, told: Value) -> Self {
        let path = case.path.to_owned();
        let paths = match case.rewritten {
            None => [(":path", path)].into(),
            Some(new) => [(":path", new.to_owned()), ("x-envoy-original-path", path)].into(),
        };
        Self { case, told, paths }
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.told[name].as_u64()
    }

    fn millis(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_millis)
    }

    fn address(&self, name: &str) -> Option<SocketAddr> {
        Some(self.told[name].as_str()?.parse().unwrap())
    }
}

impl Entry for Facts {
    fn start_time(&self) -> SystemTime {
        let text = self.told[FACTS[0]].as_str().unwrap();
        let (seconds, nanos) = text.split_once(' ').unwrap();
        UNIX_EPOCH + Duration::new(seconds.parse().unwrap(), nanos.parse().unwrap())
    }

    fn duration(&self) -> Duration {
        self.millis("DURATION").unwrap()
    }

    fn request_header(&self, name: &str) -> Option<&[u8]> {
        let mut own = self.case.headers.iter();
        match name {
            ":method" => Some(self.case.method.as_bytes()),
            ":authority" => Some(b"shop:80"),
            ":scheme" => Some(b"http"),
            "x-request-id" => self.stream_id(),
            _ => match self.paths.get(name) {
                Some(path) => Some(path.as_bytes()),
                None => own
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| *value),
            },
        }
    }

    fn response_header(&self, name: &str) -> Option<&[u8]> {
        if name == "x-envoy-upstream-service-time" {
            return self.told[FACTS[1]].as_str().map(str::as_bytes);
        }
        let mut own = self.case.response.iter();
        own.find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    fn protocol(&self) -> Option<&str> {
        Some("HTTP/1.1")
    }

    fn upstream_protocol(&self) -> Option<&str> {
        self.upstream_remote_address().map(|_| "HTTP/1.1")
    }

    fn response_code(&self) -> Option<u16> {
        self.number("RESPONSE_CODE")?.try_into().ok()
    }

    fn response_code_details(&self) -> Option<&str> {
        self.told["RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)"].as_str()
    }

    fn response_flags(&self) -> &[Flag] {
        self.case.flags
    }

    fn bytes_received(&self) -> u64 {
        self.case.body.len() as u64
    }

    fn bytes_sent(&self) -> u64 {
        self.number("BYTES_SENT").unwrap()
    }

    fn request_duration(&self) -> Option<Duration> {
        self.millis("REQUEST_DURATION")
    }

    fn request_tx_duration(&self) -> Option<Duration> {
        self.millis("REQUEST_TX_DURATION")
    }

    fn response_duration(&self) -> Option<Duration> {
        self.millis("RESPONSE_DURATION")
    }

    fn response_tx_duration(&self) -> Option<Duration> {
        self.millis("RESPONSE_TX_DURATION")
    }

    fn upstream_host(&self) -> Option<SocketAddr> {
        let port = self.case.host?;
        Some((Ipv4Addr::LOCALHOST, port).into())
    }

    fn upstream_cluster(&self) -> Option<&str> {
        self.case.cluster.map(|(_, other)| other)
    }

    fn upstream_cluster_raw(&self) -> Option<&str> {
        self.case.cluster.map(|(name, _)| name)
    }

    fn upstream_local_address(&self) -> Option<SocketAddr> {
        self.address("UPSTREAM_LOCAL_ADDRESS")
    }

    fn upstream_remote_address(&self) -> Option<SocketAddr> {
        let is_connected = self.case.failure.is_none();
        self.upstream_host().filter(|_| is_connected)
    }

    fn upstream_transport_failure_reason(&self) -> Option<&str> {
        self.case.failure
    }

    fn upstream_request_attempt_count(&self) -> u64 {
        self.number("UPSTREAM_REQUEST_ATTEMPT_COUNT").unwrap()
    }

    fn downstream_remote_address(&self) -> Option<SocketAddr> {
        self.address("DOWNSTREAM_REMOTE_ADDRESS")
    }

    fn downstream_local_address(&self) -> Option<SocketAddr> {
        Some((Ipv4Addr::LOCALHOST, LISTENER).into())
    }

    fn route_name(&self) -> Option<&str> {
        self.case.route
    }

    fn grpc_status(&self) -> Option<u32> {
        self.case.grpc
    }

    fn stream_id(&self) -> Option<&[u8]> {
        self.told["STREAM_ID"].as_str().map(str::as_bytes)
    }
}
