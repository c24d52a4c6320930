//! A request, from its head to the end of its answer. [`answer`] is the story, in order:
//!
//! 1. [`plain`]: it has one reading only; [`headers::take_in`]: what belongs to one hop goes, as do [`sealed`]
//!    names, who called is noted; the path gets its normal form; [`hops`]: a request that goes in circles ends; [`authenticate`]: whose tokens it has; [`judge`]:
//!    by the policies that are bound to what was asked for
//! 2. [`find_rule`]: which rule of the service's routes it meets
//! 3. [`cors`], [`suffer`]: errors that the rule makes on purpose. Each of them may answer by itself. Who has waited is
//!    judged anew ([`judge_again`])
//! 4. [`choose`]: a backend by weight or [`session`], unless the rule answers by itself; what the backend
//!    changes of headers, so that the rule has the last word; [`before`]: the rule's filters, then the backend's
//!    others. Each of them may answer by itself
//! 5. [`tries::run`]: an endpoint and its policies; [`copies::send`]: copies for other services, which nobody
//!    waits for
//! 6. A connection, the answer's head; again where that is worth it
//! 7. [`Plan::after`]: filters of the answer
//! 8. [`record::Record`]: written when the last byte of the answer has gone by, or of the connection
//!    that goes on with another protocol ([`switch`])
//!
//! What is known of a request by each of these stages is a type of [`plan`].
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
mod plan;
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
use ambit_route::{
    Compiled, CorsHeaders, CorsVerdict, Covered, Direct, Filters, Found, Hand, Head, Rule,
    RuleBackend, inject,
};
use http::header::UPGRADE;
use http::request::Parts;
use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};

use self::authenticate::Tokens;
use self::client::ToldClient;
use self::copies::Copy;
use self::hashed::Hashed;
use self::hops::Hops;
use self::local::{Fault, Flag};
use self::plan::{Met, Plan, Routed, last_word};
use self::record::Record;
use self::sealed::Seal;
use self::session::Stay;
use self::switch::Switch;
use self::time::Time;
use crate::authorize::Asking;
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
        Err(fault) => {
            if fault.is_denied() {
                would_meet(&view, call, &head, &mut record);
            }
            Err(fault)
        }
    };
    record.sends_head(&head);
    let response = match routed {
        Ok(Onward::Send(routed, mut copies)) => {
            let is_asked = record.tells_client();
            let hand = routed.hand;
            let plan = Plan {
                hashed: Hashed::of(&routed.view, &routed.to, &head, call.client.address.ip()),
                switches: switch.as_ref().is_some_and(Switch::is_passed_on),
                client: ToldClient::of(proxy, &call.client, is_asked, hand),
                hops,
                width,
                routed: *routed,
            };
            let routed = &plan.routed;
            if switch.is_some() {
                record.goes_on(routed.seen(&head));
            }
            let patience = proxy.bounds.patience.body;
            let body =
                (!body.is_end_stream()).then(|| Replayable::new(body, REPLAYED, patience, seal));
            if let Some(body) = &body {
                record.sends(body);
            }
            record.service(call.service_behind(&routed.to, &routed.view.mesh));
            record.goes_to(&routed.to);
            if switch.is_some() || hops.is_copy {
                copies.clear();
            }
            let going = (body, copies);
            match Box::pin(tries::run(proxy, call, &plan, &head, going, &mut record)).await {
                Ok(response) => plan.after(response),
                Err(fault) => {
                    let answer = local::refuse(&fault, &head, switch.is_some(), &mut record);
                    plan.filtered(answer)
                }
            }
        }
        Ok(Onward::Answer(response)) => response,
        Ok(Onward::Refuse(fault, rule, cors)) => {
            let answer = local::refuse(&fault, &head, switch.is_some(), &mut record);
            last_word(&rule, cors.as_ref(), answer)
        }
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
    /// It is refused, after it has met a rule; and what its answer says to a browser.
    Refuse(Box<Fault>, Arc<Rule>, Option<CorsHeaders>),
    /// It goes on, and what is sent elsewhere beside it.
    Send(Box<Routed>, Vec<Copy>),
}

/// A port of a service, or of one workload.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Any endpoint of it, or of a subset of these.
    Service(ambit_model::ServiceName, u16, Option<Arc<str>>),
    /// The workload that was asked for by its own address.
    Workload(Arc<crate::view::Destination>),
}

impl Target {
    /// The namespace of a service.
    pub(crate) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Service(service, ..) => Some(&service.namespace),
            Self::Workload(_) => None,
        }
    }
}

/// What policies say that are bound to what was asked for.
fn judge(proxy: &Proxy, view: &View, asking: &Asking<'_>) -> Result<(), Fault> {
    let admission = asking.before_routing(view);
    let admission = admission.map_err(|refusal| Fault::of(&refusal))?;
    asking.tell(proxy, &admission.dry_run);
    Ok(())
}

/// The same of a request that was judged before and has waited since, by what holds now. What decides nothing has
/// been told.
fn judge_again(
    (before, now): (&View, &View),
    call: &Call,
    head: &mut Parts,
    tokens: Tokens,
) -> Result<Tokens, Fault> {
    let tokens = authenticate::again((before, now), call, head, tokens)?;
    let admission = Asking::request(call, head, Some(&tokens)).before_routing(now);
    match admission {
        Ok(_told) => Ok(tokens),
        Err(refusal) => Err(Fault::of(&refusal)),
    }
}

/// Steps 2 to 4. What is sent by a route that is the client's own is looked at last.
async fn route(
    on: (&Proxy, &Arc<View>),
    call: &Call,
    (head, tokens): (&mut Parts, Tokens),
    record: &mut Record,
) -> Result<Onward, Fault> {
    let onward = routed(on, call, (head, tokens), record).await?;
    if let Onward::Send(routed, _) = &onward {
        distrust(on.0, call, head, routed)?;
    }
    Ok(onward)
}

/// Who is judged must not write what is sent in place of what was judged: a request that a route of the
/// client's own namespace has changed is judged as it is sent, too. Tokens that were verified before that
/// cannot be, so that it is refused.
fn distrust(proxy: &Proxy, call: &Call, head: &Parts, routed: &Routed) -> Result<(), Fault> {
    if !routed.hand.is_changed_by_client() {
        return Ok(());
    }
    if authenticate::is_for_asked(&routed.view, call) {
        return Err(authenticate::changed_by_client());
    }
    let asking = Asking::request(call, head, Some(&routed.tokens));
    judge(proxy, &routed.view, &asking)
}

/// Which rule a request meets, what that does with it, and where it leads.
async fn routed(
    (proxy, view): (&Proxy, &Arc<View>),
    call: &Call,
    (head, mut tokens): (&mut Parts, Tokens),
    record: &mut Record,
) -> Result<Onward, Fault> {
    let unruled = |tokens| Routed {
        view: Arc::clone(view),
        to: call.target(),
        hand: Hand::Trusted,
        tokens,
        time: Time::unbounded(clock::now()),
        by: None,
    };
    let routes = call.routes(view);
    let compiled = match routes.as_deref() {
        Some(Routes::Http(compiled)) => compiled,
        None | Some(Routes::Tls(_) | Routes::Tcp(_)) => {
            return Ok(Onward::Send(Box::new(unruled(tokens)), Vec::new()));
        }
        Some(Routes::Unusable) => return Err(Fault::unroutable(call.unroutable().detail)),
    };
    let found = find_rule(compiled, &asked(compiled, view, call, head))?;
    let (rule, covered) = (Arc::clone(found.rule), found.covered);
    record.rule(&rule);
    // Of what the rule was found in: its writer may take it away while a fault lets the request wait.
    let client = call.client_of_own_routes(view).map(Arc::from);
    let session = Stay::of(view, &found, &head.headers);
    let cors = match cors(&rule.filters, head) {
        Ok(cors) => cors,
        Err(answer) => return Ok(Onward::answered(answer)),
    };
    let (mut view, mut waited) = (Arc::clone(view), Duration::ZERO);
    if let Some(faults) = &rule.model.faults {
        // Of a client that leaves meanwhile this is what there is to tell.
        record.sends_head(head);
        waited = match Box::pin(suffer(faults, &rule, record)).await {
            Ok(waited) => waited,
            // As in Envoy, in which faults go before what is said to browsers.
            Err(fault) => return Ok(Onward::Refuse(Box::new(fault), rule, None)),
        };
        // Endpoints may have come and gone meanwhile, and memory too, and what is bound to what was asked for.
        let before = std::mem::replace(&mut view, proxy.view());
        proxy.pressure.check().map_err(|full| Fault::of(&full))?;
        if !Arc::ptr_eq(&before, &view) {
            let judged = judge_again((&before, &view), call, head, tokens);
            tokens = judged.inspect_err(|fault| {
                if fault.is_denied() {
                    would_go_to(&rule, record);
                }
            })?;
        }
    }
    let goes_on = head.headers.contains_key(UPGRADE);
    let is_judged = !view.policies.is_empty() || goes_on;
    let came = (rule.changes_requests() && is_judged).then(|| Box::new(head.clone()));
    let time = Time::by(&rule.model, record.began() + waited);
    let met = Met {
        rule,
        covered,
        client,
        session,
        cors,
        came,
    };
    let filtered = match filtered(&met, head, call) {
        Ok(filtered) => filtered,
        Err(fault) => return Ok(Onward::Refuse(Box::new(fault), met.rule, met.cors)),
    };
    Ok(match filtered {
        Filtered::Answer(answer) => Onward::Answer(answer),
        Filtered::Goes(backend, to, copies) => {
            let routed = Routed {
                view,
                hand: met.hand(&to),
                to,
                tokens,
                time,
                by: Some((met, backend)),
            };
            Onward::Send(Box::new(routed), copies)
        }
    })
}

/// What the filters of a rule and a backend make of a request.
enum Filtered {
    /// It is answered here.
    Answer(Response<Body>),
    /// It goes to the backend of this index, which is this; and what is sent elsewhere beside it.
    Goes(usize, Target, Vec<Copy>),
}

/// A backend, and the filters: the rule's come after what the backend changes of headers, and have the last
/// word.
fn filtered(met: &Met, head: &mut Parts, call: &Call) -> Result<Filtered, Fault> {
    let (rule, covered) = (&*met.rule, met.covered);
    if rule.answers() {
        rule.filters.request_headers.apply(head);
        let answer = before(&rule.filters, rule.direct.as_ref(), head, covered, call)?;
        // There always is one: it has no backend.
        let answer = answer.ok_or_else(|| no_backend(rule))?;
        return Ok(Filtered::Answer(met.last_word(answer)));
    }
    let stays = met.session.as_ref().and_then(Stay::backend);
    let (index, backend, to) = choose(rule, stays)?;
    if let Err(answer) = cors(&backend.filters, head) {
        return Ok(Filtered::Answer(answer.map(|()| Body::empty())));
    }
    backend.filters.request_headers.apply(head);
    rule.filters.request_headers.apply(head);
    let mut copies = Vec::new();
    for filters in [&rule.filters, &backend.filters] {
        if let Some(answer) = before(filters, None, head, covered, call)? {
            return Ok(Filtered::Answer(met.last_word(answer)));
        }
        copies.extend(copies::asked(&filters.mirrors, head));
    }
    Ok(Filtered::Goes(index, to, copies))
}

impl Onward {
    /// It is answered, without a body.
    fn answered(answer: Response<()>) -> Self {
        Self::Answer(answer.map(|()| Body::empty()))
    }
}

/// The rule that a request would have met which is refused before, and where it would have gone: whoever
/// reads of the refusal sees what it was about.
fn would_meet(view: &View, call: &Call, head: &Parts, record: &mut Record) {
    match call.routes(view).as_deref() {
        None | Some(Routes::Tls(_) | Routes::Tcp(_)) => record.would_go_to(call.target()),
        Some(Routes::Unusable) => {}
        Some(Routes::Http(compiled)) => {
            if let Ok(found) = find_rule(compiled, &asked(compiled, view, call, head)) {
                record.rule(found.rule);
                would_go_to(found.rule, record);
            }
        }
    }
}

/// Where a rule would have led.
fn would_go_to(rule: &Rule, record: &mut Record) {
    if let Ok((_, _, to)) = choose(rule, None) {
        record.would_go_to(to);
    }
}

/// What routes look at.
fn asked<'a>(compiled: &Compiled, view: &'a View, call: &'a Call, head: &'a Parts) -> Head<'a> {
    let mut head = Head::of(head);
    if compiled.asks_for_source() {
        head.source = call.client.source(&view.mesh);
    }
    head
}

fn find_rule<'c>(compiled: &'c Compiled, head: &Head<'_>) -> Result<Found<'c>, Fault> {
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
        Some(status) => {
            would_go_to(rule, record);
            Err(Fault::injected(&rule.model.name, status))
        }
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

/// A backend by its session or else by weight, its index, and where it leads.
fn choose(rule: &Rule, stays: Option<usize>) -> Result<(usize, &RuleBackend, Target), Fault> {
    let by_weight = || {
        let chosen = rule.choose(rand::random())?;
        let mut backends = rule.backends.iter();
        backends.position(|backend| std::ptr::eq(backend, chosen))
    };
    let index = stays.or_else(by_weight);
    let chosen = index.and_then(|index| Some((index, rule.backends.get(index)?)));
    let (index, chosen) = chosen.ok_or_else(|| no_backend(rule))?;
    match &chosen.target {
        BackendTarget::Service { name, port, subset } => {
            let target = Target::Service(name.clone(), *port, subset.clone());
            Ok((index, chosen, target))
        }
        BackendTarget::Invalid { why } => {
            let detail = format!("{}: {why}", rule.model.name);
            Err(Fault::new(500, Flag::NoRoute, "invalid_backend", detail))
        }
    }
}

fn no_backend(rule: &Rule) -> Fault {
    let detail = format!("{} has no backend with a weight", rule.model.name);
    Fault::new(500, Flag::NoRoute, "no_backend", detail)
}

#[cfg(test)]
mod tests;
