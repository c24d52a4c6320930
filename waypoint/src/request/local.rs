//! Answers of our own: a request that goes nowhere, and why.

mod flag;

use std::sync::Arc;

use ambit_decide::{Reason, Refusal};
use ambit_model::{AbortStatus, PolicyName};
use ambit_route::Direct;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Response, StatusCode};

pub(crate) use self::flag::{Before, Flag, Spent};
use super::headers;
use super::record::Record;
use crate::http::body::Body;
use crate::http::replay::Broke;

/// What clients of Envoy know a refusal by policy by.
const RBAC: &str = "RBAC: access denied";

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A request that is answered here, and why.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) flag: Flag,
    /// The stable word for it, one of [`Reason`]'s.
    pub(crate) reason: &'static str,
    /// What happened, for a person.
    pub(crate) detail: String,
    /// The policy that wants it so.
    pub(crate) policy: Option<PolicyName>,
    /// Which of its rules, if it has such.
    pub(crate) rule: Option<usize>,
    /// The code of gRPC, if it is not the one that belongs to the status.
    grpc: Option<u16>,
    /// What the client is told, if not the reason.
    pub(super) said: Option<&'static str>,
    /// How it is to prove itself. Apart, because few faults have it and all are passed on by value.
    challenge: Option<Box<HeaderValue>>,
}

impl Fault {
    /// One with this status.
    pub(crate) fn new(
        status: u16,
        flag: Flag,
        reason: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        debug_assert!(
            Reason::from_word(reason).is_some(),
            "`{reason}` is not in the table of reasons"
        );
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            flag,
            reason,
            detail: detail.into(),
            policy: None,
            rule: None,
            grpc: None,
            said: None,
            challenge: None,
        }
    }

    /// That of a request that is malformed.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        let word = Reason::MalformedRequest.word();
        Self::new(400, Flag::Malformed, word, detail)
    }

    /// The same, made by an object.
    pub(super) fn by(self, policy: Option<PolicyName>) -> Self {
        Self { policy, ..self }
    }

    /// The same, of which the client is told this, and how it is to prove itself.
    pub(super) fn saying(self, said: &'static str, challenge: Option<HeaderValue>) -> Self {
        Self {
            said: Some(said),
            challenge: challenge.map(Box::new),
            ..self
        }
    }

    /// Whether it is refused for who asks, or what for.
    pub(super) fn is_denied(&self) -> bool {
        self.flag == Flag::Denied
    }

    /// Whether an authorization policy refuses it.
    pub(super) fn is_by_policy(&self) -> bool {
        let by_policy = [Reason::PolicyDenied, Reason::NoMatchingAllow];
        by_policy.iter().any(|reason| reason.word() == self.reason)
    }

    /// That of a rule that makes errors on purpose.
    pub(super) fn injected(rule: &str, with: AbortStatus) -> Self {
        let (status, grpc) = match with {
            AbortStatus::Http(status) => (status, None),
            AbortStatus::Grpc(code) => (http_status(code), Some(code)),
        };
        let detail = format!("{rule} aborts a share of its requests");
        let reason = Reason::FaultInjected.word();
        Self {
            grpc,
            ..Self::new(status, Flag::Injected, reason, detail)
        }
    }

    /// That of a client whose body broke off.
    pub(super) fn of_client(broke: Broke) -> Self {
        let detail = broke.to_string();
        match broke {
            Broke::Left => Self::new(400, Flag::ClientLeft, "malformed_request", detail),
            Broke::Malformed(fault) => {
                Self::new(fault.status(), Flag::Malformed, fault.word(), detail)
            }
            Broke::Late => Self::new(408, Flag::Idle, "slow_request", detail),
        }
    }

    /// That of routes, or a rule, that cannot be used.
    pub(super) fn unroutable(detail: String) -> Self {
        Self::new(500, Flag::NoRoute, Reason::InvalidRoute.word(), detail)
    }

    /// That of a refusal: no endpoint can be gone to, or this client may not.
    pub(super) fn of(refusal: &Refusal) -> Self {
        let reason = refusal.reason;
        let fault = match reason {
            Reason::NoEndpoint | Reason::NoWaypoint => {
                Self::new(503, Flag::NoEndpoint, reason.word(), &*refusal.detail)
            }
            Reason::UnknownSubset => {
                Self::new(503, Flag::NoSubset, reason.word(), &*refusal.detail)
            }
            Reason::Overloaded => Self::new(503, Flag::Overloaded, reason.word(), &*refusal.detail),
            // As where no route is for the host.
            Reason::OutsideHost => Self::new(404, Flag::NoRoute, reason.word(), &*refusal.detail),
            Reason::OutsideName | Reason::OutsideUnknown => {
                Self::new(503, Flag::NoEndpoint, reason.word(), &*refusal.detail)
            }
            // It passes by itself, and the client did nothing wrong.
            Reason::PoliciesUnknown => {
                Self::new(503, Flag::Denied, reason.word(), refusal.to_string())
            }
            _ => Self::new(403, Flag::Denied, reason.word(), refusal.to_string()),
        };
        Self {
            policy: refusal.policy.clone(),
            rule: refusal.rule,
            ..fault
        }
    }
}

/// The answer to a request that goes nowhere. A gRPC client gets it in its own form, unless it asks to
/// go on with another protocol: that form has a status that would agree.
pub(super) fn refuse(
    fault: &Fault,
    head: &Parts,
    switches: bool,
    record: &mut Record,
) -> Response<Body> {
    record.fault(fault);
    // The client learns the reason, the log the detail: that names objects of others.
    let (message, text) = match fault.said {
        Some(said) => (said, said.to_owned()),
        None if fault.is_by_policy() => (RBAC, RBAC.to_owned()),
        None => (fault.reason, format!("{}\n", fault.reason)),
    };
    let mut response = Response::new(Body::empty());
    let fields = response.headers_mut();
    if let Some(challenge) = &fault.challenge {
        fields.insert(WWW_AUTHENTICATE, HeaderValue::clone(challenge));
    }
    if headers::is_grpc(&head.headers) && !switches {
        let code = fault.grpc.unwrap_or_else(|| grpc_code(fault.status));
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.insert(headers::GRPC_STATUS, HeaderValue::from(code));
        fields.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
        return response;
    }
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    *response.status_mut() = fault.status;
    if head.method != http::Method::HEAD {
        *response.body_mut() = Body::whole(text);
    }
    response
}

/// The answer that a rule gives by itself.
pub(super) fn direct(direct: &Direct, head: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = direct.status;
    if !direct.body.is_empty() {
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if head.method != http::Method::HEAD {
            *response.body_mut() = Body::whole(Bytes::from_owner(Arc::clone(&direct.body)));
        }
    }
    response
}

/// The code of gRPC for a status of HTTP, as gRPC's own table has it.
pub(super) fn grpc_code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// The status of HTTP that is closest to a code of gRPC, as Envoy has it.
fn http_status(code: u16) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests;
