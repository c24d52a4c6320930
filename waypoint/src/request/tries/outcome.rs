//! What a try came to: for the client, for another try, and for what is thought of the endpoint.
//!
//! An endpoint is not to blame for what the client has not sent. While a body is still coming, nobody knows
//! whether an endpoint that has not answered could have.

use std::io;

use ambit_balance::Outcome;
use ambit_decide::Reason;
use ambit_route::TryOutcome;
use http::Response;

use crate::http::replay::Came;
use crate::request::headers;
use crate::request::local::{Fault, Flag};
use crate::upstream::link::LinkError;
use crate::upstream::make::ConnectError;
use crate::upstream::pool::SendError;

/// Why a try gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TryError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the endpoint did not answer in time")]
    Timeout {
        /// Whether it was the endpoint that was waited for.
        asked: bool,
        /// Whether it was by the time of a try, and not by that of the request.
        of_try: bool,
    },
    #[error("{0}")]
    Framing(&'static str),
    #[error("{}", .0.detail)]
    Refused(Box<Fault>),
}

impl TryError {
    /// The time of the request was over before there was somebody to ask.
    pub(super) const LATE: Self = Self::Timeout {
        asked: false,
        of_try: false,
    };

    pub(super) fn is_reset(&self) -> bool {
        matches!(self, Self::Send(SendError::Reset { .. }))
    }

    pub(super) fn fault(self) -> Fault {
        let detail = self.to_string();
        match self {
            Self::Refused(fault) => *fault,
            Self::Timeout { of_try, .. } => {
                let flag = match of_try {
                    true => Flag::TryTimeout,
                    false => Flag::Timeout,
                };
                Fault::new(504, flag, "timeout", detail)
            }
            Self::Send(SendError::Connect(error)) => {
                let flag = match error {
                    ConnectError::Link(LinkError::Unsupported(_)) => Flag::NoEndpoint,
                    ConnectError::Pending(_) => Flag::Overflow,
                    _ => Flag::ConnectFailure,
                };
                Fault::new(503, flag, error.word(), detail)
            }
            Self::Send(SendError::NotTaken { cause, .. }) => match is_refused(&cause) {
                true => Fault::new(503, Flag::RemoteReset, "upstream_reset", detail),
                false => Fault::new(503, Flag::ConnectFailure, "connect_failed", detail),
            },
            Self::Framing(_) => Fault::new(502, Flag::Garbled, "upstream_reset", detail),
            Self::Send(SendError::Reset { cause, .. }) => {
                let flag = flag_of_reset(&cause);
                let status = if flag == Flag::Garbled { 502 } else { 503 };
                Fault::new(status, flag, "upstream_reset", detail)
            }
        }
    }
}

/// Whether an endpoint has said itself that it does not take a request, or no more of them.
fn is_refused(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let cause = source.and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_remote() && (cause.is_reset() || cause.is_go_away()))
}

/// Whether an endpoint gave up a request that it had taken, sent no HTTP, or its connection ended.
pub(in crate::request) fn flag_of_reset(error: &hyper::Error) -> Flag {
    let source = std::error::Error::source(error);
    let of_connection = source.and_then(|cause| cause.downcast_ref::<io::Error>());
    // A connection that ends by itself in the middle of a body is one, too; one that is cut off is not.
    let is_garbled = of_connection.is_some_and(|error| {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
    });
    if error.is_parse() || is_garbled {
        return Flag::Garbled;
    }
    let cause = source.and_then(|cause| cause.downcast_ref::<h2::Error>());
    match cause.is_some_and(|cause| cause.is_reset() && cause.is_remote()) {
        true => Flag::RemoteReset,
        false => Flag::Reset,
    }
}

/// What a try says to whoever thinks of another one: nothing where that would be no better.
pub(super) fn outcome_of<B, L>(
    result: &Result<(Response<B>, L), TryError>,
    came: Came,
) -> Option<TryOutcome> {
    Some(match result {
        Ok((response, _)) => TryOutcome::Response {
            status: response.status(),
            grpc_status: headers::grpc_status(response.headers()),
        },
        Err(TryError::Refused(_)) => return None,
        Err(TryError::Timeout { asked: true, .. }) if came != Came::Whole => return None,
        Err(TryError::Timeout { .. }) => TryOutcome::Timeout,
        Err(TryError::Framing(_)) => TryOutcome::Reset,
        Err(TryError::Send(error)) => match error {
            SendError::Connect(
                ConnectError::Link(LinkError::Unsupported(_)) | ConnectError::Pending(_),
            ) => return None,
            SendError::Connect(_) => TryOutcome::ConnectFailure,
            SendError::NotTaken { .. } => TryOutcome::RefusedStream,
            SendError::Reset { .. } => TryOutcome::Reset,
        },
    })
}

/// What a try says of its endpoint: nothing where it failed by our doing, or the client's.
pub(super) fn noted<B, L>(
    result: &Result<(Response<B>, L), TryError>,
    came: Came,
) -> Option<Outcome> {
    Some(match result {
        Ok((response, _)) => match headers::grpc_status(response.headers()) {
            Some(status) => Outcome::Grpc(status.into()),
            None => Outcome::Status(response.status().as_u16()),
        },
        // Who waited for a connection waited for us, and who waited for a body for the client.
        Err(TryError::Refused(_) | TryError::Timeout { asked: false, .. }) => return None,
        Err(TryError::Timeout { asked: true, .. }) if came != Came::Whole => return None,
        Err(TryError::Timeout { asked: true, .. }) => Outcome::TimedOut,
        Err(TryError::Framing(_)) => Outcome::Reset,
        Err(TryError::Send(error)) => match error {
            SendError::Connect(
                ConnectError::Link(LinkError::Unsupported(_))
                | ConnectError::Pending(_)
                | ConnectError::Full(_),
            ) => return None,
            SendError::Connect(error) if error.word() == Reason::NoCertificate.word() => {
                return None;
            }
            SendError::Connect(_) => Outcome::ConnectFailed,
            SendError::NotTaken { .. } | SendError::Reset { .. } if came == Came::Broken => {
                return None;
            }
            SendError::NotTaken { .. } | SendError::Reset { .. } => Outcome::Reset,
        },
    })
}

#[cfg(test)]
mod tests;
