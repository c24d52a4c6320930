//! The gate before every service: a call without an agent's token goes no further.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_kit::seldom::Seldom;
use http::HeaderMap;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Status};
use tower::Service;

use super::agents::Agents;
use super::caller::{self, Caller, Refusal};
use super::metrics::Metrics;
use super::tls::Peer;
use super::tokens::Tokens;

/// How callers are told from one another.
#[derive(Clone, Debug)]
pub(crate) enum Callers {
    /// By tokens of ours, one per node and waypoint.
    Nodes(Tokens),
    /// By tokens of the cluster, bound to the agents' pods.
    Agents(Agents),
}

/// Checks the token of every call and notes whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// Who is let in.
    pub(crate) callers: Callers,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// When a refusal is written to the log, by its reason.
    pub(crate) told: Arc<BTreeMap<&'static str, Seldom>>,
}

impl Gate {
    /// A service behind this gate.
    pub(crate) fn before<S>(&self, service: S) -> Gated<S> {
        Gated {
            gate: self.clone(),
            service,
        }
    }

    async fn caller(&self, headers: &HeaderMap, source: IpAddr) -> Result<Caller, Refusal> {
        let token = caller::bearer(headers)?;
        match &self.callers {
            Callers::Nodes(tokens) => tokens.caller(token),
            Callers::Agents(agents) => agents.caller(token, source).await,
        }
    }
}

/// A service behind the gate.
#[derive(Clone, Debug)]
pub(crate) struct Gated<S> {
    gate: Gate,
    service: S,
}

impl<S: NamedService> NamedService for Gated<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        // What was polled ready is used; its clone takes its place.
        let next = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, next);
        let gate = self.gate.clone();
        Box::pin(async move {
            let peer = request.extensions().get::<Peer>().cloned();
            let source = peer.as_ref().map(|peer| peer.source);
            let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            match gate.caller(request.headers(), source).await {
                Ok(caller) => {
                    if let Some(peer) = peer {
                        peer.admitted.admit();
                    }
                    request.extensions_mut().insert(caller);
                    service.call(request).await
                }
                Err(refusal) => {
                    gate.metrics.call_refused(refusal.reason);
                    let reason = refusal.reason.word();
                    if let Some(others) = gate.told.get(reason).and_then(Seldom::due) {
                        tracing::warn!(%source, reason, others, "a call was refused: {refusal}");
                    }
                    Ok(refusal.status().into_http())
                }
            }
        })
    }
}

/// Whose call it is. Without the gate nobody is anybody.
pub(crate) fn caller_of<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::unauthenticated("this call passed no gate"))
}
