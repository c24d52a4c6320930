//! A request, from its head to the end of its answer. [`answer`] is the story, in order:
//!
//! 1. [`headers::take_in`]: what belongs to one hop goes, who called is noted
//! 2. [`find_rule`]: which rule of the service's routes it meets
//! 3. [`before`]: the rule's filters, which may answer by themselves
//! 4. [`choose`]: a backend by weight, with filters of its own
//! 5. [`tries::run`]: an endpoint, a connection, the answer's head; again where that is worth it
//! 6. [`after`]: filters of the answer
//! 7. [`record::Record`]: written when the last byte of the answer has gone by
//!
//! Refusals go the same way: [`local`] makes the answer, and it is recorded like any other.

mod headers;
mod local;
pub(crate) mod record;
mod tries;

use std::sync::Arc;
use std::time::Instant;

use ambit_kit::clock;
use ambit_model::BackendTarget;
use ambit_route::{CorsHeaders, CorsVerdict, Covered, Filters, Found, Head, Rule};
use http::request::Parts;
use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};

use self::local::{Fault, Flag};
use self::record::Record;
use crate::call::Call;
use crate::http::body::Body;
use crate::http::replay::Replayable;
use crate::proxy::Proxy;
use crate::view::{Routes, View};

/// Bytes of a request's body that are kept for another try.
const REPLAYED: usize = 64 * 1024;

/// Answers one request of a client's connection.
pub(crate) async fn answer(
    proxy: &Arc<Proxy>,
    call: &Arc<Call>,
    request: Request<Incoming>,
) -> Response<Body> {
    let began = clock::now();
    let view = proxy.view.load_full();
    let (mut head, body) = request.into_parts();
    headers::take_in(&mut head, call);
    let mut record = Record::begin(proxy, call, &head, began);
    let routed = route(&view, call, &mut head, &mut record);
    let response = match routed {
        Ok(Onward::Send(plan)) => {
            let body = (!body.is_end_stream()).then(|| Replayable::new(body, REPLAYED));
            match Box::pin(tries::run(proxy, call, &plan, &head, body, &mut record)).await {
                Ok(response) => after(response, &plan),
                Err(fault) => local::refuse(&fault, &head, &mut record),
            }
        }
        Ok(Onward::Answer(response)) => response.map(|()| Body::empty()),
        Err(fault) => local::refuse(&fault, &head, &mut record),
    };
    record.watch(response)
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
    /// When the answer has to be complete.
    pub(crate) deadline: Option<Instant>,
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
    let plan = |rule, backend, to, cors, deadline| {
        Onward::Send(Plan {
            view: Arc::clone(view),
            rule,
            backend,
            to,
            cors,
            deadline,
        })
    };
    let Some(routes) = routes_of(view, call) else {
        return Ok(plan(None, None, call.target(), None, None));
    };
    let Routes::Http(compiled) = &*routes else {
        return Ok(plan(None, None, call.target(), None, None));
    };
    let found = find_rule(compiled, head)?;
    let (rule, covered) = (Arc::clone(found.rule), found.covered);
    record.rule(&rule);
    let cors = match before(&rule.filters, head, covered, call)? {
        Ok(cors) => cors,
        Err(answer) => return Ok(Onward::Answer(answer)),
    };
    let (index, target) = choose(&rule)?;
    let filters = rule.backends.get(index).map(|backend| &backend.filters);
    if let Some(filters) = filters
        && let Err(answer) = before(filters, head, covered, call)?
    {
        return Ok(Onward::Answer(answer));
    }
    let deadline = rule.model.timeout.map(|limit| record.began() + limit);
    Ok(plan(Some(rule), Some(index), target, cors, deadline))
}

/// The routes that hold for this client, if it asked for a service that has some.
fn routes_of(view: &View, call: &Call) -> Option<Arc<Routes>> {
    let (service, port) = call.service()?;
    let client = call.client.identity.as_ref().map(|id| id.namespace());
    view.routes(&service.name, port.service_port, client)
        .cloned()
}

fn find_rule<'c>(compiled: &'c ambit_route::Compiled, head: &Parts) -> Result<Found<'c>, Fault> {
    compiled.find(&Head::of(head)).ok_or_else(|| {
        let detail = format!("no route matches {} {}", head.method, head.uri.path());
        Fault::new(404, Flag::NoRoute, "no_route", detail)
    })
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

/// A backend by weight, and where it leads.
fn choose(rule: &Rule) -> Result<(usize, Target), Fault> {
    let chosen = rule.choose(rand::random()).ok_or_else(|| {
        let detail = format!("{} has no backend with a weight", rule.model.name);
        Fault::new(500, Flag::NoRoute, "no_backend", detail)
    })?;
    let index = rule
        .backends
        .iter()
        .position(|backend| std::ptr::eq(backend, chosen));
    let target = match &chosen.target {
        BackendTarget::Service { name, port } => Target::Service(name.clone(), *port),
        BackendTarget::Invalid { why } => {
            let detail = format!("{}: {why}", rule.model.name);
            return Err(Fault::new(500, Flag::NoRoute, "invalid_backend", detail));
        }
    };
    Ok((index.unwrap_or_default(), target))
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
