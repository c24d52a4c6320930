//! One question to the API server: bounded in time, with errors that can be told apart.

use std::time::Duration;

use kube::Error;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// None came in time.
    #[error("the API server did not answer within {0:?}")]
    Late(Duration),
    /// There is no such object.
    #[error("there is no such object")]
    Missing,
    /// Somebody else made or changed it meanwhile.
    #[error("somebody else has changed it meanwhile")]
    Conflict,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Asks.
pub(crate) async fn call<T>(
    question: impl Future<Output = Result<T, Error>>,
) -> Result<T, CallError> {
    call_within(PATIENCE, question).await
}

/// Asks, and waits no longer than this.
pub(super) async fn call_within<T>(
    patience: Duration,
    question: impl Future<Output = Result<T, Error>>,
) -> Result<T, CallError> {
    let answer = tokio::time::timeout(patience, question).await;
    answer
        .map_err(|_elapsed| CallError::Late(patience))?
        .map_err(|error| match error {
            Error::Api(status) if status.code == 404 => CallError::Missing,
            Error::Api(status) if status.code == 409 => CallError::Conflict,
            // Its own text has the whole answer twice.
            Error::Api(status) => CallError::Failed(status.message.clone()),
            other => CallError::Failed(other.to_string()),
        })
}
