//! A request, from its head to the end of its answer. [`answer`] is the story, in order:
//!
//! 1. [`plain`]: it has one reading only; [`headers::take_in`]: what belongs to one hop goes, as do [`sealed`]
//!    names, who called is noted; the path gets its normal form; [`hops`]: a request that goes in circles ends; [`authenticate`]: whose tokens it has; [`judge`]:
//!    by the policies that are bound to what was asked for
//! 2. [`find_rule`]: which rule of the service's routes it meets
//! 3. [`cors`], [`suffer`]: errors that the rule makes on purpose. Each of them may answer by itself
//! 4. [`choose`]: a backend by weight or [`session`], unless the rule answers by itself; what the backend
//!    changes of headers, so that the rule has the last word; [`before`]: the rule's filters, then the backend's
//!    others. Each of them may answer by itself
//! 5. [`tries::run`]: an endpoint and its policies; [`copies::send`]: copies for other services, which nobody
//!    waits for
//! 6. A connection, the answer's head; again where that is worth it
//! 7. [`after`]: filters of the answer
//! 8. [`record::Record`]: written when the last byte of the answer has gone by, or of the connection
//!    that goes on with another protocol ([`switch`])
//!
//! Refusals go the same way: [`local`] makes the answer, and it is recorded like any other.

pub(crate) mod authenticate;
mod client;
mod copies;
mod form;
pub(crate) mod hashed;
mod headers;
pub(crate) mod hops;
mod local;
pub(crate) mod malformed;
mod plain;
pub(crate) mod record;
pub(crate) mod sealed;
mod session;
mod switch;
mod time;
mod tries;

use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_model::{BackendTarget, Faults};
use ambit_route::{CorsHeaders, CorsVerdict, Covered, Direct, Filters, Found, Head, Rule, inject};
use http::header::UPGRADE;
use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Request, Response};
use hyper::body::{Body as _, Incoming};

use self::authenticate::Tokens;
use self::client::ToldClient;
use self::copies::Copy;
use self::hashed::Hashed;
use self::hops::Hops;
use self::local::{Fault, Flag};
use self::record::Record;
use self::sealed::Seal;
use self::session::Stay;
use self::switch::Switch;
use self::time::Time;
use crate::authorize::{Asking, Seen};
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
    let plain = plain::check(&head);
    let seal = Seal::of(&view);
    seal.take_in(&mut head.headers);
    headers::take_in(&mut head, call);
    let normal = plain::normalize(&mut head, proxy.normalization);
    let hops = Hops::take(&mut head.headers, call.client.is_waypoint);
    if let Some(switch) = &switch {
        switch.ask(&mut head);
    }
    let mut record = Record::begin(proxy, call, &head, began);
    let room = proxy.pressure.check().map_err(|full| Fault::of(&full));
    let checked = room.and(plain).and(normal).and_then(|()| hops.check());
    let checked = checked.and_then(|()| switch.as_ref().map_or(Ok(()), Switch::check));
    let checked = checked.and_then(|()| authenticate::of_asked(&view, call, &mut head));
    let checked = checked.and_then(|tokens| {
        let asking = Asking::request(call, &head, Some(&tokens));
        judge(proxy, &view, &asking).map(|()| tokens)
    });
    let routed = match checked {
        Ok(tokens) => route((proxy, &view), call, (&mut head, tokens), &mut record).await,
        Err(fault) => Err(fault),
    };
    record.sends_head(&head);
    let response = match routed {
        Ok(Onward::Send(mut plan)) => {
            plan.switches = switch.as_ref().is_some_and(Switch::is_passed_on);
            let is_asked = record.tells_client();
            plan.client = ToldClient::of(proxy, &call.client, is_asked, plan.is_clients_own);
            (plan.hops, plan.width) = (hops, width);
            if switch.is_some() {
                record.goes_on(plan.seen(&head));
            }
            let patience = proxy.bounds.patience.body;
            let body =
                (!body.is_end_stream()).then(|| Replayable::new(body, REPLAYED, patience, seal));
            if let Some(body) = &body {
                record.sends(body);
            }
            record.service(call.service_behind(&plan.to, &plan.view.mesh));
            record.goes_to(&plan.to);
            plan.hashed = Hashed::of(&plan.view, &plan.to, &head, call.client.address.ip());
            let mut copies = std::mem::take(&mut plan.copies);
            if switch.is_some() || hops.is_copy {
                copies.clear();
            }
            let going = (body, copies);
            match Box::pin(tries::run(proxy, call, &plan, &head, going, &mut record)).await {
                Ok(response) => after(response, &plan),
                Err(fault) => local::refuse(&fault, &head, switch.is_some(), &mut record),
            }
        }
        Ok(Onward::Answer(response)) => response,
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
    Answer(Response<Body>),
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
    /// Whose tokens it has.
    pub(crate) tokens: Tokens,
    cors: Option<CorsHeaders>,
    /// What is sent elsewhere beside it.
    copies: Vec<Copy>,
    /// What decides where endpoints are picked by a hash.
    pub(crate) hashed: Option<Hashed>,
    /// Its session, if the rule has sessions.
    pub(crate) session: Option<Stay>,
    /// Whether the client asks to go on with another protocol.
    pub(crate) switches: bool,
    /// How long it may take.
    pub(crate) time: Time,
    /// The request as it came, if its rule changes it: so it is judged.
    came: Option<Box<Parts>>,
    /// Whether a route of the client's own namespace leads it.
    is_led_by_client: bool,
    /// Whether such a route changes it: then it is judged as it is sent, too.
    is_clients_own: bool,
    /// What endpoints are told of the client.
    pub(crate) client: ToldClient,
    /// What it has come through.
    pub(crate) hops: Hops,
    /// How much of its answer may wait.
    pub(crate) width: Width,
}

/// A port of a service, or of one workload.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Any endpoint of it, or of a subset of these.
    Service(ambit_model::ServiceName, u16, Option<Arc<str>>),
    /// The workload that was asked for by its own address.
    Workload(Arc<crate::view::Destination>),
}

/// What policies say that are bound to what was asked for.
fn judge(proxy: &Proxy, view: &View, asking: &Asking<'_>) -> Result<(), Fault> {
    let admission = asking.before_routing(view);
    let admission = admission.map_err(|refusal| Fault::of(&refusal))?;
    asking.tell(proxy, &admission.dry_run);
    Ok(())
}

/// Steps 2 to 4. What is sent by a route that is the client's own is looked at last.
async fn route(
    on: (&Proxy, &Arc<View>),
    call: &Call,
    (head, tokens): (&mut Parts, Tokens),
    record: &mut Record,
) -> Result<Onward, Fault> {
    let onward = routed(on, call, (head, tokens), record).await?;
    if let Onward::Send(plan) = &onward {
        distrust(on.0, call, head, plan)?;
    }
    Ok(onward)
}

/// Who is judged must not write what is sent in place of what was judged: a request that a route of the
/// client's own namespace has changed is judged as it is sent, too. Tokens that were verified before that
/// cannot be, so that it is refused.
fn distrust(proxy: &Proxy, call: &Call, head: &Parts, plan: &Plan) -> Result<(), Fault> {
    if !plan.is_clients_own {
        return Ok(());
    }
    if authenticate::is_for_asked(&plan.view, call) {
        return Err(authenticate::changed_by_client());
    }
    let asking = Asking::request(call, head, Some(&plan.tokens));
    judge(proxy, &plan.view, &asking)
}

/// Which rule a request meets, what that does with it, and where it leads.
async fn routed(
    (proxy, view): (&Proxy, &Arc<View>),
    call: &Call,
    (head, tokens): (&mut Parts, Tokens),
    record: &mut Record,
) -> Result<Onward, Fault> {
    let mut plan = Plan::unrouted(view, call);
    plan.tokens = tokens;
    let Some(routes) = call.routes(view) else {
        return Ok(Onward::Send(plan));
    };
    let compiled = match &*routes {
        Routes::Http(compiled) => compiled,
        Routes::Tls(_) | Routes::Tcp(_) => return Ok(Onward::Send(plan)),
        Routes::Unusable => return Err(Fault::unroutable(call.unroutable().detail)),
    };
    let found = {
        let mut asked = Head::of(head);
        if compiled.asks_for_source() {
            asked.source = call.client.source(&view.mesh);
        }
        find_rule(compiled, &asked)?
    };
    let (rule, covered) = (Arc::clone(found.rule), found.covered);
    record.rule(&rule);
    // Of what the rule was found in: its writer may take it away while a fault lets the request wait.
    plan.is_led_by_client = call.has_own_routes(view);
    plan.is_clients_own = rule.changes_requests() && plan.is_led_by_client;
    plan.session = Stay::of(view, &found, &head.headers);
    plan.cors = match cors(&rule.filters, head) {
        Ok(cors) => cors,
        Err(answer) => return Ok(Onward::answered(answer)),
    };
    let mut waited = Duration::ZERO;
    if let Some(faults) = &rule.model.faults {
        // Of a client that leaves meanwhile this is what there is to tell.
        record.sends_head(head);
        waited = Box::pin(suffer(faults, &rule, record)).await?;
        // Endpoints may have come and gone meanwhile, and memory too.
        plan.view = proxy.view();
        proxy.pressure.check().map_err(|full| Fault::of(&full))?;
    }
    let goes_on = head.headers.contains_key(UPGRADE) || head.method == Method::CONNECT;
    if rule.changes_requests() && (!plan.view.policies.is_empty() || goes_on) {
        plan.came = Some(Box::new(head.clone()));
    }
    plan.time = Time::by(&rule.model, record.began() + waited);
    filtered(plan, rule, (head, covered), call)
}

/// A backend, and the filters: the rule's come after what the backend changes of headers, and have the last
/// word.
fn filtered(
    mut plan: Plan,
    rule: Arc<Rule>,
    (head, covered): (&mut Parts, Covered),
    call: &Call,
) -> Result<Onward, Fault> {
    let stays = plan.session.as_ref().and_then(Stay::backend);
    let chosen = match rule.answers() {
        true => None,
        false => Some(choose(&rule, stays)?),
    };
    let index = chosen.as_ref().map(|(index, _)| *index);
    let backend = index.and_then(|index| rule.backends.get(index));
    if let Some(backend) = backend {
        if let Err(answer) = cors(&backend.filters, head) {
            return Ok(Onward::answered(answer));
        }
        backend.filters.request_headers.apply(head);
    }
    rule.filters.request_headers.apply(head);
    if let Some(answer) = before(&rule.filters, rule.direct.as_ref(), head, covered, call)? {
        return Ok(Onward::Answer(plan.direct(answer, &rule)));
    }
    let mirrors = copies::asked(&rule.filters.mirrors, head);
    plan.copies.extend(mirrors);
    if let Some(backend) = backend {
        if let Some(answer) = before(&backend.filters, None, head, covered, call)? {
            return Ok(Onward::Answer(answer));
        }
        let mirrors = copies::asked(&backend.filters.mirrors, head);
        plan.copies.extend(mirrors);
    }
    if let Some((index, target)) = chosen {
        (plan.to, plan.backend, plan.rule) = (target, Some(index), Some(rule));
    }
    Ok(Onward::Send(plan))
}

impl Onward {
    /// It is answered, without a body.
    fn answered(answer: Response<()>) -> Self {
        Self::Answer(answer.map(|()| Body::empty()))
    }
}

impl Plan {
    /// A rule's own answer, with what the rule puts on all answers. A redirect goes as it is.
    fn direct(&self, mut answer: Response<Body>, rule: &Rule) -> Response<Body> {
        if rule.filters.redirect.is_none() {
            let headers = answer.headers_mut();
            rule.filters.response_headers.apply(headers);
            if let Some(cors) = &self.cors {
                cors.apply(headers);
            }
        }
        answer
    }

    /// What policies are asked about.
    fn asking<'a>(&'a self, call: &'a Call, head: &'a Parts) -> Asking<'a> {
        let came = self.came.as_deref().unwrap_or(head);
        let asking = Asking::request(call, came, Some(&self.tokens));
        asking.led_to(&self.to, self.is_led_by_client)
    }

    /// The same, to be kept.
    fn seen(&self, head: &Parts) -> Seen {
        Seen {
            head: self.came.as_deref().unwrap_or(head).clone(),
            tokens: self.tokens.clone(),
            to: self.to.clone(),
            is_led_by_client: self.is_led_by_client,
        }
    }

    /// Where a request goes that meets no rule.
    fn unrouted(view: &Arc<View>, call: &Call) -> Self {
        Self {
            view: Arc::clone(view),
            rule: None,
            backend: None,
            to: call.target(),
            tokens: Tokens::default(),
            cors: None,
            copies: Vec::new(),
            hashed: None,
            session: None,
            switches: false,
            time: Time::unbounded(clock::now()),
            came: None,
            is_led_by_client: false,
            is_clients_own: false,
            client: ToldClient::default(),
            hops: Hops::default(),
            width: Width::default(),
        }
    }
}

fn find_rule<'c>(compiled: &'c ambit_route::Compiled, head: &Head<'_>) -> Result<Found<'c>, Fault> {
    let found = compiled.find(head).ok_or_else(|| {
        let detail = format!("no route matches {} {}", head.method, head.path);
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

/// What the answer says to a browser; or the answer, to a preflight.
fn cors(filters: &Filters, head: &Parts) -> Result<Option<CorsHeaders>, Response<()>> {
    match filters
        .cors
        .as_ref()
        .map(|cors| cors.judge(&Head::of(head)))
    {
        Some(CorsVerdict::Preflight(answer)) => Err(answer),
        Some(CorsVerdict::Actual(headers)) => Ok(Some(headers)),
        None => Ok(None),
    }
}

/// The errors that a rule makes on purpose: how long the request has waited, if it goes on.
async fn suffer(faults: &Faults, rule: &Rule, record: &mut Record) -> Result<Duration, Fault> {
    let met = inject(faults, rand::random());
    if let Some(delay) = met.delay {
        record.delayed();
        tokio::time::sleep(delay).await;
    }
    match met.abort {
        Some(status) => Err(Fault::injected(&rule.model.name, status)),
        None => Ok(met.delay.unwrap_or_default()),
    }
}

/// The filters of a request that come after changes of headers, in the order of the model's fields, and the
/// rule's own answer after a redirect.
fn before(
    filters: &Filters,
    direct: Option<&Direct>,
    head: &mut Parts,
    covered: Covered,
    call: &Call,
) -> Result<Option<Response<Body>>, Fault> {
    if let Some(redirect) = &filters.redirect {
        let port = call.destination.port();
        let answer = redirect.answer(&Head::of(head), &Scheme::HTTP, port, covered);
        return Ok(Some(answer.map(|()| Body::empty())));
    }
    if let Some(direct) = direct {
        return Ok(Some(local::direct(direct, head)));
    }
    if let Some(rewrite) = &filters.rewrite {
        rewrite.apply(head, covered).map_err(|too_long| {
            Fault::new(414, Flag::None, "path_too_long", too_long.to_string())
        })?;
    }
    Ok(None)
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
        BackendTarget::Service { name, port, subset } => {
            let target = Target::Service(name.clone(), *port, subset.clone());
            Ok((index, target))
        }
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
    if let Some(hashed) = &plan.hashed {
        hashed.keep(response.headers_mut());
    }
    response
}

#[cfg(test)]
mod tests;
