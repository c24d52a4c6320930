//! Whether a try that failed is worth another one, as Envoy's `retry_on` has it.
//!
//! | condition | holds when |
//! |---|---|
//! | `connect_failure` | no connection could be had |
//! | `refused_stream` | the endpoint said that it did not take the request |
//! | `reset` | the try ended without an answer: both of the above, a broken connection, a try that took too long |
//! | `gateway_error` | 502, 503, 504, and `reset` |
//! | `server_error` | any 5xx, and `reset` |
//! | `retriable_4xx` | 409 |
//! | `statuses` | one of these statuses |
//! | `grpc` | one of these codes in the headers of the answer; one in its trailers comes too late |
//!
//! How often, when, and whether the body can be sent again is for others to decide. A request whose
//! whole time is over is never tried again.

use ambit_model::RetryOn;
use http::{Method, StatusCode};

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryOutcome {
    /// No connection to the endpoint could be had.
    ConnectFailure,
    /// The endpoint said that it did not take the request (RFC 9113, 8.7).
    RefusedStream,
    /// The connection or stream broke before the answer began.
    Reset,
    /// The time of the try was over before the answer began.
    Timeout,
    /// The head of an answer is there.
    Response {
        /// Its status.
        status: StatusCode,
        /// Its `grpc-status`, if its headers have one.
        grpc_status: Option<u16>,
    },
}

/// Whether a try that ended so is worth another one.
///
/// Conditions that somebody wrote hold for every method, as in Envoy. With `idempotent_only`, a
/// request whose method is not idempotent (RFC 9110, 9.2.2) is tried again only if the endpoint
/// certainly has not seen it.
pub fn worth_another_try(
    on: &RetryOn,
    outcome: TryOutcome,
    method: &Method,
    idempotent_only: bool,
) -> bool {
    let unseen = matches!(
        outcome,
        TryOutcome::ConnectFailure | TryOutcome::RefusedStream
    );
    if idempotent_only && !unseen && !method.is_idempotent() {
        return false;
    }
    let unanswered = on.reset || on.gateway_error || on.server_error;
    match outcome {
        TryOutcome::ConnectFailure => on.connect_failure || unanswered,
        TryOutcome::RefusedStream => on.refused_stream || unanswered,
        TryOutcome::Reset | TryOutcome::Timeout => unanswered,
        TryOutcome::Response {
            status,
            grpc_status,
        } => {
            let status = status.as_u16();
            (on.server_error && (500..600).contains(&status))
                || (on.gateway_error && matches!(status, 502..=504))
                || (on.retriable_4xx && status == 409)
                || on.statuses.contains(&status)
                || grpc_status.is_some_and(|code| on.grpc.contains(&code))
        }
    }
}

#[cfg(test)]
mod tests;
