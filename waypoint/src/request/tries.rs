//! Sending a request on: an endpoint, a connection, the head of the answer; and again, on another
//! endpoint, as often as that is worth it and allowed.
//!
//! Two things are no retries, and need no permission: a kept connection that turns out to be closed
//! before it took the request, and one that closes on an idempotent request without a byte of an
//! answer (RFC 9110, 9.2.2). Both are sent once more on a new connection to the same endpoint. The
//! second only where no route says how often a request may be tried: what a route says holds exactly.
//!
//! Where no route says anything, what no endpoint took goes to another one, and to a third. That is
//! no load on anyone, so no budget limits it: when a pod ends, all requests that were about to go
//! there are in that case at once.
//!
//! The rule and where it leads stay as they were when the request came. Which endpoints there are, and
//! whether the client may go there, is asked anew for each try.

mod choose;
mod outcome;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambit_balance::Backoff;
use ambit_decide::Reason;
use ambit_kit::clock;
use ambit_model::{Retry, RetryOn, WorkloadUid};
use ambit_route::{TryOutcome, worth_another_try};
use http::header::UPGRADE;
use http::request::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;

use self::choose::Told;
pub(crate) use self::choose::Try;
pub(super) use self::outcome::flag_of_reset;
use self::outcome::{TryError, noted, outcome_of};
use super::Target;
use super::copies::{self, Copy};
use super::local::{Fault, Flag, Spent};
use super::plan::{Plan, Routed};
use super::record::Record;
use super::time::Clock;
use super::{form, headers};
use crate::authorize::Asking;
use crate::call::Call;
use crate::http::body::Body;
use crate::http::replay::{Came, Replayable};
use crate::outside::asked::{self, Asked, Words};
use crate::proxy::Proxy;
use crate::traces;
use crate::upstream::link::Width;
use crate::upstream::pool::{Lease, On, SendError, Version};
use crate::view::{Terms, View};

/// Tries after the first where nobody has said how many, of requests that no endpoint took.
const UNTAKEN: u32 = 2;

/// A request on its way.
struct Sending<'a> {
    proxy: &'a Proxy,
    call: &'a Call,
    plan: &'a Plan,
    routed: &'a Routed,
    head: &'a Parts,
    asking: Asking<'a>,
    body: Option<Replayable>,
    /// The endpoints that the client named.
    asked: Option<Asked>,
}

/// Sends a request on until there is an answer to give.
pub(super) async fn run(
    proxy: &Arc<Proxy>,
    call: &Arc<Call>,
    plan: &Plan,
    head: &Parts,
    (body, copies): (Option<Replayable>, Vec<Copy>),
    record: &mut Record,
) -> Result<Response<Body>, Fault> {
    let routed = &plan.routed;
    let sending = Sending {
        proxy,
        call,
        plan,
        routed,
        head,
        asking: routed.asking(call, head),
        body,
        asked: named(proxy, call, routed, head).await?,
    };
    let default = unwritten();
    let retry = sending.retry().unwrap_or(&default);
    let terms = sending.terms();
    if let Some(terms) = terms {
        let active = terms.flow.begin().ok_or_else(too_many)?;
        record.in_progress(active);
    }
    let limit = terms.filter(|terms| sending.retry().is_some() || says_how_many(terms));
    let mut tried: Vec<WorkloadUid> = Vec::new();
    let first = match sending.asked {
        // Who is where the client's host is has become known meanwhile.
        Some(_) => sending.choose(proxy.view(), &tried),
        None => sending.choose(Arc::clone(&routed.view), &tried),
    };
    let mut chosen = first.map_err(|why| Fault::of(&why))?;
    if !copies.is_empty() && sending.admits(&chosen) {
        copies::send(proxy, call, (plan, copies), sending.body.as_ref());
    }
    let mut asides = Told::default();
    loop {
        asides.tell(proxy, &sending.asking, &mut chosen);
        let destination = &chosen.chosen.destination;
        record.to(destination);
        record.speaks(|| sending.version(&chosen.view, head));
        let began = clock::now();
        let told = record.try_begins(destination.address);
        let result = sending.once(&chosen, began, (told, record.met())).await;
        record.try_ended(|| match &result {
            Ok((response, _)) => Ok(response.status().as_u16()),
            Err(error) => Err(error.to_string()),
        });
        let came = sending.came();
        let outcome = outcome_of(&result, came);
        if let Some(outcome) = noted(&result, came) {
            proxy.verdicts.record(&chosen.chosen, outcome);
        }
        let used = u32::try_from(tried.len()).unwrap_or(u32::MAX);
        let is_worth = sending.is_worth(retry, outcome);
        if !is_worth || used >= retry.attempts {
            let is_over = sending.clock().is_over_after(Duration::ZERO, clock::now());
            if is_worth && retry.attempts > 0 && !is_over {
                record.not_again(Spent::Tries);
            }
            return sending.conclude(result, chosen, began, record);
        }
        // A request takes one place in the budget, however often it is tried.
        let taken = chosen.retry.take();
        let permit = taken.or_else(|| limit.and_then(|terms| terms.flow.retry()));
        let wait = backoff(retry).wait(used + 1, rand::random());
        let is_over = sending.clock().is_over_after(wait, clock::now());
        let is_spent = limit.is_some() && permit.is_none();
        if is_spent || is_over {
            if is_spent {
                record.not_again(Spent::Budget);
            }
            return sending.conclude(result, chosen, began, record);
        }
        tried.push(destination.workload.uid.clone());
        // The answer that is there is better than our own that there is nobody else to ask.
        let Ok(next) = sending.choose(proxy.view(), &tried) else {
            return sending.conclude(result, chosen, began, record);
        };
        // More of the body may have gone by meanwhile than can be sent again.
        if !sending.takes_back() {
            return sending.conclude(result, chosen, began, record);
        }
        drop((result, chosen));
        tokio::time::sleep(wait).await;
        let next = sending.still(next, &tried).map_err(|why| Fault::of(&why))?;
        record.again();
        if let Some(terms) = terms {
            terms.flow.retries.fetch_add(1, Ordering::Relaxed);
        }
        chosen = Try {
            retry: permit,
            ..next
        };
    }
}

/// The endpoints that the host of the request stands for, where that is what says where to go.
async fn named(
    proxy: &Arc<Proxy>,
    call: &Call,
    routed: &Routed,
    head: &Parts,
) -> Result<Option<Asked>, Fault> {
    let host = form::authority(head);
    let host = host.as_ref().and_then(|host| host.to_str().ok());
    let words = Words::Request(host);
    let finding = asked::find(proxy, call, &routed.view, &routed.to, words);
    let found = routed.time.limit(Box::pin(finding)).await;
    let found = found.map_err(|_elapsed| TryError::LATE.fault())?;
    found.map_err(|why| Fault::of(&why))
}

impl Sending<'_> {
    /// The terms on which the request goes on, also where another waypoint stands before the service.
    fn terms(&self) -> Option<&Arc<Terms>> {
        let Target::Service(name, port, subset) = &self.routed.to else {
            return None;
        };
        let cluster = self.routed.view.cluster(name, *port, subset.as_deref());
        cluster.map(|cluster| &cluster.terms)
    }

    /// Takes the body back from the last try, if all of it can be sent once more.
    fn takes_back(&self) -> bool {
        let body = self.body.as_ref();
        body.is_none_or(Replayable::take_back)
    }

    /// How much time it has.
    fn clock(&self) -> Clock<'_> {
        Clock::new(self.routed.time, self.body.as_ref())
    }

    /// One try, to the head of the answer.
    async fn once(
        &self,
        to: &Try,
        began: Instant,
        (told, met): (Option<traces::Told>, &AtomicBool),
    ) -> Result<(Response<Incoming>, Lease), TryError> {
        let admitted = self.going().at_endpoint(&to.view, &to.chosen.destination);
        let admitted = admitted.map_err(|fault| TryError::Refused(Box::new(fault)))?;
        let head = admitted.as_deref().unwrap_or(self.head);
        let asks = AtomicBool::new(false);
        let sending = self.send(to, head, told, (&asks, met));
        tokio::select! {
            biased;
            sent = sending => {
                let (response, lease) = sent?;
                headers::check_framing(&response).map_err(TryError::Framing)?;
                Ok((response, lease))
            }
            of_try = self.clock().late(began, &asks) => Err(TryError::Timeout {
                asked: asks.load(Ordering::Relaxed),
                of_try,
            }),
        }
    }

    async fn send(
        &self,
        Try { chosen, view, .. }: &Try,
        head: &Parts,
        told: Option<traces::Told>,
        (asks, met): (&AtomicBool, &AtomicBool),
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let (to, terms) = (&chosen.destination, chosen.terms.as_ref());
        let version = self.version(view, head);
        let scheme = form::scheme(chosen);
        let request = || {
            let mut request = form::request(head, version, self.body(), &scheme);
            self.plan.hops.tell(to, request.headers_mut());
            let is_outside = to.is_outside();
            self.plan.client.write(is_outside, request.headers_mut());
            if let Some(told) = &told {
                told.write(request.headers_mut());
            }
            request
        };
        // Where there may be so many connections only, those of one width are all that there are.
        let is_bounded = terms.is_some_and(|terms| terms.policy.connections.connections.is_some());
        let width = match is_bounded {
            true => Width::Wide,
            false => self.plan.width,
        };
        let pool = self.proxy.http.of(width);
        let client = self.call.client.address.ip();
        let (asks, met) = (Some(asks), Some(met));
        let on = |fresh| On {
            fresh,
            terms,
            asks,
            met,
        };
        let first = pool.send(to, version, client, request(), on(false)).await;
        let again = match &first {
            Err(SendError::NotTaken { stale, .. }) => *stale,
            Err(SendError::Reset { reused: true, .. }) => {
                self.head.method.is_idempotent() && self.retry().is_none()
            }
            _ => false,
        };
        if !again || !self.takes_back() {
            return first;
        }
        pool.send(to, version, client, request(), on(true)).await
    }

    /// What an endpoint is spoken to in.
    fn version(&self, view: &View, head: &Parts) -> Version {
        match self.plan.switches {
            true => Version::Http1,
            false => form::version(view, &self.routed.to, head),
        }
    }

    fn body(&self) -> Body {
        let body = self.body.as_ref();
        body.map_or_else(Body::empty, |body| Body::replay(body.once()))
    }

    /// What the route says about retries.
    fn retry(&self) -> Option<&Retry> {
        self.routed.met()?.rule.model.retry.as_ref()
    }

    /// How far the client's request has come.
    fn came(&self) -> Came {
        self.body.as_ref().map_or(Came::Whole, Replayable::came)
    }

    fn may_repeat(&self) -> bool {
        self.body.as_ref().is_none_or(Replayable::may_repeat)
    }

    /// Whether a try that ended so is to be followed by another, if there may be one more.
    fn is_worth(&self, retry: &Retry, outcome: Option<TryOutcome>) -> bool {
        let Some(outcome) = outcome else { return false };
        self.may_repeat()
            && worth_another_try(
                &retry.on,
                outcome,
                &self.head.method,
                self.proxy.idempotent_only,
            )
    }

    /// Why there is no answer. A connection that ended because the client's body broke is the
    /// client's doing.
    fn fault(&self, error: TryError) -> Fault {
        let body = self.body.as_ref();
        match body.and_then(Replayable::broke) {
            Some(broke) if error.is_reset() => Fault::of_client(broke),
            _ => error.fault(),
        }
    }

    /// The answer to give after the last try.
    fn conclude(
        &self,
        result: Result<(Response<Incoming>, Lease), TryError>,
        chosen: Try,
        tried: Instant,
        record: &mut Record,
    ) -> Result<Response<Body>, Fault> {
        let (mut response, lease) = result.map_err(|error| self.fault(error))?;
        if let Some(body) = &self.body {
            body.answered();
        }
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches && !self.plan.switches {
            let detail = "the endpoint wants to go on with another protocol, unasked";
            return Err(Fault::new(502, Flag::Reset, "upstream_reset", detail));
        }
        // The client is told our version, not the endpoint's: that decides how it reads the body.
        *response.version_mut() = http::Version::HTTP_11;
        let headers = response.headers_mut();
        let protocol = headers.get(UPGRADE).filter(|_| switches).cloned();
        headers::take_back(headers);
        headers.extend(protocol.map(|protocol| (UPGRADE, protocol)));
        if let Some(session) = self.routed.session() {
            session.keep(response.headers_mut(), &chosen.chosen.destination);
        }
        let due = self.clock().due(tried);
        record.answered(chosen, lease);
        Ok(response.map(|body| Body::incoming(body).until(due)))
    }
}

/// Whether somebody says how many retries there may be, which then holds for all.
fn says_how_many(terms: &Terms) -> bool {
    let bounds = &terms.policy.connections;
    bounds.retries.is_some() || bounds.retry_share.is_some()
}

fn too_many() -> Fault {
    let detail = "as many requests to the service are under way as may be";
    Fault::new(503, Flag::Overflow, Reason::RequestOverflow.word(), detail)
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

#[cfg(test)]
mod tests;
