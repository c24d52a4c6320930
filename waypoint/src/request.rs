//! A request, from its head to the end of its answer. [`answer`] is the story, in order:
//!
//! 1. [`headers::take_in`]: what belongs to one hop goes, who called is noted; the path gets its normal
//!    form; [`hops`]: a request that goes in circles ends
//! 2. [`find_rule`]: which rule of the service's routes it meets
//! 3. [`before`]: the rule's filters, which may answer by themselves
//! 4. [`choose`]: a backend by weight or [`session`], with filters of its own
//! 5. [`copies::send`]: copies for other services, which nobody waits for
//! 6. [`tries::run`]: an endpoint, a connection, the answer's head; again where that is worth it
//! 7. [`after`]: filters of the answer
//! 8. [`record::Record`]: written when the last byte of the answer has gone by, or of the connection
//!    that goes on with another protocol ([`switch`])
//!
//! Refusals go the same way: [`local`] makes the answer, and it is recorded like any other.

mod copies;
mod form;
mod headers;
pub(crate) mod hops;
mod local;
pub(crate) mod malformed;
pub(crate) mod record;
mod session;
mod switch;
mod tries;

use std::sync::Arc;
use std::time::Instant;

use ambit_kit::clock;
use ambit_model::BackendTarget;
use ambit_route::{CorsHeaders, CorsVerdict, Covered, Filters, Found, Head, Rule, normalize};
use http::request::Parts;
use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};

use self::copies::Copy;
use self::hops::Hops;
use self::local::{Fault, Flag};
use self::record::Record;
use self::session::Stay;
use self::switch::Switch;
use crate::call::Call;
use crate::http::body::Body;
use crate::http::replay::Replayable;
use crate::proxy::Proxy;
use crate::upstream::link::Width;
use crate::view::{Routes, View};

/// Bytes of a request's body that are kept for another try.
const REPLAYED: usize = 64 * 1024;

/// Answers one request of a client's connection.
pub(crate) async fn answer(
    proxy: &Arc<Proxy>,
    call: &Arc<Call>,
    mut request: Request<Incoming>,
    width: Width,
) -> Response<Body> {
    let began = clock::now();
    let view = proxy.view();
    let switch = Switch::asked(&mut request);
    let (mut head, body) = request.into_parts();
    headers::take_in(&mut head, call);
    normalize(&mut head);
    let hops = Hops::take(&mut head.headers, call.client.is_waypoint);
    if let Some(switch) = &switch {
        switch.ask(&mut head);
    }
    let mut record = Record::begin(proxy, call, &head, began);
    let room = proxy.pressure.check().map_err(|full| Fault::of(&full));
    let checked = room.and_then(|()| hops.check());
    let routed = checked.and_then(|()| route(&view, call, &mut head, &mut record));
    let response = match routed {
        Ok(Onward::Send(mut plan)) => {
            plan.switches = switch.as_ref().is_some_and(Switch::is_passed_on);
            (plan.hops, plan.width) = (hops, width);
            let patience = proxy.bounds.patience.body;
            let body = (!body.is_end_stream()).then(|| Replayable::new(body, REPLAYED, patience));
            if let Some(body) = &body {
                record.sends(body);
            }
            record.service(call.service_behind(&plan.to, &view.mesh));
            if !plan.copies.is_empty() && switch.is_none() && !hops.is_copy {
                copies::send(proxy, call, &mut plan, body.as_ref());
            }
            match Box::pin(tries::run(proxy, call, &plan, &head, body, &mut record)).await {
                Ok(response) => after(response, &plan),
                Err(fault) => local::refuse(&fault, &head, switch.is_some(), &mut record),
            }
        }
        Ok(Onward::Answer(response)) => response.map(|()| Body::empty()),
        Err(fault) => local::refuse(&fault, &head, switch.is_some(), &mut record),
    };
    match switch {
        Some(switch) => switch.answer(proxy, response, record),
        None => record.watch(response),
    }
}

/// What becomes of a request before anything is sent.
enum Onward {
    /// It is answered here.
    Answer(Response<()>),
    /// It goes on.
    Send(Plan),
}

/// Where a request goes, and what is done with its answer.
pub(crate) struct Plan {
    pub(crate) view: Arc<View>,
    /// The rule that it met, if the service has routes.
    pub(crate) rule: Option<Arc<Rule>>,
    /// Index of the backend among the rule's.
    backend: Option<usize>,
    pub(crate) to: Target,
    cors: Option<CorsHeaders>,
    /// What is sent elsewhere beside it.
    copies: Vec<Copy>,
    /// Its session, if the rule has sessions.
    pub(crate) session: Option<Stay>,
    /// Whether the client asks to go on with another protocol.
    pub(crate) switches: bool,
    /// When the answer has to be complete.
    pub(crate) deadline: Option<Instant>,
    /// What it has come through.
    pub(crate) hops: Hops,
    /// How much of its answer may wait.
    pub(crate) width: Width,
}

/// A port of a service, or of one workload.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Any endpoint of it.
    Service(ambit_model::ServiceName, u16),
    /// The workload that was asked for by its own address.
    Workload(Arc<crate::view::Destination>),
}

/// Steps 2 to 4.
fn route(
    view: &Arc<View>,
    call: &Call,
    head: &mut Parts,
    record: &mut Record,
) -> Result<Onward, Fault> {
    let mut plan = Plan::unrouted(view, call);
    let Some(routes) = call.routes(view) else {
        return Ok(Onward::Send(plan));
    };
    let compiled = match &*routes {
        Routes::Http(compiled) => compiled,
        Routes::Tls(_) | Routes::Tcp(_) => return Ok(Onward::Send(plan)),
        Routes::Unusable => return Err(Fault::unroutable(call.unroutable().detail)),
    };
    let found = find_rule(compiled, head)?;
    let (rule, covered) = (Arc::clone(found.rule), found.covered);
    record.rule(&rule);
    plan.session = Stay::of(view, &found, &head.headers);
    plan.cors = match before(&rule.filters, head, covered, call)? {
        Ok(cors) => cors,
        Err(answer) => return Ok(Onward::Answer(answer)),
    };
    let mirrors = copies::asked(&rule.filters.mirrors, head);
    plan.copies.extend(mirrors);
    let stays = plan.session.as_ref().and_then(Stay::backend);
    let (index, target) = choose(&rule, stays)?;
    if let Some(backend) = rule.backends.get(index) {
        if let Err(answer) = before(&backend.filters, head, covered, call)? {
            return Ok(Onward::Answer(answer));
        }
        let mirrors = copies::asked(&backend.filters.mirrors, head);
        plan.copies.extend(mirrors);
    }
    plan.deadline = rule.model.timeout.map(|limit| record.began() + limit);
    (plan.to, plan.backend, plan.rule) = (target, Some(index), Some(rule));
    Ok(Onward::Send(plan))
}

impl Plan {
    /// Where a request goes that meets no rule.
    fn unrouted(view: &Arc<View>, call: &Call) -> Self {
        Self {
            view: Arc::clone(view),
            rule: None,
            backend: None,
            to: call.target(),
            cors: None,
            copies: Vec::new(),
            session: None,
            switches: false,
            deadline: None,
            hops: Hops::default(),
            width: Width::default(),
        }
    }
}

fn find_rule<'c>(compiled: &'c ambit_route::Compiled, head: &Parts) -> Result<Found<'c>, Fault> {
    let found = compiled.find(&Head::of(head)).ok_or_else(|| {
        let detail = format!("no route matches {} {}", head.method, head.uri.path());
        Fault::new(404, Flag::NoRoute, "no_route", detail)
    })?;
    match &found.rule.broken {
        None => Ok(found),
        Some(problem) => {
            let name = &found.rule.model.name;
            Err(Fault::unroutable(format!("{name}: {problem}")))
        }
    }
}

/// The filters of a request, in the order of the model's fields. The inner error is an answer.
fn before(
    filters: &Filters,
    head: &mut Parts,
    covered: Covered,
    call: &Call,
) -> Result<Result<Option<CorsHeaders>, Response<()>>, Fault> {
    let mut cors = None;
    if let Some(policy) = &filters.cors {
        match policy.judge(&Head::of(head)) {
            CorsVerdict::Preflight(answer) => return Ok(Err(answer)),
            CorsVerdict::Actual(headers) => cors = Some(headers),
        }
    }
    filters.request_headers.apply(head);
    if let Some(redirect) = &filters.redirect {
        let port = call.destination.port();
        let answer = redirect.answer(&Head::of(head), &Scheme::HTTP, port, covered);
        return Ok(Err(answer));
    }
    if let Some(rewrite) = &filters.rewrite {
        rewrite.apply(head, covered).map_err(|too_long| {
            Fault::new(414, Flag::None, "path_too_long", too_long.to_string())
        })?;
    }
    Ok(Ok(cors))
}

/// A backend by its session or else by weight, and where it leads.
fn choose(rule: &Rule, stays: Option<usize>) -> Result<(usize, Target), Fault> {
    let by_weight = || {
        let chosen = rule.choose(rand::random())?;
        let mut backends = rule.backends.iter();
        backends.position(|backend| std::ptr::eq(backend, chosen))
    };
    let index = stays.or_else(by_weight);
    let chosen = index.and_then(|index| Some((index, rule.backends.get(index)?)));
    let (index, chosen) = chosen.ok_or_else(|| {
        let detail = format!("{} has no backend with a weight", rule.model.name);
        Fault::new(500, Flag::NoRoute, "no_backend", detail)
    })?;
    match &chosen.target {
        BackendTarget::Service { name, port } => Ok((index, Target::Service(name.clone(), *port))),
        BackendTarget::Invalid { why } => {
            let detail = format!("{}: {why}", rule.model.name);
            Err(Fault::new(500, Flag::NoRoute, "invalid_backend", detail))
        }
    }
}

/// The filters of an answer: the backend's, then the rule's.
fn after(mut response: Response<Body>, plan: &Plan) -> Response<Body> {
    if let Some(rule) = &plan.rule {
        let backend = plan.backend.and_then(|index| rule.backends.get(index));
        let headers = response.headers_mut();
        if let Some(backend) = backend {
            backend.filters.response_headers.apply(headers);
        }
        rule.filters.response_headers.apply(headers);
        if let Some(cors) = &plan.cors {
            cors.apply(headers);
        }
    }
    response
}

#[cfg(test)]
mod tests;
