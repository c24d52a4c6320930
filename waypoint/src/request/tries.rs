//! Sending a request on: an endpoint, a connection, the head of the answer; and again, on another
//! endpoint, as often as that is worth it and allowed.
//!
//! Two things are no retries, and need no permission: a kept connection that turns out to be closed
//! before it took the request, and one that closes on an idempotent request without a byte of an
//! answer (RFC 9110, 9.2.2). Both are sent once more on a new connection to the same endpoint.

use std::sync::Arc;
use std::time::Instant;

use ambit_balance::{ActiveRetry, Ask, Backoff, Pick, RetryBudget};
use ambit_decide::at_waypoint;
use ambit_kit::clock;
use ambit_model::{AppProtocol, Retry, RetryOn, WorkloadUid};
use ambit_route::{TryOutcome, worth_another_try};
use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Uri};
use hyper::body::Incoming;

use super::headers;
use super::local::{Fault, Flag};
use super::record::Record;
use super::{Plan, Target};
use crate::call::Call;
use crate::http::body::Body;
use crate::http::replay::Replayable;
use crate::proxy::Proxy;
use crate::upstream::link::LinkError;
use crate::upstream::pool::{Lease, SendError, Version};
use crate::view::Destination;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Tries after the first where nobody has said how many, of requests that no endpoint took.
const UNTAKEN: u32 = 2;

/// One endpoint, chosen for one try.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) destination: Arc<Destination>,
    /// Counts as outstanding while this is kept.
    _pick: Option<Pick<WorkloadUid, Arc<Destination>>>,
    _retry: Option<ActiveRetry>,
}

/// A request on its way.
struct Sending<'a> {
    proxy: &'a Proxy,
    call: &'a Call,
    plan: &'a Plan,
    head: &'a Parts,
    body: Option<Replayable>,
}

/// Sends a request on until there is an answer to give.
pub(super) async fn run(
    proxy: &Proxy,
    call: &Call,
    plan: &Plan,
    head: &Parts,
    body: Option<Replayable>,
    record: &mut Record,
) -> Result<Response<Body>, Fault> {
    let sending = Sending {
        proxy,
        call,
        plan,
        head,
        body,
    };
    let written = plan
        .rule
        .as_ref()
        .and_then(|rule| rule.model.retry.as_ref());
    let default = unwritten();
    let retry = written.unwrap_or(&default);
    let budget = sending.budget();
    record.in_progress(budget.map(RetryBudget::request));
    let mut tried: Vec<WorkloadUid> = Vec::new();
    let mut permit = None;
    loop {
        let chosen = sending.choose(&tried, permit.take())?;
        record.to(&chosen.destination);
        let deadline = sending.deadline();
        let result = sending.once(&chosen.destination, deadline).await;
        let outcome = outcome_of(&result);
        let used = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        if !sending.is_worth(retry, outcome, used) {
            return sending.conclude(result, chosen, deadline, record);
        }
        permit = budget.and_then(RetryBudget::retry);
        let wait = backoff(retry).wait(used + 1, rand::random());
        let in_time = plan.deadline.is_none_or(|end| clock::now() + wait < end);
        if (budget.is_some() && permit.is_none()) || !in_time {
            return sending.conclude(result, chosen, deadline, record);
        }
        tried.push(chosen.destination.workload.uid.clone());
        record.again();
        drop((result, chosen));
        tokio::time::sleep(wait).await;
    }
}

impl Sending<'_> {
    fn budget(&self) -> Option<&Arc<RetryBudget>> {
        match &self.plan.to {
            Target::Service(name, _) => self.plan.view.budget(name),
            Target::Workload(_) => None,
        }
    }

    /// An endpoint that the client may call.
    fn choose(&self, tried: &[WorkloadUid], retry: Option<ActiveRetry>) -> Result<Try, Fault> {
        let (destination, pick) = match &self.plan.to {
            Target::Workload(destination) => (Arc::clone(destination), None),
            Target::Service(name, port) => {
                let no_endpoint =
                    |why: String| Fault::new(503, Flag::NoEndpoint, "no_endpoint", why);
                let endpoints = self.plan.view.endpoints(name, *port);
                let endpoints =
                    endpoints.ok_or_else(|| no_endpoint(format!("{name} has no port {port}")))?;
                let ask = Ask {
                    now: clock::now(),
                    random: rand::random(),
                    hash: None,
                    tried,
                };
                let pick = endpoints
                    .pick(&ask)
                    .map_err(|shortage| no_endpoint(format!("{name} port {port}: {shortage}")))?;
                (Arc::clone(&pick.endpoint().payload), Some(pick))
            }
        };
        let client = &self.call.client;
        at_waypoint(
            &self.plan.view.mesh,
            &destination.workload,
            client.address.ip(),
            destination.address,
            client.identity.as_ref(),
        )
        .map_err(|refusal| {
            let reason = refusal.reason.word();
            Fault::new(403, Flag::Denied, reason, refusal.to_string())
        })?;
        Ok(Try {
            destination,
            _pick: pick,
            _retry: retry,
        })
    }

    /// When this try has to be over.
    fn deadline(&self) -> Option<Instant> {
        let rule = self.plan.rule.as_ref();
        let limit = rule.and_then(|rule| rule.model.try_timeout);
        let of_try = limit.map(|limit| clock::now() + limit);
        [of_try, self.plan.deadline].into_iter().flatten().min()
    }

    /// One try, to the head of the answer.
    async fn once(
        &self,
        to: &Destination,
        deadline: Option<Instant>,
    ) -> Result<(Response<Incoming>, Lease), TryError> {
        let sending = self.send(to);
        match deadline {
            None => Ok(sending.await?),
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), sending).await {
                Ok(sent) => Ok(sent?),
                Err(_elapsed) => Err(TryError::Timeout),
            },
        }
    }

    async fn send(&self, to: &Destination) -> Result<(Response<Incoming>, Lease), SendError> {
        let version = self.version();
        let pool = &self.proxy.http;
        let first = pool.send(to, version, self.request(version), false).await;
        let again = match &first {
            Err(SendError::NotTaken(..)) => true,
            Err(SendError::Reset { reused: true, .. }) => self.head.method.is_idempotent(),
            _ => false,
        };
        if !again || !self.may_repeat() {
            return first;
        }
        pool.send(to, version, self.request(version), true).await
    }

    fn may_repeat(&self) -> bool {
        self.body.as_ref().is_none_or(Replayable::may_repeat)
    }

    /// How the endpoint is spoken to: as its port says, or else as the client spoke.
    fn version(&self) -> Version {
        let protocol = match &self.plan.to {
            Target::Service(name, number) => {
                let service = self.plan.view.mesh.service(name);
                let mut ports = service.into_iter().flat_map(|service| &service.ports);
                let port = ports.find(|port| port.service_port == *number);
                port.map_or(AppProtocol::Unknown, |port| port.app_protocol)
            }
            Target::Workload(_) => AppProtocol::Unknown,
        };
        match protocol {
            _ if headers::is_grpc(&self.head.headers) => Version::Http2,
            AppProtocol::Http2 | AppProtocol::Grpc => Version::Http2,
            AppProtocol::Http11 => Version::Http1,
            _ if self.head.version == http::Version::HTTP_2 => Version::Http2,
            _ => Version::Http1,
        }
    }

    /// The request in the form of that version.
    fn request(&self, version: Version) -> Request<Body> {
        let body = match &self.body {
            Some(body) => Body::replay(body.once()),
            None => Body::empty(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = self.head.headers.clone();
        let host = authority(self.head);
        match version {
            Version::Http1 => {
                *request.uri_mut() = origin_form(&self.head.uri);
                if let Some(host) = host {
                    request.headers_mut().insert(HOST, host);
                }
            }
            Version::Http2 => {
                *request.version_mut() = http::Version::HTTP_2;
                request.headers_mut().remove(HOST);
                *request.uri_mut() = absolute_form(&self.head.uri, host.as_ref());
            }
        }
        request
    }

    /// Whether a try that ended so is to be followed by another.
    fn is_worth(&self, retry: &Retry, outcome: Option<TryOutcome>, used: u32) -> bool {
        let Some(outcome) = outcome else { return false };
        used < retry.attempts
            && self.may_repeat()
            && worth_another_try(&retry.on, outcome, &self.head.method, false)
    }

    /// The answer to give after the last try.
    fn conclude(
        &self,
        result: Result<(Response<Incoming>, Lease), TryError>,
        chosen: Try,
        deadline: Option<Instant>,
        record: &mut Record,
    ) -> Result<Response<Body>, Fault> {
        let (mut response, lease) = result.map_err(TryError::fault)?;
        headers::take_back(response.headers_mut());
        record.answered(chosen, lease);
        Ok(response.map(|body| Body::incoming(body).until(deadline)))
    }
}

/// Why a try gave no answer.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the endpoint did not answer in time")]
    Timeout,
}

impl TryError {
    fn fault(self) -> Fault {
        let detail = self.to_string();
        match self {
            Self::Timeout => Fault::new(504, Flag::Timeout, "timeout", detail),
            Self::Send(SendError::Link(error)) => {
                let flag = match error {
                    LinkError::Unsupported(_) => Flag::NoEndpoint,
                    _ => Flag::ConnectFailure,
                };
                Fault::new(503, flag, error.word(), detail)
            }
            Self::Send(SendError::Handshake(..) | SendError::NotTaken(..)) => {
                Fault::new(503, Flag::ConnectFailure, "connect_failed", detail)
            }
            Self::Send(SendError::Reset { .. }) => {
                Fault::new(503, Flag::Reset, "upstream_reset", detail)
            }
        }
    }
}

fn outcome_of(result: &Result<(Response<Incoming>, Lease), TryError>) -> Option<TryOutcome> {
    Some(match result {
        Ok((response, _)) => TryOutcome::Response {
            status: response.status(),
            grpc_status: grpc_status(response.headers()),
        },
        Err(TryError::Timeout) => TryOutcome::Timeout,
        Err(TryError::Send(error)) => match error {
            SendError::Link(LinkError::Unsupported(_)) => return None,
            SendError::Link(_) | SendError::Handshake(..) => TryOutcome::ConnectFailure,
            SendError::NotTaken(..) => TryOutcome::RefusedStream,
            SendError::Reset { .. } => TryOutcome::Reset,
        },
    })
}

fn grpc_status(headers: &http::HeaderMap) -> Option<u16> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// What holds where no route says anything: what no endpoint took may go to another.
fn unwritten() -> Retry {
    Retry {
        attempts: UNTAKEN,
        backoff: None,
        on: RetryOn {
            connect_failure: true,
            refused_stream: true,
            ..RetryOn::default()
        },
    }
}

fn backoff(retry: &Retry) -> Backoff {
    retry
        .backoff
        .map_or_else(Backoff::default, Backoff::at_least)
}

/// The host that the request is for.
fn authority(head: &Parts) -> Option<HeaderValue> {
    let of_target = head.uri.authority().map(http::uri::Authority::as_str);
    let of_target = of_target.and_then(|host| HeaderValue::try_from(host).ok());
    of_target.or_else(|| head.headers.get(HOST).cloned())
}

/// Path and query alone.
fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    path.map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// With scheme and host, which HTTP/2 sends apart. A request without a host goes without.
fn absolute_form(uri: &Uri, host: Option<&HeaderValue>) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = host.and_then(|host| host.to_str().ok());
    let whole = host.and_then(|host| {
        let builder = Uri::builder().scheme("http").authority(host);
        builder.path_and_query(path).build().ok()
    });
    whole.unwrap_or_else(|| origin_form(uri))
}
