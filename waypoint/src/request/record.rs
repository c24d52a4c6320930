//! What is written down of a request when it is over: when the last byte of its answer has gone by,
//! or the client has gone.

use std::sync::Arc;
use std::time::Instant;

use ambit_balance::ActiveRequest;
use ambit_kit::clock;
use ambit_route::Rule;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::headers::{self, REQUEST_ID};
use super::local::{Fault, Flag};
use super::tries::Try;
use crate::call::Call;
use crate::http::body::{Body, BodyError, Watch};
use crate::proxy::Proxy;
use crate::upstream::pool::Lease;
use crate::view::Destination;

/// A request, as far as it has come.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) call: Arc<Call>,
    pub(crate) began: Instant,
    pub(crate) method: Method,
    pub(crate) path: Box<str>,
    pub(crate) host: Box<str>,
    pub(crate) protocol: &'static str,
    request_id: Option<http::HeaderValue>,
    pub(crate) rule: Option<Arc<Rule>>,
    pub(crate) destination: Option<Arc<Destination>>,
    pub(crate) retries: u32,
    pub(crate) fault: Option<Fault>,
    pub(crate) status: StatusCode,
    pub(crate) grpc_status: Option<u16>,
    pub(crate) answered_bytes: u64,
    pub(crate) complete: bool,
    active: Option<ActiveRequest>,
    chosen: Option<Try>,
    lease: Option<Lease>,
}

impl Record {
    /// A request that just came.
    pub(super) fn begin(
        proxy: &Arc<Proxy>,
        call: &Arc<Call>,
        head: &Parts,
        began: Instant,
    ) -> Self {
        let asked = ambit_route::Head::of(head);
        Self {
            proxy: Arc::clone(proxy),
            call: Arc::clone(call),
            began,
            method: head.method.clone(),
            path: asked.path.into(),
            host: asked.authority.unwrap_or_default().into(),
            protocol: headers::protocol(head.version),
            request_id: head.headers.get(REQUEST_ID).cloned(),
            rule: None,
            destination: None,
            retries: 0,
            fault: None,
            status: StatusCode::OK,
            grpc_status: None,
            answered_bytes: 0,
            complete: false,
            active: None,
            chosen: None,
            lease: None,
        }
    }

    /// When it came.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// The rule that it met.
    pub(super) fn rule(&mut self, rule: &Arc<Rule>) {
        self.rule = Some(Arc::clone(rule));
    }

    /// It counts as in progress until it is over.
    pub(super) fn in_progress(&mut self, active: Option<ActiveRequest>) {
        self.active = active;
    }

    /// The endpoint of the try that begins.
    pub(super) fn to(&mut self, destination: &Arc<Destination>) {
        self.destination = Some(Arc::clone(destination));
    }

    /// Another try begins.
    pub(super) fn again(&mut self) {
        self.retries += 1;
    }

    /// It is answered by an endpoint, over this connection.
    pub(super) fn answered(&mut self, chosen: Try, lease: Lease) {
        self.chosen = Some(chosen);
        self.lease = Some(lease);
    }

    /// It is answered here, for this reason.
    pub(super) fn fault(&mut self, fault: &Fault) {
        self.fault = Some(fault.clone());
    }

    /// Follows the answer to its end.
    pub(super) fn watch(mut self, response: Response<Body>) -> Response<Body> {
        self.status = response.status();
        self.grpc_status = grpc_status(response.headers());
        response.map(|body| body.watched(Box::new(self)))
    }

    /// What tells it from all others.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_ref()?.to_str().ok()
    }

    /// How long it took.
    pub(crate) fn duration(&self) -> std::time::Duration {
        clock::now().duration_since(self.began)
    }

    /// The letters that say why the answer is not an endpoint's own.
    pub(crate) fn flag(&self) -> &'static str {
        match &self.fault {
            Some(fault) => fault.flag.letters(),
            None if !self.complete => "DC",
            None => Flag::None.letters(),
        }
    }
}

impl Watch for Record {
    fn data(&mut self, bytes: &Bytes) {
        self.answered_bytes += bytes.len() as u64;
    }

    fn trailers(&mut self, trailers: &http::HeaderMap) {
        self.grpc_status = grpc_status(trailers).or(self.grpc_status);
    }

    fn end(&mut self) {
        self.complete = true;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    fn broken(&mut self, error: &BodyError) {
        let fault = match error {
            BodyError::Late => Fault::new(504, Flag::Timeout, "timeout", error.to_string()),
            BodyError::Broken(_) => {
                Fault::new(502, Flag::Reset, "upstream_reset", error.to_string())
            }
        };
        self.fault.get_or_insert(fault);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // The endpoint and the budget are free before anybody can see the line.
        drop((self.active.take(), self.chosen.take()));
        self.proxy.ended(self);
    }
}

fn grpc_status(headers: &http::HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
