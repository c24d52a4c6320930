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
            unsent: unsent || cause.is_canceled() || not_looked_at(&cause).is_some(),
            cause,
        }
    }

    pub(super) fn told(self, to: &Destination, reused: bool) -> SendError {
        let (to, cause) = (to.address, self.cause);
        let is_refused = not_looked_at(&cause) == Some(h2::Reason::REFUSED_STREAM);
        match self.unsent {
            true => SendError::NotTaken {
                to,
                cause,
                stale: reused && !is_refused,
            },
            false => SendError::Reset { to, cause, reused },
        }
    }
}

/// By what reason the endpoint said that it did not look at the request, if it did (RFC 9113, 8.7).
fn not_looked_at(error: &hyper::Error) -> Option<h2::Reason> {
    let cause = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    cause.reason().filter(|reason| match *reason {
        h2::Reason::REFUSED_STREAM => true,
        h2::Reason::NO_ERROR => cause.is_go_away() && cause.is_remote(),
        _ => false,
    })
}
