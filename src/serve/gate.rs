//! The gate before every service: a call without a node's token goes no further.

use tonic::service::Interceptor;
use tonic::{Code, Request, Status};

use super::metrics::Metrics;
use super::tokens::{Caller, Tokens};

/// Checks the token of every call and notes whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// Who is let in.
    pub(crate) tokens: Tokens,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

impl Interceptor for Gate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        match self.tokens.caller(request.metadata()) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Ok(request)
            }
            Err(status) => {
                if status.code() == Code::Unauthenticated {
                    self.metrics.unauthenticated.inc();
                }
                tracing::debug!("a call was refused: {}", status.message());
                Err(status)
            }
        }
    }
}

/// Whose call it is. Without the gate nobody is anybody.
pub(crate) fn caller_of<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::unauthenticated("this call passed no gate"))
}
