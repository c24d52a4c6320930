//! What a rule of a virtual service does with its requests.

use ambit_model::{
    AbortStatus, Content, DirectResponse, FaultAbort, FaultDelay, Faults, HttpFilters, HttpRule,
    Share,
};
use ambit_route::Direct;

use super::Reader;
use super::delegate::Effective;
use crate::config::objects::virtual_service::actions::{Abort, Body, Delay, Fault};
use crate::config::objects::virtual_service::values::Percentage;
use crate::config::problem::Finding;
use crate::config::translate::routes::compile::Wrong;
use crate::config::translate::routes::filters::CORRECT;

/// Codes of gRPC, in the order of their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Reader<'_, '_> {
    /// What a rule does.
    pub(super) fn action(&mut self, one: &Effective<'_>) -> Result<HttpRule, Wrong> {
        let rule = &*one.rule;
        let field = &one.field;
        let filters = self.filters(one)?;
        let direct = rule.direct_response.as_ref();
        let direct = direct.map(|given| direct_response(field, given.status, given.body.as_ref()));
        let fault = rule.fault.as_ref();
        let faults = fault.map(|given| self.faults(one, given)).transpose()?;
        let backends = self.backends(one)?;
        let answers = filters.redirect.is_some() || direct.is_some();
        let (retry, try_timeout) = self.retries(one)?;
        let timeout = rule.timeout.and_then(|timeout| timeout.limit());
        let try_timeout = try_timeout.filter(|_| !answers);
        Ok(HttpRule {
            filters,
            backends,
            timeout,
            retry: retry.filter(|_| !answers),
            try_timeout,
            timed_from_end: timeout.is_some() || try_timeout.is_some(),
            faults,
            direct_response: direct.transpose()?,
            ..HttpRule::default()
        })
    }

    /// Everything that waypoints check of filters.
    pub(super) fn checked(&self, field: &str, filters: HttpFilters) -> Result<HttpFilters, Wrong> {
        match ambit_route::Filters::new(&filters) {
            Ok(_) => Ok(filters),
            Err(problem) => Err(Wrong::unsupported(field, problem.to_string(), CORRECT)),
        }
    }

    fn faults(&mut self, one: &Effective<'_>, given: &Fault) -> Result<Faults, Wrong> {
        let field = format!("{}.fault", one.field);
        let delay = given.delay.as_ref();
        let delay = delay.map(|delay| self.delay(one, &format!("{field}.delay"), delay));
        let abort = given.abort.as_ref();
        let abort = abort.map(|abort| self.abort(one, &format!("{field}.abort"), abort));
        Ok(Faults {
            delay: delay.transpose()?,
            abort: abort.transpose()?,
        })
    }

    fn delay(
        &mut self,
        one: &Effective<'_>,
        field: &str,
        given: &Delay,
    ) -> Result<FaultDelay, Wrong> {
        if given.exponential_delay.is_some() {
            let field = format!("{field}.exponentialDelay");
            return Err(Wrong::unsupported(
                field,
                "not supported",
                "write fixedDelay",
            ));
        }
        let fixed = given.fixed_delay.and_then(|delay| delay.limit());
        let fixed = fixed.ok_or_else(|| {
            let field = format!("{field}.fixedDelay");
            Wrong::unsupported(field, "missing, or nothing", "say how long requests wait")
        })?;
        Ok(FaultDelay {
            of: self.share(one, field, given.percentage, given.percent)?,
            fixed,
        })
    }

    fn abort(
        &mut self,
        one: &Effective<'_>,
        field: &str,
        given: &Abort,
    ) -> Result<FaultAbort, Wrong> {
        if given.http2_error.is_some() {
            let advice = "write httpStatus or grpcStatus";
            let field = format!("{field}.http2Error");
            return Err(Wrong::unsupported(field, "not supported", advice));
        }
        let with = match (given.http_status, &given.grpc_status) {
            (Some(status), None) if (200..600).contains(&status) => AbortStatus::Http(status),
            (Some(status), None) => {
                let what = format!("{status} is not from 200 to 599");
                let field = format!("{field}.httpStatus");
                return Err(Wrong::unsupported(field, what, "write a status of errors"));
            }
            (None, Some(code)) => AbortStatus::Grpc(grpc_code(code).ok_or_else(|| {
                let what = format!("`{code}` is not a code of gRPC");
                let field = format!("{field}.grpcStatus");
                Wrong::unsupported(field, what, "write one such as UNAVAILABLE")
            })?),
            (None, None) | (Some(_), Some(_)) => {
                let what = "not just one of httpStatus and grpcStatus";
                return Err(Wrong::unsupported(field, what, "give one of them"));
            }
        };
        Ok(FaultAbort {
            of: self.share(one, field, given.percentage, given.percent)?,
            with,
        })
    }

    /// The share of requests that meet a fault: none, as with Istio, if nobody says.
    fn share(
        &mut self,
        one: &Effective<'_>,
        field: &str,
        percentage: Option<Percentage>,
        percent: Option<u32>,
    ) -> Result<Share, Wrong> {
        match (percentage, percent) {
            (Some(percentage), _) => Ok(percentage.value.share()),
            (None, Some(percent)) if percent <= 100 => Ok(Share {
                share: percent,
                of: 100,
            }),
            (None, Some(percent)) => {
                let what = format!("{percent} is more than 100");
                let field = format!("{field}.percent");
                Err(Wrong::unsupported(field, what, "write a part of a hundred"))
            }
            (None, None) => {
                let what = "missing, so that no request meets it";
                let finding = Finding::new(format!("{field}.percentage"), what, "add it");
                self.notes.warn(one.key, finding);
                Ok(Share { share: 0, of: 100 })
            }
        }
    }
}

fn grpc_code(text: &str) -> Option<u16> {
    let named = CODES.iter().position(|name| *name == text);
    let number = || text.parse().ok().filter(|number| *number < CODES.len());
    named
        .or_else(number)
        .and_then(|code| u16::try_from(code).ok())
}

fn direct_response(field: &str, status: u16, body: Option<&Body>) -> Result<DirectResponse, Wrong> {
    let field = format!("{field}.directResponse");
    let body = match body.map(|body| (&body.string, &body.bytes)) {
        None | Some((None, None)) => None,
        Some((Some(text), None)) => Some(Content::Text(text.clone())),
        Some((None, Some(bytes))) => Some(Content::Base64(bytes.clone())),
        Some((Some(_), Some(_))) => {
            let what = "both string and bytes";
            return Err(Wrong::unsupported(
                format!("{field}.body"),
                what,
                "keep one of them",
            ));
        }
    };
    let direct = DirectResponse { status, body };
    match Direct::new(&direct) {
        Ok(_) => Ok(direct),
        Err(problem) => Err(Wrong::unsupported(field, problem.to_string(), CORRECT)),
    }
}
