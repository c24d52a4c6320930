//! On whose behalf a request comes: the tokens that it has, judged by the request authentications that hold
//! for it (`ambit_jwt`).
//!
//! Twice, both times on the request as the client sent it:
//!
//! - by those of what was asked for ([`of_asked`]), before it is routed. What that changes of the request is
//!   what filters and routes see: headers that are made of claims are there, tokens may be gone. Once more where a
//!   fault has let it wait and others judge by then ([`again`]).
//! - by those of the service that a route has led to, if another one was asked for, and of the workload that was
//!   chosen ([`Going::at_endpoint`]), for each try. What that changes is seen by that workload only.
//!
//! What the tokens say is kept for policies ([`Tokens`]).

use std::borrow::Cow;
use std::sync::Arc;

use ambit_decide::Reason;
use ambit_jwt::{Head, NotRemoved, Passed, Refusal};
use ambit_kit::clock;
use ambit_model::{PolicyName, Service, ServiceName, Workload};
use ambit_policy::Claims;
use ambit_route::Hand;
use http::request::Parts;

use super::local::{Fault, Flag};
use crate::call::{Asked, Call};
use crate::view::{Authenticator, Destination, View};

/// What is known of a request's tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    /// What they say, as policies ask for it, by rule.
    claims: Vec<Claims>,
    /// The namespaces whose request authentications say that of them.
    by: Vec<Arc<str>>,
    /// The request as it came, where a workload may judge it by its own rules.
    original: Option<Arc<Parts>>,
}

impl Tokens {
    /// What they say, by what was asked for. A policy that allows looks at the first, one that refuses at all.
    pub(crate) fn claims(&self) -> &[Claims] {
        &self.claims
    }

    /// Those of a request of which nobody has verified any.
    pub(super) fn unverified(head: &Parts) -> Self {
        Self {
            original: Some(Arc::new(head.clone())),
            ..Self::default()
        }
    }

    /// What they say in a namespace, whose policies do not go by what another one has verified: anybody may write who
    /// signs the tokens of his own services.
    fn claims_in(&self, view: &View, namespace: &str) -> &[Claims] {
        let mut by = self.by.iter();
        let counts = by.all(|by| **by == *namespace || view.unread.is_wide(by));
        if counts { &self.claims } else { &[] }
    }

    /// The same, with what they say by these authentications of a service or workload of a namespace, and the request
    /// as these change it if there are some. A bad token says nothing: it is refused before the request is sent there
    /// ([`Going::at_endpoint`]).
    pub(crate) fn at(
        &self,
        view: &View,
        (authentications, namespace): (&[PolicyName], &str),
        head: &Parts,
    ) -> (Cow<'_, [Claims]>, Option<Box<Parts>>) {
        let by = view.authenticators.of(authentications);
        let known = self.claims_in(view, namespace);
        let Some(Authenticator::Ready(verifier)) = by.map(AsRef::as_ref) else {
            return (Cow::Borrowed(known), None);
        };
        let original = self.original.as_deref().unwrap_or(head);
        let Ok(passed) = verifier.judge(&Head::of(original), clock::wall()) else {
            return (Cow::Borrowed(known), None);
        };
        let mut claims = known.to_vec();
        add_claims(&mut claims, &passed);
        let mut shown = Box::new(head.clone());
        // What cannot be changed is refused before it is sent.
        let _refused_later = passed.apply(&mut shown);
        (Cow::Owned(claims), Some(shown))
    }
}

fn add_claims(claims: &mut Vec<Claims>, passed: &Passed<'_>) {
    for found in passed.all_claims() {
        let found = Claims::in_words(found.in_words());
        if !claims.contains(&found) {
            claims.push(found);
        }
    }
}

/// The service that was asked for, as it is now: the connection may be older than what holds.
fn service_now<'v>(view: &'v View, asked: &'v Arc<Service>) -> &'v Arc<Service> {
    view.mesh.service(&asked.name).unwrap_or(asked)
}

/// The same of a workload.
fn workload_now<'v>(view: &'v View, asked: &'v Destination) -> &'v Arc<Workload> {
    let asked = &asked.workload;
    view.mesh.workload(&asked.uid).unwrap_or(asked)
}

/// The request authentications of what was asked for.
fn names_of_asked<'v>(view: &'v View, call: &'v Call) -> &'v [PolicyName] {
    match &call.asked {
        Asked::Service(service, _) => &service_now(view, service).authentications,
        Asked::Workload(asked) => &workload_now(view, asked).asked_authentications,
    }
}

/// What judges the tokens of requests for what was asked for, if something does.
fn asked<'v>(view: &'v View, call: &'v Call) -> Option<&'v Arc<Authenticator>> {
    view.authenticators.of(names_of_asked(view, call))
}

/// Whether tokens of requests for what was asked for are judged.
pub(super) fn is_for_asked(view: &View, call: &Call) -> bool {
    asked(view, call).is_some()
}

/// Whether tokens are judged of what comes on a connection: by what was asked for, or by an endpoint of it.
pub(crate) fn holds_for(view: &View, call: &Call) -> bool {
    match &call.asked {
        Asked::Service(service, _) => {
            holds_for_any(view, &service.name, Some(service_now(view, service)))
        }
        Asked::Workload(asked) => {
            let now = workload_now(view, asked);
            !now.asked_authentications.is_empty() || !now.authentications.is_empty()
        }
    }
}

/// Whether tokens are judged of what a route leads to a service for: by that, or by an endpoint of it.
pub(crate) fn holds_for_service(view: &View, name: &ServiceName) -> bool {
    holds_for_any(view, name, view.mesh.service(name))
}

fn holds_for_any(view: &View, name: &ServiceName, service: Option<&Arc<Service>>) -> bool {
    let of_endpoints = || {
        let mut endpoints = view.mesh.endpoints(name);
        endpoints.any(|workload| !workload.authentications.is_empty())
    };
    service.is_some_and(|service| !service.authentications.is_empty())
        || (view.authenticators.any_of_workloads() && of_endpoints())
}

/// Judges a request by what was asked for, and changes it accordingly.
pub(super) fn of_asked(view: &View, call: &Call, head: &mut Parts) -> Result<Tokens, Fault> {
    let may_be_led = || view.authenticators.any() && call.routes(view).is_some();
    let original = view.authenticators.any_of_workloads() || may_be_led();
    let mut tokens = Tokens {
        claims: Vec::new(),
        by: Vec::new(),
        original: original.then(|| Arc::new(head.clone())),
    };
    let Some(by) = asked(view, call) else {
        return Ok(tokens);
    };
    let passed = judged(by, head, head)?;
    add_claims(&mut tokens.claims, &passed);
    if !tokens.claims.is_empty() {
        let names = names_of_asked(view, call).iter();
        tokens.by = names.map(|name| Arc::clone(&name.namespace)).collect();
    }
    let changed = passed.apply(head);
    changed.map_err(|error| not_removed(&error))?;
    Ok(tokens)
}

/// The same of a request that was judged before and has waited since: once more, if by others than then.
pub(super) fn again(
    (before, now): (&View, &View),
    call: &Call,
    head: &mut Parts,
    tokens: Tokens,
) -> Result<Tokens, Fault> {
    let is_same = match (asked(before, call), asked(now, call)) {
        (None, None) => true,
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        _ => false,
    };
    if is_same {
        return Ok(tokens);
    }
    // Where it was judged, and has met a rule, it is kept as it came.
    if let Some(original) = tokens.original.as_deref() {
        head.clone_from(original);
    }
    of_asked(now, call, head)
}

/// A request, or a copy of one, on its way to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Going<'a> {
    pub(super) head: &'a Parts,
    pub(super) tokens: &'a Tokens,
    /// The service that a route has led it to, if another one was asked for.
    pub(super) led: Option<&'a ServiceName>,
    /// Whose hand has led it.
    pub(super) hand: Hand,
}

impl Going<'_> {
    /// Judges it by the service that it was led to, if that is another one than was asked for, and by the
    /// workload that it goes to; the request for that, if it is another one. Of what is behind another waypoint it is
    /// judged there. What a route of the client's own namespace has changed is refused: what would be verified is not
    /// what is sent. What a route of another namespace has changed has to be good as it is sent, too.
    pub(super) fn at_endpoint(
        self,
        view: &View,
        destination: &Destination,
    ) -> Result<Option<Box<Parts>>, Fault> {
        if destination.via.is_some() {
            return Ok(None);
        }
        let led = self.led.and_then(|led| view.mesh.service(led));
        let of_service = led.map_or(&[][..], |led| &led.authentications);
        let mut made: Option<Box<Parts>> = None;
        for names in [of_service, &destination.workload.authentications] {
            let Some(by) = view.authenticators.of(names) else {
                continue;
            };
            if self.hand.is_changed_by_client() {
                return Err(changed_by_client());
            }
            if self.hand.changes() {
                judged(by, self.head, self.head)?;
            }
            let original = self.tokens.original.as_deref().unwrap_or(self.head);
            let passed = judged(by, original, original)?;
            let changed = made.get_or_insert_with(|| Box::new(self.head.clone()));
            passed.apply(changed).map_err(|error| not_removed(&error))?;
        }
        Ok(made)
    }
}

/// That of a request whose tokens would be verified, had its client not a say in what is sent.
pub(super) fn changed_by_client() -> Fault {
    let what = "a route of the client's namespace changes requests whose tokens are verified";
    Fault::unroutable(what.to_owned())
}

/// The verdict on a request that was sent to `asked`.
fn judged<'v>(by: &'v Authenticator, head: &Parts, asked: &Parts) -> Result<Passed<'v>, Fault> {
    match by {
        Authenticator::Ready(verifier) => {
            let judged = verifier.judge(&Head::of(head), clock::wall());
            judged.map_err(|refusal| refused(&refusal, asked))
        }
        Authenticator::Refusing { name, why } => {
            let detail = format!("RequestAuthentication {name}: {why}");
            let reason = Reason::AuthenticationUnknown.word();
            // It passes by itself, and the client did nothing wrong.
            let fault = Fault::new(503, Flag::Denied, reason, detail);
            Err(fault.by(Some(name.clone())))
        }
    }
}

/// The answer to a request with a bad token. The realm is what was asked for, without the query, where a token
/// may stand.
fn refused(refusal: &Refusal, asked: &Parts) -> Fault {
    let seen = ambit_route::Head::of(asked);
    let authority = seen.authority.unwrap_or_default();
    let realm = format!("http://{authority}{}", seen.path);
    let reason = refusal.reason;
    let fault = Fault::new(
        reason.status().as_u16(),
        Flag::Denied,
        reason.word(),
        &*refusal.detail,
    );
    let challenge = refusal.challenge(&realm);
    fault
        .by(refusal.policy.clone())
        .saying(refusal.sentence, Some(challenge))
}

fn not_removed(error: &NotRemoved) -> Fault {
    Fault::malformed(error.to_string())
}

#[cfg(test)]
mod tests;
