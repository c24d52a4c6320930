//! A request from its head to its end, which is when the last byte of its answer has gone by or the
//! client has gone. Then it is told of ([`told`]), perhaps in a format ([`mod@line`]).

pub(crate) mod line;
mod told;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use ambit_balance::Outcome;
use ambit_decide::Refusal;
use ambit_model::Service;
use ambit_route::Rule;
use ambit_telemetry::Protocol;
use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Uri};

use self::line::Kept;
use super::Target;
use super::headers::{self, REQUEST_ID};
use super::local::{Before, Fault, Flag, Spent};
use super::tries::{Try, flag_of_reset};
use crate::authorize::Seen;
use crate::call::Call;
use crate::http::body::{Body, BodyError, Watch};
use crate::http::grpc::Messages;
use crate::http::replay::{Broke, Replayable, Sent};
use crate::proxy::Proxy;
use crate::review;
use crate::telling::Telling;
use crate::traces::{Told, Trace};
use crate::upstream::pool::{Lease, Version};
use crate::view::{Active, Destination};

/// A request, as far as it has come.
#[derive(Debug)]
pub(crate) struct Record {
    proxy: Arc<Proxy>,
    call: Arc<Call>,
    began: Instant,
    protocol: Protocol,
    version: &'static str,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    /// What is told of it.
    telling: Arc<Telling>,
    /// Its trace, if it is in one.
    trace: Option<Box<Trace>>,
    /// What its line needs, if that has a format.
    kept: Option<Box<Kept>>,
    rule: Option<Arc<Rule>>,
    service: Option<Arc<Service>>,
    destination: Option<Arc<Destination>>,
    /// What it asks for, if it may go on with another protocol.
    seen: Option<Seen>,
    /// Its last try has been put on a connection.
    met: AtomicBool,
    /// An endpoint has answered.
    answered: bool,
    retries: u32,
    /// What came before its answer.
    before: Before,
    fault: Option<Fault>,
    /// The status that the client gets, once it is known.
    status: Option<StatusCode>,
    grpc_status: Option<u16>,
    sent: Option<Arc<Sent>>,
    /// What the client sent once its connection went on with another protocol.
    switched_bytes: u64,
    answered_bytes: u64,
    answered_messages: u64,
    /// How far the messages of an answer have gone by.
    messages: Messages,
    complete: bool,
    active: Option<Active>,
    chosen: Option<Try>,
    lease: Option<Lease>,
}

impl Record {
    /// A request that just came. It stays in its place in memory until it is over.
    pub(super) fn begin(
        proxy: &Arc<Proxy>,
        call: &Arc<Call>,
        head: &Parts,
        began: Instant,
    ) -> Box<Self> {
        let header = |name: HeaderName| head.headers.get(name).cloned();
        let service = call.service().map(|(service, _)| &service.name);
        let telling = proxy.tellings.of(service);
        Box::new(Self {
            kept: telling.kept().map(|_| Box::default()),
            trace: proxy.traces.begin(&head.headers, &telling.tracing, began),
            telling,
            proxy: Arc::clone(proxy),
            call: Arc::clone(call),
            began,
            protocol: match headers::is_grpc(&head.headers) {
                true => Protocol::Grpc,
                false => Protocol::Http,
            },
            version: headers::protocol(head.version),
            method: head.method.clone(),
            uri: head.uri.clone(),
            host: header(HOST),
            request_id: header(REQUEST_ID),
            user_agent: header(USER_AGENT),
            rule: None,
            service: call.service().map(|(service, _)| Arc::clone(service)),
            destination: None,
            seen: None,
            met: AtomicBool::new(false),
            answered: false,
            retries: 0,
            before: Before::default(),
            fault: None,
            status: None,
            grpc_status: None,
            sent: None,
            switched_bytes: 0,
            answered_bytes: 0,
            answered_messages: 0,
            messages: Messages::default(),
            complete: false,
            active: None,
            chosen: None,
            lease: None,
        })
    }

    /// Whether the application is to be told who called.
    pub(super) fn tells_client(&self) -> bool {
        self.telling.client_identity
    }

    /// When it came.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// The rule that it met.
    pub(super) fn rule(&mut self, rule: &Arc<Rule>) {
        self.rule = Some(Arc::clone(rule));
    }

    /// What is sent on: the filters of its rule have been through.
    pub(super) fn sends_head(&mut self, head: &Parts) {
        if let (Some(kept), Some(names)) = (&mut self.kept, self.telling.kept()) {
            kept.sent(names, head);
        }
    }

    /// Where it goes.
    pub(super) fn goes_to(&mut self, to: &Target) {
        if let Some(kept) = &mut self.kept {
            kept.goes_to(to);
        }
    }

    /// Where it would go, if it were not answered on purpose.
    pub(super) fn would_go_to(&mut self, to: Target) {
        if let Some(kept) = &mut self.kept {
            kept.would_go_to(to);
        }
    }

    /// A try speaks so to its endpoint.
    pub(super) fn speaks(&mut self, version: impl FnOnce() -> Version) {
        if let Some(kept) = &mut self.kept {
            kept.speaks(version());
        }
    }

    /// What the client is answered.
    pub(super) fn answer<B>(&mut self, response: &Response<B>) {
        if let (Some(kept), Some(names)) = (&mut self.kept, self.telling.kept()) {
            kept.answer(names, response);
        }
    }

    /// It is made to wait on purpose.
    pub(super) fn delayed(&mut self) {
        self.before.delayed = true;
    }

    /// The service that it goes to, which its rule may have chosen.
    pub(super) fn service(&mut self, service: Option<Arc<Service>>) {
        self.service = service;
    }

    /// It has a body.
    pub(super) fn sends(&mut self, body: &Replayable) {
        self.sent = Some(body.counted(self.protocol == Protocol::Grpc));
    }

    /// It counts as in progress until it is over.
    pub(super) fn in_progress(&mut self, active: Active) {
        self.active = Some(active);
    }

    /// The endpoint of the try that begins.
    pub(super) fn to(&mut self, destination: &Arc<Destination>) {
        self.destination = Some(Arc::clone(destination));
        *self.met.get_mut() = false;
    }

    /// Where it is noted that this try has been put on a connection.
    pub(super) fn met(&self) -> &AtomicBool {
        &self.met
    }

    /// It may go on with another protocol, and is judged again then.
    pub(super) fn goes_on(&mut self, seen: Seen) {
        self.seen = Some(seen);
    }

    /// A try begins: what it tells its endpoint of the trace.
    pub(super) fn try_begins(&mut self, to: SocketAddr) -> Option<Told> {
        let trace = self.trace.as_mut()?;
        Some(trace.try_begins(to))
    }

    /// It has been answered with this status, or has failed.
    pub(super) fn try_ended(&mut self, how: impl FnOnce() -> Result<u16, String>) {
        if let Some(trace) = &mut self.trace {
            match how() {
                Ok(status) => trace.try_ended(Some(status), None),
                Err(error) => trace.try_ended(None, Some(error)),
            }
        }
    }

    /// Another try begins.
    pub(super) fn again(&mut self) {
        self.retries += 1;
    }

    /// No other try begins, though it would be worth it.
    pub(super) fn not_again(&mut self, spent: Spent) {
        self.before.spent = Some(spent);
    }

    /// How the client's body broke off, if it did.
    fn broke(&self) -> Option<Broke> {
        self.sent.as_ref()?.broke.get().copied()
    }

    /// It is answered by an endpoint, over this connection.
    pub(super) fn answered(&mut self, chosen: Try, lease: Lease) {
        self.answered = true;
        if let Some(kept) = &mut self.kept {
            kept.answered(self.began);
        }
        self.chosen = Some(chosen);
        self.lease = Some(lease);
    }

    /// Whether an endpoint has answered it.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Waits until policy refuses the client its endpoint.
    pub(super) async fn refused(&self) -> Refusal {
        let (Some(chosen), Some(seen)) = (&self.chosen, &self.seen) else {
            return std::future::pending().await;
        };
        let (asking, chosen) = (seen.asked_on(&self.call), &chosen.chosen);
        review::refused(&self.proxy, &asking, &chosen.destination, chosen.port).await
    }

    /// Waits until its connection has to end for want of memory, of which it holds some till then.
    pub(super) async fn ended(&self) -> Refusal {
        let _under_way = self.call.holder.begin();
        self.call.holder.ended().await;
        self.proxy.pressure.refusal()
    }

    /// It is answered here, for this reason.
    pub(super) fn fault(&mut self, fault: &Fault) {
        self.fault = Some(fault.clone());
    }

    /// Follows the answer to its end.
    pub(super) fn watch(mut self: Box<Self>, response: Response<Body>) -> Response<Body> {
        self.answer(&response);
        self.status = Some(response.status());
        self.grpc_status = headers::grpc_status(response.headers());
        response.map(|body| body.watched(self))
    }

    /// Its connection goes on with another protocol, after this answer.
    pub(super) fn goes_on_with(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// So much came from the client then, and so much went back.
    pub(super) fn carried(&mut self, came: u64, went: u64) {
        self.switched_bytes = came;
        self.answered_bytes = went;
    }

    /// That ended as it should.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }
}

impl Watch for Record {
    fn data(&mut self, bytes: &Bytes) {
        self.answered_bytes += bytes.len() as u64;
        if self.protocol == Protocol::Grpc {
            self.answered_messages += self.messages.ended_by(bytes);
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.grpc_status = headers::grpc_status(trailers).or(self.grpc_status);
        if let (Some(kept), Some(names)) = (&mut self.kept, self.telling.kept()) {
            kept.trailers(names, trailers);
        }
    }

    fn end(&mut self) {
        self.complete = true;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    fn broken(&mut self, error: &BodyError) {
        let fault = match error {
            BodyError::Broken(_) if let Some(broke) = self.broke() => Fault::of_client(broke),
            BodyError::Late => Fault::new(504, Flag::Timeout, "timeout", error.to_string()),
            BodyError::Broken(cause) => {
                // Its head was a success, and this is a failure: as Envoy counts.
                if let Some(Try { chosen, .. }) = &self.chosen {
                    self.proxy.verdicts.record(chosen, Outcome::Reset);
                }
                let flag = flag_of_reset(cause);
                Fault::new(502, flag, "upstream_reset", error.to_string())
            }
            BodyError::Abandoned => {
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
        self.tell();
    }
}
