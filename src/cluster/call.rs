//! One question to the API server: bounded in time, with errors that can be told apart.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kube::Error;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// None came in time.
    #[error("the API server did not answer within {0:?}")]
    Late(Duration),
    /// There is no such object; which, in the API server's words.
    #[error("{0}")]
    Missing(String),
    /// Somebody else made or changed it meanwhile.
    #[error("somebody else has changed it meanwhile")]
    Conflict,
    /// What was to be written is refused as it is.
    #[error("{0}")]
    Invalid(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Asks.
pub(crate) fn call<'a, T>(
    question: impl Future<Output = Result<T, Error>> + Send + 'a,
) -> BoxFuture<'a, Result<T, CallError>> {
    call_within(PATIENCE, question)
}

/// Asks, and waits no longer than this.
pub(super) fn call_within<'a, T>(
    patience: Duration,
    question: impl Future<Output = Result<T, Error>> + Send + 'a,
) -> BoxFuture<'a, Result<T, CallError>> {
    // On the heap: the client's futures are large.
    async move {
        match tokio::time::timeout(patience, question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(CallError::of(error)),
            Err(_elapsed) => Err(CallError::Late(patience)),
        }
    }
    .boxed()
}

impl CallError {
    fn of(error: Error) -> Self {
        match error {
            Error::Api(status) if status.code == 404 => Self::Missing(status.message),
            Error::Api(status) if status.code == 422 => Self::Invalid(status.message),
            Error::Api(status) if status.code == 409 => Self::Conflict,
            // Its own text has the whole answer twice.
            Error::Api(status) => Self::Failed(status.message),
            other => Self::Failed(other.to_string()),
        }
    }
}
