//! A request as a line of the access log that has a format: what is kept of it until then
//! ([`Kept`]), and what the format may ask for ([`RequestLine`]).

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use ambit_kit::clock;
use ambit_logformat::{Entry, Flag};
use ambit_model::SpiffeId;
use ambit_telemetry::Exchange;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Response, Uri};

use crate::clusters::envoy_name;
use crate::request::Target;
use crate::telling::{Names, Telling, Values};
use crate::upstream::pool::Version;

/// A header that Envoy adds to answers. Here it is told in the log only.
const SERVICE_TIME: &str = "x-envoy-upstream-service-time";

/// What a format may ask for at the end that is there only before.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The target that the endpoint gets, once that is known.
    uri: Option<Uri>,
    host: Option<HeaderValue>,
    request: Values,
    response: Values,
    trailers: Values,
    /// Where it goes.
    to: Option<Target>,
    /// Where it would have gone.
    would: Option<Target>,
    /// What the endpoint is spoken to in.
    speaks: Option<Version>,
    /// The time until the head of the answer had come from an endpoint.
    answered: Option<Duration>,
}

impl Kept {
    /// The request as an endpoint gets it.
    pub(super) fn sent(&mut self, names: &Names, head: &Parts) {
        self.uri = Some(head.uri.clone());
        self.host = head.headers.get(HOST).cloned();
        self.request = names.request.take(&head.headers);
    }

    /// Where it goes.
    pub(super) fn goes_to(&mut self, to: &Target) {
        self.to = Some(to.clone());
    }

    /// Where it would go, if it were not answered on purpose.
    pub(super) fn would_go_to(&mut self, to: Target) {
        self.would = Some(to);
    }

    /// The endpoint of this try is spoken to so.
    pub(super) fn speaks(&mut self, version: Version) {
        self.speaks = Some(version);
    }

    /// An endpoint has answered a request that came then.
    pub(super) fn answered(&mut self, began: Instant) {
        self.answered = Some(clock::now().duration_since(began));
    }

    /// The answer as the client gets it.
    pub(super) fn answer<B>(&mut self, names: &Names, response: &Response<B>) {
        self.response = names.response.take(response.headers());
    }

    /// The trailers of the answer.
    pub(super) fn trailers(&mut self, names: &Names, trailers: &HeaderMap) {
        self.trailers = names.trailers.take(trailers);
    }
}

/// What is known of a request when its line is written.
pub(crate) struct RequestLine<'r> {
    pub(super) exchange: &'r Exchange<'r>,
    pub(super) telling: &'r Telling,
    pub(super) kept: Option<&'r Kept>,
    pub(super) details: Cow<'static, str>,
    pub(super) hostname: &'r str,
    /// The time until the last byte of the request had come, if that is known.
    pub(super) request: Option<Duration>,
    /// It was on a connection to its endpoint.
    pub(super) has_met_endpoint: bool,
    pub(super) flags: Vec<Flag>,
    /// [`RequestLine::upstream_cluster`], once somebody has asked for it.
    pub(super) cluster: OnceCell<Option<String>>,
    /// The status as a text, once somebody has asked for it.
    pub(super) status: OnceCell<Option<String>>,
    /// [`RequestLine::service_time`], once somebody has asked for it.
    pub(super) service_time: OnceCell<Option<String>>,
}

impl<'r> RequestLine<'r> {
    /// The line of what is told so.
    pub(super) fn new(exchange: &'r Exchange<'r>, telling: &'r Telling) -> Self {
        Self {
            exchange,
            telling,
            kept: None,
            details: Cow::default(),
            hostname: "",
            request: None,
            has_met_endpoint: false,
            flags: flags(exchange.flags),
            cluster: OnceCell::new(),
            status: OnceCell::new(),
            service_time: OnceCell::new(),
        }
    }

    /// The same with what was kept.
    pub(super) fn keeping(mut self, kept: Option<&'r Kept>) -> Self {
        self.kept = kept;
        self
    }

    /// The line of something that was no request.
    pub(crate) fn malformed(exchange: &'r Exchange<'r>, telling: &'r Telling) -> Self {
        let details = exchange.reason.unwrap_or_default();
        Self {
            details: Cow::Borrowed(details),
            ..Self::new(exchange, telling)
        }
    }

    fn names(&self) -> Option<(&Names, &'r Kept)> {
        self.telling.kept().zip(self.kept)
    }

    /// Milliseconds from the end of the request to the head of its answer, if they came in this order.
    fn service_time(&self) -> Option<&str> {
        let time = self.service_time.get_or_init(|| {
            let time = self.response_duration()?.checked_sub(self.request?)?;
            Some(time.as_millis().to_string())
        });
        time.as_deref()
    }

    /// The target that was sent on; the client's where none was.
    fn target(&self) -> &[u8] {
        let sent = self
            .kept
            .and_then(|kept| kept.uri.as_ref()?.path_and_query());
        sent.map_or(self.exchange.path, |path| path.as_str().as_bytes())
    }

    fn authority(&self) -> &[u8] {
        let kept = self
            .kept
            .and_then(|kept| match kept.uri.as_ref()?.authority() {
                Some(authority) => Some(authority.as_str().as_bytes()),
                None => kept.host.as_ref().map(HeaderValue::as_bytes),
            });
        kept.unwrap_or(self.exchange.host)
    }
}

/// The flags that these letters are.
fn flags(letters: &str) -> Vec<Flag> {
    if letters == "-" {
        return Vec::new();
    }
    let letters = letters.split(',');
    letters.filter_map(Flag::from_letters).collect()
}

/// Istio's name of what a request goes to.
pub(crate) fn cluster(to: &Target) -> Option<String> {
    match to {
        Target::Service(name, port, subset) => Some(envoy_name(name, *port, subset.as_deref())),
        Target::Workload(_) => None,
    }
}

/// Nothing, for what is empty.
fn known(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty()).then_some(text)
}

impl Entry for RequestLine<'_> {
    fn start_time(&self) -> SystemTime {
        // It ended just now.
        let now = clock::wall();
        now.checked_sub(self.exchange.duration).unwrap_or(now)
    }

    fn duration(&self) -> Duration {
        self.exchange.duration
    }

    fn request_header(&self, name: &str) -> Option<&[u8]> {
        match name {
            ":method" => known(self.exchange.method),
            ":path" => known(self.target()),
            ":authority" | "host" => known(self.authority()),
            ":scheme" => Some(b"http"),
            "x-envoy-original-path" if self.target() != self.exchange.path => {
                known(self.exchange.path)
            }
            "x-request-id" => known(self.exchange.request_id),
            _ => {
                let (names, kept) = self.names()?;
                names.request.find(&kept.request, name)
            }
        }
    }

    fn response_header(&self, name: &str) -> Option<&[u8]> {
        if name == ":status" {
            let status = || self.exchange.status.map(|status| status.to_string());
            return self
                .status
                .get_or_init(status)
                .as_ref()
                .map(String::as_bytes);
        }
        // Envoy writes it over the endpoint's own.
        if name == SERVICE_TIME
            && let Some(time) = self.service_time()
        {
            return Some(time.as_bytes());
        }
        let (names, kept) = self.names()?;
        names.response.find(&kept.response, name)
    }

    fn response_trailer(&self, name: &str) -> Option<&[u8]> {
        let (names, kept) = self.names()?;
        names.trailers.find(&kept.trailers, name)
    }

    fn protocol(&self) -> Option<&str> {
        (!self.exchange.version.is_empty()).then_some(self.exchange.version)
    }

    fn response_code(&self) -> Option<u16> {
        self.exchange.status
    }

    fn response_code_details(&self) -> Option<&str> {
        (!self.details.is_empty()).then_some(&*self.details)
    }

    fn response_flags(&self) -> &[Flag] {
        &self.flags
    }

    fn bytes_received(&self) -> u64 {
        self.exchange.sent
    }

    fn bytes_sent(&self) -> u64 {
        self.exchange.received
    }

    fn request_duration(&self) -> Option<Duration> {
        self.request
    }

    fn request_tx_duration(&self) -> Option<Duration> {
        // A piece is sent on when it comes.
        self.request.filter(|_| self.has_met_endpoint)
    }

    fn response_duration(&self) -> Option<Duration> {
        self.kept?.answered
    }

    fn response_tx_duration(&self) -> Option<Duration> {
        self.exchange
            .duration
            .checked_sub(self.response_duration()?)
    }

    fn upstream_host(&self) -> Option<SocketAddr> {
        self.exchange.upstream
    }

    fn upstream_cluster(&self) -> Option<&str> {
        let to = || {
            let kept = self.kept?;
            kept.to.as_ref().or(kept.would.as_ref()).and_then(cluster)
        };
        self.cluster.get_or_init(to).as_deref()
    }

    fn upstream_remote_address(&self) -> Option<SocketAddr> {
        self.exchange.upstream.filter(|_| self.has_met_endpoint)
    }

    fn upstream_transport_failure_reason(&self) -> Option<&str> {
        let failed = self.exchange.flags.split(',').any(|flag| flag == "UF");
        self.exchange.error.filter(|_| failed)
    }

    fn upstream_request_attempt_count(&self) -> u64 {
        // As in Envoy, it has been tried to find an endpoint where there is none.
        let is_routed = self.kept.is_some_and(|kept| kept.to.is_some());
        u64::from(self.exchange.tries).max(is_routed.into())
    }

    fn upstream_protocol(&self) -> Option<&str> {
        let speaks = self.kept?.speaks.filter(|_| self.has_met_endpoint)?;
        Some(match speaks {
            Version::Http1 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        })
    }

    fn downstream_remote_address(&self) -> Option<SocketAddr> {
        Some(self.exchange.source)
    }

    fn downstream_local_address(&self) -> Option<SocketAddr> {
        Some(self.exchange.destination)
    }

    fn downstream_peer_uri_san(&self) -> Option<&str> {
        self.exchange.ends.source_id.as_ref().map(SpiffeId::as_str)
    }

    fn upstream_peer_uri_san(&self) -> Option<&str> {
        let proved = &self.exchange.ends.destination_id;
        proved.as_ref().map(SpiffeId::as_str)
    }

    fn downstream_tls_version(&self) -> Option<&str> {
        // Tunnels are of no other version.
        self.downstream_peer_uri_san().map(|_| "TLSv1.3")
    }

    fn route_name(&self) -> Option<&str> {
        self.exchange.route
    }

    fn hostname(&self) -> Option<&str> {
        (!self.hostname.is_empty()).then_some(self.hostname)
    }

    fn trace_id(&self) -> Option<&str> {
        self.exchange.trace.map(|(trace, _)| trace)
    }

    fn span_id(&self) -> Option<&str> {
        self.exchange.trace.map(|(_, span)| span)
    }

    fn grpc_status(&self) -> Option<u32> {
        self.exchange.grpc_status
    }

    fn stream_id(&self) -> Option<&[u8]> {
        known(self.exchange.request_id)
    }
}

#[cfg(test)]
mod tests;
