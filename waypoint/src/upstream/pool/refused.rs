//! What became of a request that was put on a connection and got no answer.

use super::SendError;
use crate::view::Destination;

/// A failure to send, of either version.
pub(super) struct TrySend {
    cause: hyper::Error,
    unsent: bool,
}

impl TrySend {
    pub(super) fn of<T>(mut error: hyper::client::conn::TrySendError<T>) -> Self {
        let unsent = error.take_message().is_some();
        let cause = error.into_error();
        Self {
            unsent: unsent || cause.is_canceled() || is_refused(&cause),
            cause,
        }
    }

    pub(super) fn told(self, to: &Destination, reused: bool) -> SendError {
        let (to, cause) = (to.address, self.cause);
        match self.unsent {
            true => SendError::NotTaken(to, cause),
            false => SendError::Reset { to, cause, reused },
        }
    }
}

/// Whether the endpoint said that it did not look at the request (RFC 9113, 8.7).
fn is_refused(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| match cause.reason() {
        Some(h2::Reason::REFUSED_STREAM) => true,
        Some(h2::Reason::NO_ERROR) => cause.is_go_away() && cause.is_remote(),
        _ => false,
    })
}
