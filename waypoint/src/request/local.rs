//! Answers of our own: a request that goes nowhere, and why.

use ambit_decide::{Reason, Refusal};
use ambit_model::PolicyName;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};

use super::headers;
use super::record::Record;
use crate::http::body::Body;
use crate::http::replay::Broke;

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Why an answer is ours, in Envoy's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Nothing to say.
    None,
    /// No route.
    NoRoute,
    /// No endpoint.
    NoEndpoint,
    /// No connection to an endpoint.
    ConnectFailure,
    /// The connection broke before the answer.
    Reset,
    /// The time was over.
    Timeout,
    /// Policy.
    Denied,
    /// The client sent something else than HTTP.
    Malformed,
    /// The client did not wait for the end.
    ClientLeft,
    /// There is no memory left for it.
    Overloaded,
}

impl Flag {
    /// The letters.
    pub(crate) fn letters(self) -> &'static str {
        match self {
            Self::None | Self::Denied => "-",
            Self::NoRoute => "NR",
            Self::NoEndpoint => "UH",
            Self::ConnectFailure => "UF",
            Self::Reset => "UC",
            Self::Timeout => "UT",
            Self::Malformed => "DPE",
            Self::ClientLeft => "DC",
            Self::Overloaded => "OM",
        }
    }
}

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
            Broke::Late => Self::new(408, Flag::Malformed, "slow_request", detail),
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
            Reason::Overloaded => Self::new(503, Flag::Overloaded, reason.word(), &*refusal.detail),
            // It passes by itself, and the client did nothing wrong.
            Reason::PoliciesUnknown => {
                Self::new(503, Flag::Denied, reason.word(), refusal.to_string())
            }
            _ => Self::new(403, Flag::Denied, reason.word(), refusal.to_string()),
        };
        Self {
            policy: refusal.policy.clone(),
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
    let text = format!("{}\n", fault.reason);
    let mut response = Response::new(Body::empty());
    let fields = response.headers_mut();
    if headers::is_grpc(&head.headers) && !switches {
        let code = grpc_code(fault.status);
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.insert(headers::GRPC_STATUS, HeaderValue::from(code));
        fields.insert(GRPC_MESSAGE, HeaderValue::from_static(fault.reason));
        return response;
    }
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    *response.status_mut() = fault.status;
    if head.method != http::Method::HEAD {
        *response.body_mut() = Body::whole(text);
    }
    response
}

/// The code of gRPC for a status of HTTP, as gRPC's own table has it.
fn grpc_code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests;
